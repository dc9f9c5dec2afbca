"""Requests begin a few at a time. Thousands that have come at once are read and refused, or begun in their turn; begun
all at once they would hold up the batches that answer those before them, and the refusals behind them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from caudal.app.edge.exchange import Exchange

AT_ONCE: Final = 96  # between two looks at the sockets


class Turns:
    """Who begins now, in one process. Waiting takes nothing from a request's deadline but time."""

    def __init__(self, again: Callable[[Exchange, float], None]) -> None:
        self._again = again
        self._left, self._asked = AT_ONCE, False
        self._waiting = deque[tuple[Exchange, Callable[[], None], float]]()

    def take(self, exchange: Exchange, go_on: Callable[[], None]) -> bool:
        """Whether an exchange may begin. `go_on` is called when it may, where not."""
        if exchange.turn == "given":
            return True
        if exchange.turn == "waits":
            return False
        if not self._asked:
            self._asked = True
            asyncio.get_running_loop().call_soon(self._next)
        if self._left and not self._waiting:
            self._left -= 1
            return True
        exchange.turn = "waits"
        self._waiting.append((exchange, go_on, monotonic()))
        return False

    def _next(self) -> None:
        """A look at the sockets later."""
        self._left, self._asked = AT_ONCE, bool(self._waiting)
        if not self._waiting:
            return
        asyncio.get_running_loop().call_soon(self._next)
        now = monotonic()
        while self._left and self._waiting:
            exchange, go_on, since = self._waiting.popleft()
            exchange.turn = "given"
            self._again(exchange, now - since)
            self._left -= exchange.opened.refusal is None
            go_on()
