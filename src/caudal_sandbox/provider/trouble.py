"""How an answer goes wrong on the wire, because an amount ordered that."""

import asyncio
from collections.abc import AsyncIterator

from caudal_sandbox.http import HungUp, Response
from caudal_sandbox.problems import Problem

SILENCE_S = 30.0
DRIP_S = 20.0
DRIPS = 20
SLOW_S = 1.5
SEEN_MAX = 10_000
# Nothing happens, the first time that a key comes with such an amount.
BEFORE = ("silence_before", "reset_before", "busy")


class Before:
    """Remembers which keys have met a fault before the effect, so that the same key again is taken."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    def strikes(self, fault: str | None, key: str) -> bool:
        """Say whether the fault strikes now: once a key, as long as the process lives."""
        if fault not in BEFORE or key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return True


async def answered(fault: str | None, right: Response | None) -> Response:
    """Give the right answer the wrong way; `right` is None where nothing happened."""
    match fault:
        case "silence_before" | "silence_after" | "silence_alone":
            await asyncio.sleep(SILENCE_S)
            raise HungUp(reset=False)
        case "reset_before" | "reset_after":
            raise HungUp(reset=True)
        case "error_after":
            return Problem(500, "internal_error", "Something broke; ask again with the same key.").response()
        case "busy":
            detail = "The provider is busy; nothing happened."
            return Problem(503, "busy", detail, headers={"Retry-After": "1"}).response()
    assert right is not None
    if fault == "slow":
        await asyncio.sleep(SLOW_S)
    return _dripped(right) if fault == "drip" else right


def _dripped(right: Response) -> Response:
    body = right.body

    async def drips() -> AsyncIterator[bytes]:
        size = -(-len(body) // DRIPS)
        for start in range(0, len(body), size):
            await asyncio.sleep(DRIP_S / DRIPS)
            yield body[start : start + size]

    return Response(status=right.status, headers=right.headers, stream=drips(), length=len(body))
