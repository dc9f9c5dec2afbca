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
from collections.abc import Callable, Iterator
from time import perf_counter_ns

from caudal_load.arrivals import Arrivals
from caudal_load.connection import IDLE, Connection
from caudal_load.histogram import bucket_of
from caudal_load.response import Response
from caudal_load.scenario import Requests, Target
from caudal_load.seconds import SECOND_NS, Second
from caudal_load.shapes import for_ever
from caudal_load.tally import ID_DIGITS, Tally

PATIENCE_NS = 10_000_000_000
"""After so long without an answer the generator hangs up; the request counts as unknown."""
MOST_CONNECTIONS = 512
"""How far an open loop's pool grows; arrivals beyond it wait, and their wait counts."""
LATE_NS = 2_000_000
"""An arrival that the generator notices so long after its time counts as late: then it was the limit itself."""
_NEVER_NS = 1 << 62
_STATUS = b'"status":"'
_CODE = b'"code":"'
_NO_ANSWER, _MALFORMED = "no answer", "malformed"
_SHORTEST_SECOND_NS = 250_000_000
"""What is left of a window beyond whole seconds and shorter than this counts to the last of them."""
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
        requests.tell(self.tally)
        self._deeds = requests.deeds
        self._acknowledged = requests.scenario.acknowledged
        self._id_prefix = requests.scenario.id_prefix.encode()
        self._outcomes = requests.scenario.outcomes
        self._counted = requests.scenario.counted
        self.promised: Callable[[int, bytes], None] | None = None
        """Who else hears of an acknowledgement: the request's number, and its answer."""
        self._opened_ns = self._closed_ns = _NEVER_NS
        self._first_second, self._last_second = 0, _NEVER_NS
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

    def open_window(self, at_ns: int | None = None) -> None:
        """From now on, or from that moment, answers count."""
        self._opened_ns, self._closed_ns = at_ns or perf_counter_ns(), _NEVER_NS
        self._first_second, self._last_second = len(self.tally.seconds), _NEVER_NS

    def close_window(self, at_ns: int | None = None) -> None:
        """From then on they do not; late answers to arrivals of the window still do in an open loop."""
        self._closed_ns = at_ns or perf_counter_ns()
        length_ns = self._closed_ns - self._opened_ns
        self.tally.window_ns += length_ns
        whole, rest_ns = divmod(length_ns, SECOND_NS)
        apart = rest_ns >= _SHORTEST_SECOND_NS or not whole
        seconds, last = self.tally.seconds, self._first_second + whole - (not apart)
        while len(seconds) <= last:
            seconds.append(Second())
        for beyond in seconds[last + 1 :]:
            seconds[last].add(beyond)
        del seconds[last + 1 :]
        self._last_second = last
        seconds[last].lasts_s = (rest_ns if apart else SECOND_NS + rest_ns) / SECOND_NS

    def _at(self, at_ns: int) -> Second:
        """The second of the window in which this moment is."""
        index, seconds = self._first_second + (at_ns - self._opened_ns) // SECOND_NS, self.tally.seconds
        if index > self._last_second:
            index = self._last_second
        while index >= len(seconds):
            seconds.append(Second())
        return seconds[index]

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
        second = self._at(now_ns) if self._opened_ns <= now_ns < self._closed_ns else None
        if second is not None:
            tally.window_answered += 1
            second.answered += 1
        if self._deeds is not None and connection.number in self._deeds.in_flight:
            self._deed_answered(connection, response, buffer, now_ns, second)
            return
        if response.status not in self._acknowledged:
            self.turned_away(connection, response, buffer, now_ns)
            return
        found = buffer.find(self._id_prefix, response.body_start)
        digits_start = found + len(self._id_prefix)
        digits = buffer[digits_start : digits_start + ID_DIGITS]
        if found < 0 or len(digits) != ID_DIGITS:
            self._unreadable(now_ns)
            return
        outcome = _outcome(buffer, digits_start) if self._outcomes is not None else None
        if self._outcomes is not None and outcome not in self._outcomes:
            tally.refuse(response.status, buffer[response.body_start : response.end])
            self._error(now_ns, f"{response.status} {outcome.decode(errors='replace') if outcome else ''}")
            return
        tally.submitting += outcome == b"submitting"
        tally.acknowledge(connection.number, digits)
        if self.promised is not None:
            self.promised(connection.number, buffer)
        if self._deeds is not None:
            self._deeds.learn(self._requests.known(connection.number, digits), outcome)
        if second is not None and (self._counted is None or outcome in self._counted):
            self._acknowledged_in_window(connection, now_ns, second)
        self._record(connection, now_ns, second)

    def _acknowledged_in_window(self, connection: Connection, now_ns: int, second: Second) -> None:
        self.tally.window_acknowledged += 1
        second.acknowledged += 1
        connection.acknowledged += 1
        self.counted(connection, now_ns)

    def _record(self, connection: Connection, now_ns: int, second: Second | None) -> bool:
        """Count a latency if it belongs to the window, and say so. `second` is that of the answer."""
        since_ns = connection.since_ns
        if self.by_schedule:
            if not self._opened_ns <= since_ns < self._closed_ns:
                return False
            second = self._at(since_ns)
            self.tally.service.counts[bucket_of(now_ns - connection.sent_ns)] += 1
        elif second is None:
            return False
        bucket = bucket_of(now_ns - since_ns)
        connection.histogram.counts[bucket] += 1
        second.latencies.counts[bucket] += 1
        return True

    def _deed_answered(
        self, connection: Connection, response: Response, buffer: bytes, now_ns: int, second: Second | None
    ) -> None:
        assert self._deeds is not None
        deed, known = self._deeds.in_flight.pop(connection.number)
        right = self._deeds.done(deed, known, response.status, buffer)
        if right is None:
            self.turned_away(connection, response, buffer, now_ns)
        elif not right:
            self._unreadable(now_ns)
        else:
            if second is not None:
                self._acknowledged_in_window(connection, now_ns, second)
            if self._record(connection, now_ns, second):
                self._deeds.histograms[deed].record(now_ns - connection.since_ns)

    def _unreadable(self, now_ns: int) -> None:
        self.tally.malformed += 1
        self._error(now_ns, _MALFORMED)

    def _error(self, now_ns: int, kind: str) -> None:
        if self._opened_ns <= now_ns < self._closed_ns:
            self._at(now_ns).errors[kind] += 1

    def turned_away(self, connection: Connection, response: Response, buffer: bytes, now_ns: int) -> None:
        """Count an answer that does not acknowledge."""
        body = buffer[response.body_start : response.end]
        self.tally.refuse(response.status, body)
        start = body.find(_CODE) + len(_CODE)
        code = body[start : body.find(b'"', start)].decode(errors="replace") if start >= len(_CODE) else ""
        self._error(now_ns, f"{response.status} {code}".rstrip())

    def counted(self, connection: Connection, now_ns: int) -> None:
        """An answer of the window that `rate` counts."""

    def broken(self, connection: Connection, malformed: bool) -> None:
        """Count what was in flight as unknown, and take the seat again."""
        if connection.number != IDLE:
            self.tally.malformed += malformed
            self.tally.unknown += 1
            self._error(perf_counter_ns(), _MALFORMED if malformed else _NO_ANSWER)
            self._record_unanswered(connection, connection.since_ns)
            if self._deeds is not None:
                self._deeds.in_flight.pop(connection.number, None)
        if not self._ending:
            self._spawn(self._reconnect(connection))

    def _record_unanswered(self, seat: Connection, since_ns: int) -> None:
        now_ns = perf_counter_ns()
        belongs_ns = since_ns if self.by_schedule else now_ns
        if self._opened_ns <= belongs_ns < self._closed_ns:
            seat.histogram.record(now_ns - since_ns)
            self._at(belongs_ns).latencies.record(now_ns - since_ns)

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

    def start(self, at_ns: int | None = None, lead_s: float = 0.0) -> None:
        """Put one request on every seat, now."""
        self.running = True
        for seat in self.seats:
            if seat.number == IDLE and seat.is_open:
                self.ready(seat)

    def ready(self, connection: Connection) -> None:
        """Ask again at once."""
        if self.running:
            request, now_ns = self._requests.next(), perf_counter_ns()
            connection.send(request, self._requests.number, now_ns, now_ns)
            if self._opened_ns <= now_ns < self._closed_ns:
                self._at(now_ns).sent += 1


