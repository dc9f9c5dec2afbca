"""The parent's side of the crew: it has the manners of a loop, and passes what it is told on to its processes."""

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from caudal_load.crew.job import Job, Progress, Result, Seat, frame, read_frame
from caudal_load.deeds import Deed
from caudal_load.histogram import Histogram
from caudal_load.seconds import Second, merged
from caudal_load.tally import Tally

COMMAND = (sys.executable, "-m", "caudal_load.crew.member")
_END_S = 10.0
_PR_SET_PDEATHSIG = 1


class CrewFailed(Exception):
    """A process of the generator did not do as it was told."""


class _Hand:
    """One process: its pipes, its last progress, and the answers that are waited for."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.process = process
        self.progress = Progress(acknowledged=0, window_acknowledged=0, errors=0)
        self._writer, self._reader = process.stdin, process.stdout
        self._answers: list[asyncio.Future[Any]] = []
        self._listening = asyncio.create_task(self._listen())

    def tell(self, name: str, *arguments: object) -> "asyncio.Future[Any]":
        """Have it do something; the answer comes when it is done. Raises CrewFailed by the answer."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_seen)
        if self._listening.done():
            answer.set_exception(CrewFailed("a process of the generator has ended"))
            return answer
        self._answers.append(answer)
        self._writer.write(frame((name, arguments)))
        return answer

    def give(self, job: Job) -> None:
        """Its job, before anything else."""
        self._writer.write(frame(job))

    async def _listen(self) -> None:
        try:
            while True:
                kind, said = await read_frame(self._reader)
                if kind == "progress":
                    self.progress = said
                elif kind == "failed":
                    self._answers.pop(0).set_exception(OSError(said))
                else:
                    self._answers.pop(0).set_result(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            for answer in self._answers:
                answer.set_exception(CrewFailed("a process of the generator has ended"))

    async def end(self) -> None:
        """Let it go."""
        self._writer.close()
        try:
            await asyncio.wait_for(self.process.wait(), _END_S)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self._listening.cancel()


def _seen(answer: "asyncio.Future[Any]") -> None:
    """An error that nobody waits for is seen by the next order."""
    if not answer.cancelled():
        answer.exception()


class Crew:
    """All processes of one side."""

    by_schedule = False

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.tally = Tally()
        self.seats: list[Seat] = []
        """Filled at the end."""
        self.deeds: dict[Deed, Histogram] = {}
        self.instead: Counter[str] = Counter()
        self.by_schedule = bool(jobs[0].phases)
        self._jobs = jobs
        self._hands: list[_Hand] = []
        self._opened_ns = 0

    @property
    def pids(self) -> dict[str, int]:
        """The processes, by name."""
        return {f"generator-{number}": hand.process.pid for number, hand in enumerate(self._hands, 1)}

    @property
    def last(self) -> tuple[int, Second] | None:
        """The last whole second of the window that all have told of, with its number from 1 on."""
        told = [hand.progress for hand in self._hands]
        number = min((one.number for one in told), default=0)
        if not number:
            return None
        whole = Second()
        whole.lasts_s = 0.0
        for one in told:
            if one.last is not None:
                whole.add(one.last)
        return number, whole

    async def connect(self, count: int) -> None:
        """Start the processes and have them open `count` connections together. Raises OSError, CrewFailed."""
        for job in self._jobs:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                preexec_fn=_end_with_parent,
            )
            self._hands.append(_Hand(process))
            self._hands[-1].give(job)
        each, more = divmod(count, len(self._hands))
        await asyncio.gather(*(hand.tell("connect", each + (number < more)) for number, hand in enumerate(self._hands)))

    def start(self, at_ns: int | None = None, lead_s: float = 0.0) -> None:
        """As a loop does."""
        self._all("start", at_ns or perf_counter_ns(), lead_s)

    def open_window(self, at_ns: int | None = None) -> None:
        """As a loop does, at the same moment in all processes."""
        self._opened_ns = at_ns or perf_counter_ns()
        self._all("open_window", self._opened_ns)

    def close_window(self, at_ns: int | None = None) -> None:
        """As a loop does, at the same moment in all processes."""
        closed_ns = at_ns or perf_counter_ns()
        self.tally.window_ns += closed_ns - self._opened_ns
        self._all("close_window", closed_ns)

    async def rest(self) -> None:
        """As a loop does. Raises CrewFailed."""
        await asyncio.gather(*self._all("rest"))
        self.look()

    def look(self) -> None:
        """Take over how far the processes are."""
        self.tally.window_acknowledged = sum(hand.progress.window_acknowledged for hand in self._hands)

    async def end(self) -> None:
        """Collect what they have counted, and let them go. Raises CrewFailed."""
        try:
            results: list[Result] = await asyncio.gather(*self._all("end"))
        finally:
            for hand in self._hands:
                await hand.end()
        window_ns = self.tally.window_ns
        self.tally = Tally()
        self.tally.window_ns = window_ns
        for result in results:
            self.tally.add(result.tally)
            self.seats += result.seats
            self.instead.update(result.instead)
            for deed, histogram in result.deeds.items():
                self.deeds.setdefault(deed, Histogram()).merge(histogram)
        self.tally.seconds = merged([result.tally.seconds for result in results])
        self._hands = []

    async def leave(self) -> None:
        """Let them go, whatever they have counted."""
        for hand in self._hands:
            with contextlib.suppress(ProcessLookupError):
                hand.process.kill()
            await hand.end()
        self._hands = []

    def _all(self, name: str, *arguments: object) -> "list[asyncio.Future[Any]]":
        return [hand.tell(name, *arguments) for hand in self._hands]


def _end_with_parent() -> None:
    """Runs in the child: if the parent is killed, so is it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
