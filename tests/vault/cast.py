"""The cast: a merchant who keeps cards. The numbers are those of the sandbox's table and nobody's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from caudal.kernel.context import Context
from caudal.merchants import CLI, create_key
from caudal.vault import InstrumentRecord
from caudal.vault.rows import SQL, instrument_of
from tests.api import Answered, Api

VISA = "4111111111111111"
AMEX = "378282246310005"
CARD = {
    "number": "4111 1111 1111 1111",
    "expiry_month": 12,
    "expiry_year": 2040,
    "holder_name": "ANA PEREZ",
    "security_code": "123",
}


class Keeper(Api):
    """A merchant with a test key."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.merchant = UUID(int=0)

    async def named(self, name: str) -> Keeper:
        self.merchant = await self.ana(name)
        return self

    async def key_of(self, mode: Any, **more: Any) -> str:
        """Another key of this merchant."""
        made = await create_key(self.context, CLI, self.merchant, mode=mode, name="another", **more)
        assert made.secret is not None
        return made.secret

    async def keep(self, idempotency: str | None = None, *, country: str | None = None, **card: Any) -> Answered:
        """Ana's card, changed; a field that is `...` is left out."""
        asked = {name: value for name, value in {**CARD, **card}.items() if value is not ...}
        body = {"type": "card", "card": asked} | ({} if country is None else {"country": country})
        return await self.post("/v1/instruments", body, idempotency=idempotency)

    async def kept(self, **card: Any) -> dict[str, Any]:
        answered = await self.keep(**card)
        assert answered.status == 201, answered.body
        made: dict[str, Any] = answered.json
        return made

    async def erase(self, id: str, **more: Any) -> Answered:
        return await self.post(f"/v1/instruments/{id}/deletions", idempotency=None, **more)

    async def record(self, id: str) -> InstrumentRecord:
        """The row itself."""
        rows = await self.context.rows(SQL["read_instruments"], (0, [UUID(id.removeprefix("instr_"))]))
        return instrument_of(rows[0])