class OpenLoop(Loop):
    """Arrivals by a schedule, answered or not; the pool of seats grows with the arrivals that find none free.

    The schedule are nanoseconds from the start on, in order, of a load whose first seconds are not measured; without
    one arrivals come at a constant rate.
    """

    by_schedule = True

    def __init__(
        self,
        target: Target,
        requests: Requests,
        rate: float,
        most_connections: int | None = None,
        schedule: Callable[[float], Iterator[int]] | None = None,
    ) -> None:
        super().__init__(target, requests)
        self._most = most_connections or MOST_CONNECTIONS
        self._schedule = schedule or (lambda _lead_s: for_ever(rate))
        self._free: deque[Connection] = deque()
        self._waiting: deque[int] = deque()
        self._opening = 0
        self._arrivals: Arrivals | None = None

    def start(self, at_ns: int | None = None, lead_s: float = 0.0) -> None:
        """Begin the schedule, now or at that moment."""
        self.running = True
        self._arrivals = Arrivals(self._schedule(lead_s), self._arrive, at_ns or perf_counter_ns())

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

    def _arrive(self, since_ns: int, now_ns: int) -> None:
        if self._opened_ns <= since_ns < self._closed_ns:
            second, late_ns = self._at(since_ns), now_ns - since_ns
            second.offered += 1
            second.late += late_ns > LATE_NS
            self.tally.lateness.counts[bucket_of(late_ns)] += 1
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
        request, now_ns = self._requests.next(), perf_counter_ns()
        seat.send(request, self._requests.number, since_ns, now_ns)
        if self._opened_ns <= now_ns < self._closed_ns:
            self._at(now_ns).sent += 1

    def _pending(self) -> bool:
        return bool(self._waiting) or super()._pending()
