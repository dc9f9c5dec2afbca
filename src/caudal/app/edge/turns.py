"""Requests begin a few at a time. Thousands that have come at once are read and refused, or begun in their turn; begun
all at once they would hold up the batches that answer those before them, and the refusals behind them.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from caudal.app.edge.exchange import Exchange
from caudal.app.web import Opened, Web

AT_ONCE: Final = 96  # between two looks at the sockets


class Begins(Protocol):
    """Whom a turn is told to. `coming` counts requests that begin something and are not in any queue yet."""

    coming: int

    def waited(self, opened: Opened, seconds: float, ahead: int) -> None: ...


class Turns:
    """Who begins now, in one process. Waiting takes nothing from a request's deadline but time."""

    def __init__(self, web: Begins) -> None:
        self._web = web
        self._left, self._asked = AT_ONCE, False
        self._begun = 0  # since the last look at the sockets: those behind them have not run yet
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
        first = exchange.opened.first
        self._web.coming += first
        if self._left and not self._waiting:
            self._left -= 1
            self._begun += first
            return True
        exchange.turn = "waits"
        self._waiting.append((exchange, go_on, monotonic()))
        return False

    def _next(self) -> None:
        """A look at the sockets later: what has begun is in its queue, or was refused."""
        self._web.coming -= self._begun
        self._left, self._begun, self._asked = AT_ONCE, 0, bool(self._waiting)
        if not self._waiting:
            return
        asyncio.get_running_loop().call_soon(self._next)
        now = monotonic()
        while self._left and self._waiting:
            exchange, go_on, since = self._waiting.popleft()
            exchange.turn, first = "given", exchange.opened.first
            self._web.waited(exchange.opened, now - since, self._begun)
            if exchange.opened.refusal is None:
                self._left -= 1
                self._begun += first
            else:
                self._web.coming -= first
            go_on()


@functools.cache
def turns_of(web: Web) -> Turns:
    """Those of all connections to an application."""
    return Turns(web)
