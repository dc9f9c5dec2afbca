"""What shows that a fault happened, and how long it is waited for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

EVIDENCE_S = 6.0
"""So long a fault goes on beyond its end, where nothing has met it until then."""


@dataclass(slots=True)
class Seen:
    """In words; empty as long as nothing was."""

    text: str = ""


async def until(true: Callable[[], bool | Awaitable[bool]], within_s: float, every_s: float = 0.02) -> bool:
    """Wait for it, so long at most; whether it came."""
    end_s = time.monotonic() + within_s
    while True:
        now = true()
        if now if isinstance(now, bool) else await now:
            return True
        if time.monotonic() > end_s:
            return False
        await asyncio.sleep(every_s)


class Tail:
    """What is written to a log from now on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0

    def count(self, *words: str) -> int:
        """How often one of these words stands in it."""
        if not self._log.exists():
            return 0
        with self._log.open("rb") as file:
            file.seek(self._from if self._log.stat().st_size >= self._from else 0)
            text = file.read().decode(errors="replace")
        return sum(text.count(word) for word in words)
