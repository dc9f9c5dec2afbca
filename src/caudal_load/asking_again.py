"""A closed loop that keeps whom it could tell nothing, and the question afterwards what became of them."""

import asyncio

from caudal_load.connection import IDLE, Connection
from caudal_load.drive import ClosedLoop
from caudal_load.response import Response, parse
from caudal_load.scenario import Requests, Target

PATIENCE_S = 60.0
_PAUSE_S = 0.1
_SAME_KEY = b'"retry":"same_key"'
_AFTER = b'"retry":"after"'


class Watched(ClosedLoop):
    """Numbers of the requests that were `refused`, and of those whose outcome is `unknown`."""

    def __init__(self, target: Target, requests: Requests) -> None:
        super().__init__(target, requests)
        self.target, self.requests = target, requests
        self.refused: list[int] = []
        self.unknown: list[int] = []

    def answered(self, connection: Connection, response: Response, buffer: bytes) -> None:
        """Count an answer, and keep its request's number where it promises nothing."""
        if response.status not in self.requests.scenario.acknowledged:
            body = buffer[response.body_start : response.end]
            (self.unknown if _SAME_KEY in body else self.refused).append(connection.number)
        super().answered(connection, response, buffer)

    def broken(self, connection: Connection, malformed: bool) -> None:
        """As in every loop; whoever was in flight does not know."""
        if connection.number != IDLE:
            self.unknown.append(connection.number)
        super().broken(connection, malformed)


async def asked_again(loop: Watched) -> int:
    """Ask for every unknown one until the answer is definite, and then once more; how many differ between the two.

    Raises OSError, TimeoutError.
    """
    differing = 0
    for number in loop.unknown:
        first = await _definite(loop, number)
        differing += first[0] not in loop.requests.scenario.acknowledged or await _definite(loop, number) != first
    return differing


async def _definite(loop: Watched, number: int) -> tuple[int, bytes]:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status, body = await _asked(loop.target, loop.requests.again(number))
            if _SAME_KEY not in body and _AFTER not in body:
                return status, body
            await asyncio.sleep(_PAUSE_S)


async def _asked(target: Target, request: bytes) -> tuple[int, bytes]:
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(request)
        buffer = b""
        while (response := parse(buffer)) is None:
            more = await reader.read(65_536)
            if not more:
                raise ConnectionResetError("the server hung up")
            buffer += more
        return response.status, buffer[response.body_start : response.end]
    finally:
        writer.close()
