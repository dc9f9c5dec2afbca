"""The two ways to drive a server: a closed loop, where every connection asks again when it is answered, and an open
loop, where arrivals follow a schedule.

A closed loop finds out what a server can do. It slows down with the server, so its percentiles say little about what
customers see: an open loop's do, because its clock starts at the scheduled arrival whether a connection was free or not
(no coordinated omission; Gil Tene's term).

The window: `rate` counts answers that came inside it. A latency belongs to it by the moment of the answer in a closed
loop, by the scheduled arrival in an open one, whose late answers are waited for after the window and count too. A
request that never gets an answer counts with the time it was waited for.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns

from caudal_load.arrivals import Arrivals
from caudal_load.connection import IDLE, Connection
from caudal_load.response import Response
from caudal_load.scenario import Requests, Target
from caudal_load.tally import ID_DIGITS, Tally

PATIENCE_NS = 10_000_000_000
"""After so long without an answer the generator hangs up; the request counts as unknown."""
MOST_CONNECTIONS = 512
"""How far an open loop's pool grows; arrivals beyond it wait, and their wait counts."""
_NEVER_NS = 1 << 62
_STATUS = b'"status":"'
_HANG_UP_S = 0.01
"""What the event loop may take to report the end of connections that were hung up."""


class Loop:
    """What both loops share: the seats, the window, the counting and the reconnecting."""

    by_schedule = False

    def __init__(self, target: Target, requests: Requests) -> None:
        self.tally = Tally()
        self.seats: list[Connection] = []
        self.running = False
        self._target = target
        self._requests = requests
        self._acknowledged = requests.scenario.acknowledged
        self._id_prefix = requests.scenario.id_prefix.encode()
        self._outcomes = requests.scenario.outcomes
        self._counted = requests.scenario.counted
        self.promised: Callable[[int, bytes], None] | None = None
        """Who else hears of an acknowledgement: the request's number, and its answer."""
        self._opened_ns = self._closed_ns = _NEVER_NS
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    async def connect(self, count: int) -> None:
        """Open `count` seats. Raises OSError if the server does not take the first connection."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            seat = self._seat()
            self.seats.append(seat)
            await loop.create_connection(lambda seat=seat: seat, self._target.host, self._target.port)  # type: ignore[misc]
        self._spawn(self._hang_up_on_the_silent())

    def _seat(self) -> Connection:
        return Connection(self)

    async def end(self) -> None:
        """Close every seat and every task."""
        self._ending = True
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for seat in self.seats:
            seat.close()
        await asyncio.sleep(_HANG_UP_S)

    def open_window(self) -> None:
        """From now on answers count."""
        self._opened_ns, self._closed_ns = perf_counter_ns(), _NEVER_NS

    def close_window(self) -> None:
        """From now on they do not; late answers to arrivals of the window still do in an open loop."""
        self._closed_ns = perf_counter_ns()
        self.tally.window_ns += self._closed_ns - self._opened_ns

    async def rest(self) -> None:
        """Send no more, and wait until nothing is in flight; what has no answer by then is given up."""
        self.running = False
        deadline_ns = perf_counter_ns() + PATIENCE_NS
        while self._pending() and perf_counter_ns() < deadline_ns:  # noqa: ASYNC110 - an event would cost every answer
            await asyncio.sleep(0.005)
        for seat in self.seats:
            if seat.number != IDLE:
                seat.close()
        await asyncio.sleep(_HANG_UP_S)

    def ready(self, connection: Connection) -> None:
        """A seat is free: give it something to ask."""
        raise NotImplementedError

    def answered(self, connection: Connection, response: Response, buffer: bytes) -> None:
        """Count an answer."""
        now_ns = perf_counter_ns()
        tally = self.tally
        in_window = self._opened_ns <= now_ns < self._closed_ns
        if in_window:
            tally.window_answered += 1
        if response.status not in self._acknowledged:
            self.turned_away(connection, response, buffer, now_ns)
            return
        found = buffer.find(self._id_prefix, response.body_start)
        digits_start = found + len(self._id_prefix)
        digits = buffer[digits_start : digits_start + ID_DIGITS]
        if found < 0 or len(digits) != ID_DIGITS:
            tally.malformed += 1
            return
        outcome = _outcome(buffer, digits_start) if self._outcomes is not None else None
        if self._outcomes is not None and outcome not in self._outcomes:
            tally.refuse(response.status, buffer[response.body_start : response.end])
            return
        tally.submitting += outcome == b"submitting"
        tally.acknowledge(connection.number, digits)
        if self.promised is not None:
            self.promised(connection.number, buffer)
        if in_window and (self._counted is None or outcome in self._counted):
            tally.window_acknowledged += 1
            connection.acknowledged += 1
            self.counted(connection, now_ns)
        if not self.by_schedule:
            if in_window:
                connection.histogram.record(now_ns - connection.since_ns)
        elif self._opened_ns <= connection.since_ns < self._closed_ns:
            connection.histogram.record(now_ns - connection.since_ns)

    def turned_away(self, connection: Connection, response: Response, buffer: bytes, now_ns: int) -> None:
        """Count an answer that does not acknowledge."""
        self.tally.refuse(response.status, buffer[response.body_start : response.end])

    def counted(self, connection: Connection, now_ns: int) -> None:
        """An answer of the window that `rate` counts."""

    def broken(self, connection: Connection, malformed: bool) -> None:
        """Count what was in flight as unknown, and take the seat again."""
        if connection.number != IDLE:
            self.tally.malformed += malformed
            self.tally.unknown += 1
            self._record_unanswered(connection, connection.since_ns)
        if not self._ending:
            self._spawn(self._reconnect(connection))

    def _record_unanswered(self, seat: Connection, since_ns: int) -> None:
        now_ns = perf_counter_ns()
        if self._opened_ns <= (since_ns if self.by_schedule else now_ns) < self._closed_ns:
            seat.histogram.record(now_ns - since_ns)

    def _pending(self) -> bool:
        return any(seat.number != IDLE for seat in self.seats)

    async def _reconnect(self, seat: Connection) -> None:
        """Knock until the server opens again: after 20 ms, 40 ms, … 1 s."""
        loop, pause_s = asyncio.get_running_loop(), 0.02
        while True:
            try:
                await loop.create_connection(lambda: seat, self._target.host, self._target.port)
            except OSError:
                await asyncio.sleep(pause_s)
                pause_s = min(1.0, pause_s * 2)
            else:
                return

    async def _hang_up_on_the_silent(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            oldest_ns = perf_counter_ns() - PATIENCE_NS
            for seat in self.seats:
                if seat.number != IDLE and seat.sent_ns < oldest_ns:
                    seat.close()

    def _spawn(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _outcome(buffer: bytes, id_start: int) -> bytes:
    """The object's `status`, which stands behind its id."""
    start = buffer.find(_STATUS, id_start) + len(_STATUS)
    return buffer[start : buffer.find(b'"', start)]


