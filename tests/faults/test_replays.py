"""The same request with the same key, before and after a restart of everything: the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from tests.faults.asking import Answer, Ask, Asker, History
from tests.faults.restless import until
from tests.whole import Whole

pytestmark = pytest.mark.server

ORDER = {"amount": 12_050, "currency": "MXN", "country": "MX", "method": "spei", "reference": "order 7"}
SHORT_S = 5.0


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Whole]:
    started = Whole(open_tmp / "replays", CAUDAL_LEASE_S="1")
    started.start()
    yield started
    started.stop()


async def test_stored_answers_replay_byte_for_byte_after_a_restart(whole: Whole) -> None:
    async with aiohttp.ClientSession() as session:
        first = await asked(session, whole)
        assert [answer.status for answer in first.values()] == [201, 201, 200, 409, 201]
        assert not any(answer.replayed for answer in first.values())
        assert await asked_again(session, whole, first) == replayed(first)
    assert whole.stop() == 0
    whole.start()
    async with aiohttp.ClientSession() as session:
        assert await asked_again(session, whole, first) == replayed(first)
        expired = next(ask for ask in first if ask.key == "short")
        path = f"/v1/payins/{first[expired].json['id']}"
        await until(lambda: has_expired(session, whole, path), "the payin is another by now", 10.0)
        assert await asked_again(session, whole, first) == replayed(first), "the first answer, not today's state"
        other = Ask(path=expired.path, key=expired.key, body=json.dumps({**ORDER, "amount": 1_000}).encode())
        refused = await merchant(session, whole).answer(other)
        assert refused is not None and (refused.status, refused.json["code"]) == (422, "key_reused")


async def asked(session: aiohttp.ClientSession, whole: Whole) -> dict[Ask, Answer]:
    """Every kind of stored answer: created, cancelled, refused by a decision, an operator's return."""
    answers: dict[Ask, Answer] = {}

    async def ask(asker: Asker, path: str, key: str, body: object = None) -> Answer:
        one = Ask(path=path, key=key, body=b"" if body is None else json.dumps(body).encode())
        answer = await asker.answer(one)
        assert answer is not None
        answers[one] = answer
        return answer

    ana = merchant(session, whole)
    made = await ask(ana, "/v1/payins", "made", ORDER)
    soon = (datetime.now(UTC) + timedelta(seconds=SHORT_S)).isoformat().replace("+00:00", "Z")
    await ask(ana, "/v1/payins", "short", {**ORDER, "expires_at": soon})
    cancellations = f"/v1/payins/{made.json['id']}/cancellations"
    await ask(ana, cancellations, "cancelled")
    await ask(ana, cancellations, "cancelled twice")
    deposit = await unapplied(session, whole, made.json["next_action"]["clabe"])
    await ask(operator(session, whole), f"/v1/operator/deposits/{deposit}/returns", "returned")
    await asyncio.sleep(SHORT_S)
    return answers


async def asked_again(session: aiohttp.ClientSession, whole: Whole, first: dict[Ask, Answer]) -> list[Answer | None]:
    askers = {True: operator(session, whole), False: merchant(session, whole)}
    return [await askers["operator" in ask.path].answer(ask) for ask in first]


async def has_expired(session: aiohttp.ClientSession, whole: Whole, path: str) -> bool:
    shown = await merchant(session, whole).get(path)
    return shown is not None and bool(shown.json["status"] == "expired")


def replayed(first: dict[Ask, Answer]) -> list[Answer]:
    return [Answer(status=answer.status, body=answer.body, replayed=True) for answer in first.values()]


def merchant(session: aiohttp.ClientSession, whole: Whole) -> Asker:
    return Asker(session, whole.api_url, whole.key, History())


def operator(session: aiohttp.ClientSession, whole: Whole) -> Asker:
    return Asker(session, whole.api_url, whole.operator_key, History())


async def unapplied(session: aiohttp.ClientSession, whole: Whole, clabe: str) -> str:
    """The id of a deposit to a payin that was cancelled."""
    order = {"clabe": clabe, "amount": 500, "currency": "MXN", "payer_name": "Beto Ruiz"}
    async with session.post(f"{whole.sandbox_url}/v1/bank/transfers", json=order) as answer:
        assert answer.status == 201
    found: list[str] = []

    async def is_there() -> bool:
        listed = await operator(session, whole).get("/v1/operator/deposits")
        assert listed is not None and listed.status == 200, listed
        found.extend(deposit["id"] for deposit in listed.json["data"])
        return bool(found)

    await until(is_there, "the deposit is reported", 10.0)
    return found[0]
