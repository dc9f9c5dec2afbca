"""One request to the API and what came of it: acknowledged, refused or unknown.

acknowledged  200 or 201
refused       a problem that says so: `no` (and never), or `after` (nothing happened); or nobody could be connected to
unknown       the connection broke, no answer came, or the problem says `same_key`

An unknown one is asked again with its key until it has a definite answer, and then once more: the bytes must be the
same. An answer that docs/errors.md does not promise for the case is strange, and fails the test in the end.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp

PATIENCE_S = 14.0  # the API's own deadline is 10 s
PAUSE_S = 0.05


class Verdict(StrEnum):
    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A POST; the key is its request id too. `timeout_ms` is what the caller tells the API, if anything."""

    path: str
    key: str
    body: bytes = b""
    timeout_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Status 0: nobody could be connected to, so nobody has the request."""

    status: int
    body: bytes = b""
    replayed: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)


UNREACHED = Answer(status=0)
_PROMISED = {
    (409, "forbidden_transition", "no"): Verdict.REFUSED,
    (422, "invalid_request", "no"): Verdict.REFUSED,  # `expires_at` has passed by now
    (409, "key_in_progress", "after"): Verdict.REFUSED,
    (429, "too_many_requests", "after"): Verdict.REFUSED,
    (503, "database_unavailable", "after"): Verdict.REFUSED,
    (503, "overloaded", "after"): Verdict.REFUSED,
    (503, "provider_unavailable", "after"): Verdict.REFUSED,
    (503, "stopping", "after"): Verdict.REFUSED,
    (503, "try_again", "after"): Verdict.REFUSED,
    (500, "unknown_outcome", "same_key"): Verdict.UNKNOWN,
}


@dataclass
class History:
    """What was said, counted under whatever was killed last."""

    phase: str = "-"
    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    strange: list[str] = field(default_factory=list)

    def count(self, verdict: Verdict) -> None:
        self.counts[self.phase][verdict] += 1


class Asker:
    """A caller with a key. `in_flight` is how many requests wait for an answer now."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, key: str, history: History, patience_s: float = PATIENCE_S
    ) -> None:
        self._patience = aiohttp.ClientTimeout(total=patience_s)
        self._session, self._url, self._bearer, self.history = session, url, f"Bearer {key}", history
        self.in_flight = 0

    async def get(self, path: str) -> Answer | None:
        """A GET; None when no answer came."""
        return await self._send("GET", path, {}, b"")

    async def answer(self, ask: Ask) -> Answer | None:
        """A POST that nobody counts; None when no answer came."""
        return await self._once(ask)

    async def post(self, ask: Ask) -> tuple[Verdict, Answer | None]:
        """The first try, which counts. Whoever is told `unknown` has to `settle` it."""
        answer = await self._once(ask)
        verdict = self._judge(ask, answer)
        self.history.count(verdict)
        return verdict, answer

    async def settle(self, ask: Ask) -> Answer:
        """The definite answer of a request whose first answer was lost."""
        first, second = await self._definite(ask), await self._definite(ask)
        if (first.status, first.body) != (second.status, second.body):
            self.history.strange.append(f"{ask.key}: {first} and then {second}")
        return first

    async def _definite(self, ask: Ask) -> Answer:
        patient = Ask(path=ask.path, key=ask.key, body=ask.body)
        while True:
            answer = await self._once(patient)
            if self._judge(ask, answer) is not Verdict.UNKNOWN and answer is not None and _is_final(answer):
                return answer
            await asyncio.sleep(PAUSE_S)

    async def _once(self, ask: Ask) -> Answer | None:
        headers = {"Idempotency-Key": ask.key, "Request-Id": ask.key}
        if ask.body:
            headers["Content-Type"] = "application/json"
        if ask.timeout_ms is not None:
            headers["Request-Timeout-Ms"] = str(ask.timeout_ms)
        return await self._send("POST", ask.path, headers, ask.body)

    async def _send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer | None:
        headers["Authorization"] = self._bearer
        self.in_flight += 1
        try:
            sending = self._session.request(
                method, self._url + path, headers=headers, data=body or None, timeout=self._patience
            )
            async with sending as answer:
                text = await answer.read()
                replayed = answer.headers.get("Idempotent-Replayed") == "true"
                return Answer(status=answer.status, body=text, replayed=replayed)
        except aiohttp.ClientConnectorError:
            return UNREACHED
        except (aiohttp.ClientError, TimeoutError):
            return None
        finally:
            self.in_flight -= 1

    def _judge(self, ask: Ask, answer: Answer | None) -> Verdict:
        if answer is None:
            return Verdict.UNKNOWN
        if answer == UNREACHED:
            return Verdict.REFUSED
        if answer.status in (200, 201):
            return Verdict.ACKNOWLEDGED
        problem = answer.json
        verdict = _PROMISED.get((answer.status, problem["code"], problem["retry"]))
        if verdict is None:
            self.history.strange.append(f"{ask.path} {answer.status} {answer.body.decode()}")
            return Verdict.REFUSED
        return verdict


def _is_final(answer: Answer) -> bool:
    """Whether it is about the request; `after` is about this try alone and says nothing of the first one."""
    return answer.status in (200, 201) or (400 <= answer.status < 500 and answer.json["retry"] == "no")