class ClosedLoop(Loop):
    """Every seat has one request in flight, always."""

    def start(self) -> None:
        """Put one request on every seat."""
        self.running = True
        for seat in self.seats:
            if seat.number == IDLE and seat.is_open:
                self.ready(seat)

    def ready(self, connection: Connection) -> None:
        """Ask again at once."""
        if self.running:
            now_ns = perf_counter_ns()
            requests = self._requests
            connection.send(requests.next(), requests.count - 1, now_ns, now_ns)


class OpenLoop(Loop):
    """Arrivals at a constant rate, answered or not; the pool of seats grows with the arrivals that find none free."""

    by_schedule = True

    def __init__(self, target: Target, requests: Requests, rate: float, most_connections: int | None = None) -> None:
        super().__init__(target, requests)
        self._rate, self._most = rate, most_connections or MOST_CONNECTIONS
        self._free: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._opening = 0
        self._arrivals: Arrivals | None = None

    def start(self) -> None:
        """Begin the schedule; its first arrival is now."""
        self.running = True
        self._arrivals = Arrivals(self._rate, self._arrive)

    async def rest(self) -> None:
        """Send what has arrived, but let nothing more arrive; what finds no seat in time counts as unsent."""
        if self._arrivals is not None:
            self._arrivals.stop()
        await super().rest()
        self.tally.unsent += len(self._waiting)
        for since_ns in self._waiting:
            self._record_unanswered(self.seats[0], since_ns)
        self._waiting.clear()

    async def end(self) -> None:
        """As in every loop, the schedule included."""
        if self._arrivals is not None:
            self._arrivals.stop()
        await super().end()

    def ready(self, connection: Connection) -> None:
        """Serve who has waited longest, or wait for the next arrival."""
        if self._waiting:
            self._send(connection, self._waiting.popleft())
        else:
            self._free.append(connection)

    def broken(self, connection: Connection, malformed: bool) -> None:
        """As in every loop; a seat that broke while it was free is not free any more."""
        with contextlib.suppress(ValueError):
            self._free.remove(connection)
        super().broken(connection, malformed)

    def _arrive(self, since_ns: int) -> None:
        if self._free:
            self._send(self._free.popleft(), since_ns)
            return
        self._waiting.append(since_ns)
        if self._opening < len(self._waiting) and len(self.seats) < self._most:
            seat = self._seat()
            self.seats.append(seat)
            self._opening += 1
            self._spawn(self._open(seat))

    async def _open(self, seat: Connection) -> None:
        try:
            await self._reconnect(seat)
        finally:
            self._opening -= 1

    def _send(self, seat: Connection, since_ns: int) -> None:
        requests = self._requests
        seat.send(requests.next(), requests.count - 1, since_ns, perf_counter_ns())

    def _pending(self) -> bool:
        return bool(self._waiting) or super()._pending()
