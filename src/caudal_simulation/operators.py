"""An operator: looks at discrepancies when there are some, and carries out what is proposed, as a person would; money
whose way back was lost she sends on its way again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from caudal_simulation.database import relations
from caudal_simulation.programs import Lost
from caudal_simulation.world import World

_TRIES: Final = 4
_RESOLVED_AT: Final = relations()["discrepancy"].at["resolved_at"]
_REASON, _UNAPPLIED = (relations()["deposit"].at[name] for name in ("reason", "unapplied_minor"))
_BY_HAND: Final = b'{"resolution":"cleared with the provider"}'


class Desk:
    """Where the operator works. Discrepancies that are open stand in the list; each is dealt with once a look."""

    def __init__(self, world: World, secret: str) -> None:
        self._world = world
        self._headers = {b"authorization": f"Bearer {secret}".encode(), b"content-type": b"application/json"}
        self._asked = 0
        self.carried: list[str] = []  # corrections that were carried out, in their order

    async def attend(self) -> None:
        """Looks now and then while the world goes wrong."""
        while self._world.faults.on:
            await asyncio.sleep(self._world.faults.spread(0.8, 3.0))
            await self.look()

    async def look(self) -> bool:
        """Deals with everything that is open; whether anything was."""
        sent = await self._send_back()
        if not any(row[_RESOLVED_AT] is None for row in self._world.database.rows["discrepancy"].values()):
            return sent
        listed = await self._ask("GET", "/v1/operator/discrepancies", b"")
        cases = listed["data"] if listed is not None else []
        for case in cases:
            await self._deal_with(case)
        return sent or bool(cases)

    async def _send_back(self) -> bool:
        """Money whose return was lost goes back once more; whether there was any."""
        deposits = self._world.database.rows["deposit"].values()
        if not any(row[_REASON] == "return_lost" and row[_UNAPPLIED] for row in deposits):
            return False
        listed = await self._ask("GET", "/v1/operator/deposits", b"")
        lost = [one for one in (listed or {"data": []})["data"] if one["reason"] == "return_lost"]
        for one in lost:
            await self._ask("POST", f"/v1/operator/deposits/{one['id']}/returns", b"")
        return bool(lost)

    async def _deal_with(self, case: dict[str, Any]) -> None:
        """The first proposal, carried out; what needs none, or none can help, is said to be looked after."""
        path, proposal = f"/v1/operator/discrepancies/{case['id']}", case["proposals"][0]
        correction = proposal["correction"]
        if correction in ("by_hand", "none_needed"):
            await self._ask("POST", f"{path}/resolutions", _BY_HAND)
            return
        body = msgspec.json.encode({"correction": correction, "facts": proposal["facts"]})
        if await self._ask("POST", f"{path}/corrections", body) is not None:
            self.carried.append(correction)

    async def _ask(self, method: str, path: str, body: bytes) -> dict[str, Any] | None:
        """A request, again with its key while nobody says what became of it; None where it was refused."""
        self._asked += 1
        headers = {**self._headers, b"idempotency-key": f"desk-{self._asked}".encode()}
        for _ in range(_TRIES):
            try:
                answer = await self._world.ask(method, path, body, headers)
            except Lost:
                continue
            self._world.note(f"operator {method} {path} {body.decode()}: {answer.status} {answer.body[:200]!r}")
            if answer.status < 300:
                found: dict[str, Any] = msgspec.json.decode(answer.body)
                return found
            if answer.status in (404, 409, 422):
                return None
            await asyncio.sleep(0.5)
        return None
