"""One client's requests: each is written into the history before it leaves and when its answer is there.

A request goes to one of the API's addresses at random, as behind a plain balancer.
"""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiohttp
import msgspec

from caudal_load.faults.history import History, Line, Problem, What, now_s

PATIENCE_S = 14.0
"""The API's own deadline is 10 s."""
_NOBODY = (aiohttp.ClientConnectorError,)
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A request of a merchant's. Without a key it is a read; `timeout_ms` is what the caller tells the API, if any."""

    op: str
    merchant: int
    path: str
    key: str = ""
    body: str = ""
    timeout_ms: int | None = None

    def patient(self) -> "Ask":
        """The same, by somebody who can wait."""
        return replace(self, timeout_ms=None)


@dataclass(slots=True)
class Flight:
    """How many requests wait for their answers now."""

    count: int = 0


class Asker:
    """Whoever asks. `secrets` are the merchants' API keys."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        urls: Sequence[str],
        secrets: Sequence[str],
        history: History,
        seed: int,
        flight: Flight,
    ) -> None:
        self._session, self._urls, self._secrets, self.history = session, urls, secrets, history
        self._random, self._flight = random.Random(seed), flight

    async def ask(self, ask: Ask, client: str) -> Line:
        """One try; the line of its answer."""
        asked = Line(
            at_s=now_s(),
            what=What.INVOKE,
            client=client,
            op=ask.op,
            merchant=ask.merchant,
            key=ask.key,
            path=ask.path,
            number=next(_NUMBERS),
            phase=self.history.phase,
            request=ask.body,
        )
        self.history.add(asked)
        self._flight.count += 1
        try:
            told = await self._told(ask, asked)
        finally:
            self._flight.count -= 1
        self.history.add(told)
        return told

    async def _told(self, ask: Ask, asked: Line) -> Line:
        method, url = "POST" if ask.key else "GET", self._random.choice(self._urls) + ask.path
        headers = {"Authorization": f"Bearer {self._secrets[ask.merchant]}"}
        if ask.key:
            headers["Idempotency-Key"] = ask.key
        if ask.body:
            headers["Content-Type"] = "application/json"
        if ask.timeout_ms is not None:
            headers["Request-Timeout-Ms"] = str(ask.timeout_ms)
        try:
            async with self._session.request(method, url, headers=headers, data=ask.body or None) as response:
                answer = (await response.read()).decode()
                replayed = response.headers.get("Idempotent-Replayed") == "true"
        except _NOBODY:
            return _line(asked, What.REFUSED)
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return _line(asked, What.UNKNOWN)
        if response.status in (200, 201):
            return _line(asked, What.OK, response.status, answer, replayed)
        return _line(asked, _what(answer), response.status, answer, replayed)


def session() -> aiohttp.ClientSession:
    """Connections for as many clients as there are."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
    )


def _what(answer: str) -> What:
    """Whether a problem refuses; one that cannot be read says nothing."""
    try:
        problem = msgspec.json.decode(answer, type=Problem)
    except msgspec.MsgspecError:
        return What.UNKNOWN
    return What.UNKNOWN if problem.retry == "same_key" else What.REFUSED


def _line(asked: Line, what: What, status: int = 0, answer: str = "", replayed: bool = False) -> Line:
    return Line(
        at_s=now_s(),
        what=what,
        client=asked.client,
        op=asked.op,
        merchant=asked.merchant,
        key=asked.key,
        path=asked.path,
        number=asked.number,
        phase=asked.phase,
        status=status,
        answer=answer,
        replayed=replayed,
    )
