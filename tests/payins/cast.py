"""The cast: Ana is a merchant with a test key, Caro is another one, Olga operates the platform."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import UUID

from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import run_job
from caudal.merchants import CLI, create_key
from caudal.payins import JOBS
from tests.api import Answered, Api
from tests.connectors.provider import signature

DAY_S = 86_400
WAITS_S = 3 * DAY_S
SECRET, LIVE_SECRET = "quiet river", "loud river"
CARD = {
    "number": "4111111111111111",
    "expiry_month": 12,
    "expiry_year": 2040,
    "holder_name": "ANA PEREZ",
    "security_code": "123",
}
# What every method is asked for, if nothing else is said.
ASKED: dict[str, dict[str, Any]] = {
    "card": {"country": "BR", "currency": "BRL"},
    "pix": {"country": "BR", "currency": "BRL"},
    "boleto": {"country": "BR", "currency": "BRL", "payer": {"name": "Ana", "document": "11144477735"}},
    "pse": {
        "country": "CO",
        "currency": "COP",
        "amount": 5_000_000,
        "payer": {"name": "Carlos", "document": "1020304050"},
        "instrument": {"bank": "1007"},
        "return_url": "https://shop.example/back",
    },
    "mpesa": {"country": "KE", "currency": "KES", "payer": {"phone": "+254712345678"}},
}
TO = {"account": "0001-9/1234567-8", "bank": "001", "kind": "checking"}
TO |= {"holder_name": "Ana Souza", "holder_document": "11144477735"}


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

    async def settings(self, late_payments: str, **more: str) -> None:
        asked = {"late_payments": late_payments, **more}
        answered = await self.post(self.path + "/settings", asked, key=self.olga)
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

    # Through a provider

    async def instrument(self, **card: Any) -> str:
        """A card in the vault."""
        kept = await self.post("/v1/instruments", {"type": "card", "card": {**CARD, **card}}, idempotency=None)
        assert kept.status == 201, kept.body
        return str(kept.json["id"])

    async def ask(self, method: str, idempotency: str = "", **asked: Any) -> Answered:
        """A payin by a method; a card is kept first unless one is named."""
        if method == "card" and "instrument" not in asked:
            asked["instrument"] = {"id": await self.instrument()}
        return await self.create(idempotency, method=method, **{**ASKED[method], **asked})

    async def asked(self, method: str, **asked: Any) -> dict[str, Any]:
        answered = await self.ask(method, **asked)
        assert answered.status == 201, answered.body
        made: dict[str, Any] = answered.json
        return made

    async def card(self, **asked: Any) -> dict[str, Any]:
        return await self.asked("card", **asked)

    async def pix(self, **asked: Any) -> dict[str, Any]:
        return await self.asked("pix", **asked)

    async def capture(self, payin: dict[str, Any], amount: int | None = None, **more: Any) -> Answered:
        named = {"idempotency": more.pop("idempotency", "")}
        body = more | ({} if amount is None else {"amount": amount})
        return await self.post(f"/v1/payins/{payin['id']}/captures", body, **named)

    async def refund(self, payin: dict[str, Any], amount: int | None = None, **more: Any) -> Answered:
        named = {"idempotency": more.pop("idempotency", "")}
        body = more | ({} if amount is None else {"amount": amount})
        return await self.post(f"/v1/payins/{payin['id']}/refunds", body, **named)

    async def told(
        self, method: str, about: str, told: dict[str, Any], *, secret: str = SECRET, provider: str = "sandbox"
    ) -> Answered:
        """A provider's callback."""
        path, raw = (
            f"/v1/callbacks/{provider}/{method}",
            json.dumps({"id": "cb_1", "type": about, about: told}).encode(),
        )
        header = signature(secret, int(time.time()), "POST", path, raw)
        return await self.call("POST", path, raw, headers={"provider-signature": header, "authorization": "-"})

    async def work(self, *kinds: str) -> int:
        """Does what is due some day, today; how many pieces came to their end."""
        query = "select at, kind, subject, book, attempt from due where shard = 0 and kind = any(%s) order by subject"
        found = await self.context.rows(query, (list(kinds),))
        done = [
            await run_job(self.context, 0, Due(at=at, kind=kind, subject=subject, book=book, attempt=attempt), JOBS)
            for at, kind, subject, book, attempt in found
        ]
        return sum(done)

    async def odd(self, **asked: object) -> list[dict[str, Any]]:
        """The discrepancies that Olga sees."""
        query = "".join(f"&{name}={value}" for name, value in asked.items())
        answered = await self.get(f"/v1/operator/discrepancies?limit=100{query}", key=self.olga)
        assert answered.status == 200, answered.body
        found: list[dict[str, Any]] = answered.json["data"]
        return found


def key_of(made: dict[str, Any]) -> str:
    """By which the provider knows a payin or an operation."""
    return str(made["id"]).rpartition("_")[2]
