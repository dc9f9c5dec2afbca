"""Rows that many ask for one by one are read many at a time.

Looks are chained, like batches: while one is under way, keys queue, and what has queued is the next look. Who asks
alone is answered at once, and what was committed before somebody asked is seen: no look is joined that has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import islice
from typing import Final, Generic, TypeVar

from caudal.kernel.context import reading_until
from caudal.kernel.errors import Retry
from caudal.kernel.telemetry import apart

K = TypeVar("K")
R = TypeVar("R")

_MOST: Final = 100  # keys of one look: the first of them do not wait for ever more


class Gathered(Generic[K, R]):
    """Asks `look` for many keys at a time; it raises Retry when nobody answers."""

    def __init__(self, look: Callable[[Sequence[K]], Awaitable[Mapping[K, R]]]) -> None:
        self._look = look
        self._wanted: dict[K, list[asyncio.Future[R | None]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def get(self, key: K) -> R | None:
        """What there is of a key, or None. Raises what the look has come to."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R | None] = loop.create_future()
        self._wanted.setdefault(key, []).append(future)
        if self._looking is None:
            self._looking = loop.create_task(self._look_on(), context=apart())
        return await future

    async def _look_on(self) -> None:
        with reading_until(None):  # not by the deadline of whoever happened to ask first
            while self._wanted:
                await self._look_at_some()
        self._looking = None

    async def _look_at_some(self) -> None:
        asked = {key: self._wanted.pop(key) for key in list(islice(self._wanted, _MOST))}
        waiting = [(key, future) for key, futures in asked.items() for future in futures]
        try:
            found = await self._look(list(asked))
        except Retry as error:
            for _, future in waiting:
                if not future.done():  # each gets one of its own: a traceback is not shared
                    future.set_exception(Retry(error.code, error.detail, after_s=error.after_s))
        except Exception as error:
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
        else:
            for key, future in waiting:
                if not future.done():
                    future.set_result(found.get(key))
