"""Payers with an account at the sandbox's bank: each SPEI payin that is acknowledged is paid by one transfer.

Transfers queue for a few connections; one whose answer did not come is ordered again with the same tracking key.
"""

import asyncio
from collections import deque
from time import perf_counter_ns

from caudal_load.connection import IDLE, Connection
from caudal_load.flows import tracking_key
from caudal_load.response import Response
from caudal_load.scenario import Requests, Target

_CONNECTIONS = 4
_CLABE, _CLABE_DIGITS = b'"clabe":"', 18
_AMOUNT = b'"amount":'
_BODY = b'{"clabe":"%b","amount":%b,"currency":"MXN","payer_name":"Ana P\xc3\xa9rez","tracking_key":"%b"}'
_AGAIN_S = 0.2


class Payers:
    """They pay what they are told to."""

    def __init__(self, sandbox: Target, requests: Requests) -> None:
        self.refused = 0
        self.first_refusal = b""
        self._sandbox, self._requests = sandbox, requests
        self._head = (
            f"POST /v1/bank/transfers HTTP/1.1\r\nHost: {sandbox.host}:{sandbox.port}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()
        self._waiting: deque[tuple[int, bytes, bytes]] = deque()
        self._paying: dict[Connection, tuple[int, bytes, bytes]] = {}
        self._free: list[Connection] = []
        self._seats: list[Connection] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    async def connect(self) -> None:
        """Open the connections. Raises OSError."""
        for _ in range(_CONNECTIONS):
            self._seats.append(Connection(self))
            await self._open(self._seats[-1])

    async def end(self) -> None:
        """Close them."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        for seat in self._seats:
            seat.close()

    @property
    def idle(self) -> bool:
        """Whether everything is paid."""
        return not self._waiting and not self._paying

    def told(self, number: int, answer: bytes) -> None:
        """Request `number` was acknowledged with this answer: pay, if it names a CLABE."""
        start = answer.find(_CLABE)
        if start < 0:
            return
        start += len(_CLABE)
        amount = answer.find(_AMOUNT) + len(_AMOUNT)
        digits = answer[amount : answer.find(b",", amount)]
        self._waiting.append((number, answer[start : start + _CLABE_DIGITS], digits))
        if self._free:
            self.ready(self._free.pop())

    def ready(self, connection: Connection) -> None:
        """Pay who has waited longest."""
        if not self._waiting:
            self._free.append(connection)
            return
        number, clabe, amount = self._paying[connection] = self._waiting.popleft()
        name = tracking_key(self._requests.token(number)).encode()
        body = _BODY % (clabe, amount, name)
        now_ns = perf_counter_ns()
        connection.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body), number, now_ns, now_ns)

    def answered(self, connection: Connection, response: Response, buffer: bytes) -> None:
        """Paid, or refused."""
        del self._paying[connection]
        if response.status not in (200, 201):
            self.refused += 1
            self.first_refusal = self.first_refusal or buffer[response.body_start : response.end]

    def broken(self, connection: Connection, malformed: bool) -> None:
        """Pay again on a new connection."""
        if connection.number != IDLE and connection in self._paying:
            self._waiting.appendleft(self._paying.pop(connection))
        if connection in self._free:
            self._free.remove(connection)
        if not self._ending:
            task = asyncio.get_running_loop().create_task(self._reopen(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reopen(self, seat: Connection) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            try:
                return await self._open(seat)
            except OSError:
                continue

    async def _open(self, seat: Connection) -> None:
        await asyncio.get_running_loop().create_connection(lambda: seat, self._sandbox.host, self._sandbox.port)
