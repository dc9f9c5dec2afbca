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

    def waited(self, opened: Opened, body: bytes, seconds: float, ahead: int) -> None: ...


class Turns:
    """Who begins now, in one process. Waiting takes nothing from a request's deadline but time."""

    def __init__(self, web: Begins) -> None:
        self._web = web
        self._left, self._asked = AT_ONCE, False
        self._begun = list[Opened]()  # what begins something, since the last `_next`: its tasks run behind that
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
        self._count(exchange.opened, 1)
        if self._left and not self._waiting:
            self._begins(exchange.opened)
            return True
        exchange.turn = "waits"
        self._waiting.append((exchange, go_on, monotonic()))
        return False

    def _begins(self, opened: Opened) -> None:
        self._left -= 1
        if opened.first:
            self._begun.append(opened)

    def _count(self, opened: Opened, by: int) -> None:
        """Counts a request that is on its way to a queue, and to its door if it has one, or that has come there."""
        if opened.first:
            self._web.coming += by
            if opened.door is not None:
                opened.door.coming += by

    def _next(self) -> None:
        """A look at the sockets later: the next ones begin. Who began before them has its task behind this call, and is
        in its queue, or inside, or refused, when the sockets are looked at again.
        """
        before, self._begun = self._begun, []
        self._left, self._asked = AT_ONCE, bool(self._waiting)
        if self._asked:
            asyncio.get_running_loop().call_soon(self._next)
        try:
            while self._left and self._waiting:
                self._begin_late(*self._waiting.popleft(), len(before))
        finally:
            for opened in before:
                self._count(opened, -1)

    def _begin_late(self, exchange: Exchange, go_on: Callable[[], None], since: float, before: int) -> None:
        """The turn of one that waited. It may be refused now, and takes nobody's place then."""
        opened, exchange.turn = exchange.opened, "given"
        self._count(opened, -1)
        body = b"" if opened.finds is None else b"".join(exchange.parts)
        self._web.waited(opened, body, monotonic() - since, before + len(self._begun))
        if opened.refusal is None:
            self._count(opened, 1)
            self._begins(opened)
        go_on()


@functools.cache
def turns_of(web: Web) -> Turns:
    """Those of all connections to an application."""
    return Turns(web)
