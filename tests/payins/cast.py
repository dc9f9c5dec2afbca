"""The cast: Ana is a merchant with a test key, Caro is another one, Olga operates the platform."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from caudal.kernel.context import Context
from caudal.merchants import CLI, create_key
from tests.api import Answered, Api

DAY_S = 86_400
WAITS_S = 3 * DAY_S


class Merchant(Api):
    """A merchant whose payins are paid by test deposits. Its fee is 3.00 MXN and 1 %."""

    def __init__(self, context: Context, merchant: UUID, key: str, operator: str) -> None:
        super().__init__(context)
        self.merchant, self.key, self.olga = merchant, key, operator

    @property
    def path(self) -> str:
        return f"/v1/operator/merchants/mer_{self.merchant.hex}"

    async def key_of(self, mode: Any, **more: Any) -> str:
        """Another key of this merchant."""
        made = await create_key(self.context, CLI, self.merchant, mode=mode, name="another", **more)
        assert made.secret is not None
        return made.secret

    async def settings(self, late_payments: str) -> None:
        answered = await self.post(self.path + "/settings", {"late_payments": late_payments}, key=self.olga)
        assert answered.status == 200, answered.body

    async def price(self, fixed_minor: int, basis_points: int) -> None:
        line = {"family": "instant_transfer", "currency": "MXN"}
        line |= {"fixed_minor": fixed_minor, "basis_points": basis_points}  # type: ignore[dict-item]
        answered = await self.post(self.path + "/fee_plans", {"fee_plan": [line]}, key=self.olga)
        assert answered.status == 201, answered.body

    async def payin(self, **asked: Any) -> dict[str, Any]:
        answered = await self.create(**asked)
        assert answered.status == 201, answered.body
        made: dict[str, Any] = answered.json
        return made

    async def seen(self, payin: dict[str, Any]) -> dict[str, Any]:
        """The payin as it is now."""
        answered = await self.get(f"/v1/payins/{payin['id']}")
        assert answered.status == 200, answered.body
        found: dict[str, Any] = answered.json
        return found

    async def paid(self, payin: dict[str, Any], amount: int = 0, tracking: str = "", **changed: Any) -> str:
        """Pays, the whole amount unless said otherwise; the deposit's id."""
        clabe = (payin["next_action"] or {}).get("clabe") or changed.pop("clabe")
        answered = await self.deposit(clabe, amount or payin["amount"], tracking, **changed)
        assert answered.status == 200, answered.body
        return str(answered.json["deposit"])

    async def cancel(self, payin: dict[str, Any], **more: Any) -> Answered:
        return await self.post(f"/v1/payins/{payin['id']}/cancellations", **more)

    async def advance(self, seconds: int = WAITS_S + 1) -> Answered:
        """Moves the test clock; past every payin's expiry unless said otherwise."""
        return await self.post("/v1/sandbox/clock/advances", {"seconds": seconds})

    async def events(self, **asked: object) -> list[dict[str, Any]]:
        query = "&".join(f"{name}={value}" for name, value in {"limit": 100, **asked}.items())
        answered = await self.get(f"/v1/events?{query}")
        assert answered.status == 200, answered.body
        found: list[dict[str, Any]] = answered.json["data"]
        return found
