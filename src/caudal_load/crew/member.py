"""A process of the crew: it reads its job and then its orders from standard input, and says what it has on the output.

It ends when its parent does.
"""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from caudal_load.crew.job import Job, Progress, Result, Seat, frame, read_frame
from caudal_load.drive import PATIENCE_NS
from caudal_load.payers import Payers

_EVERY_S = 0.25
_LOOK_S = 0.01


class Member:
    """One process's part in the run."""

    def __init__(self, job: Job, say: Callable[[str, object], None]) -> None:
        self._say = say
        self._requests = job.requests()
        self._loop = job.loop(self._requests)
        self._payers = None if job.sandbox is None else Payers(job.sandbox, self._requests)

    async def connect(self, count: int) -> None:
        """Open the connections."""
        await self._loop.connect(count)
        if self._payers is not None:
            await self._payers.connect()
            self._loop.promised = self._payers.told
        gc.collect()
        gc.freeze()
        gc.disable()  # the hot path makes no cycles, and a collection would be measured as latency

    async def start(self, at_ns: int, lead_s: float) -> None:
        """Begin."""
        self._loop.start(at_ns, lead_s)

    async def open_window(self, at_ns: int) -> None:
        """From that moment answers count."""
        self._loop.open_window(at_ns)

    async def close_window(self, at_ns: int) -> None:
        """From that moment they do not."""
        self._loop.close_window(at_ns)

    async def rest(self) -> None:
        """Send no more, and wait for what is in flight, payers too."""
        await self._loop.rest()
        clock = asyncio.get_running_loop().time
        until_s = clock() + PATIENCE_NS / 1e9
        # An event would cost every payment.
        while self._payers is not None and not self._payers.idle and clock() < until_s:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)

    async def end(self) -> Result:
        """Close everything, and say what was counted."""
        seats = [
            Seat(port=seat.port, histogram=seat.histogram, acknowledged=seat.acknowledged) for seat in self._loop.seats
        ]
        await self._loop.end()
        if self._payers is not None:
            await self._payers.end()
        deeds = self._requests.deeds
        if deeds is None:
            return Result(tally=self._loop.tally, seats=seats)
        done = {deed: histogram for deed, histogram in deeds.histograms.items() if histogram.total}
        return Result(tally=self._loop.tally, seats=seats, deeds=done, instead=dict(deeds.instead))

    async def go_on_telling(self) -> None:
        """Say how far it is, now and then."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self._say("progress", self.progress())

    def progress(self) -> Progress:
        """How far it is."""
        tally, whole = self._loop.tally, len(self._loop.tally.seconds) - 1
        return Progress(
            acknowledged=tally.acknowledged,
            window_acknowledged=tally.window_acknowledged,
            errors=tally.refused + tally.unknown + tally.malformed,
            last=tally.seconds[whole - 1] if whole > 0 else None,
            number=whole,
        )


async def main() -> None:
    """Read the job, and do as told until nobody tells any more."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    output, _ = await loop.connect_write_pipe(asyncio.Protocol, sys.stdout.buffer)

    def say(kind: str, what: object) -> None:
        output.write(frame((kind, what)))

    member = Member(await read_frame(reader), say)
    telling = asyncio.create_task(member.go_on_telling())
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            name, arguments = await read_frame(reader)
            do: Callable[..., Awaitable[Any]] = getattr(member, name)
            try:
                answer = await do(*arguments)
            except OSError as error:
                say("failed", str(error))
                continue
            say("progress", member.progress())
            say("done", answer)
    telling.cancel()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, whose end is this one's
    uvloop.run(main())
