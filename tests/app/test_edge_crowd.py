"""When more comes than can be done: what is refused by its head, what is not, and who begins when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from caudal import connectors
from caudal.app.edge import turns
from caudal.app.edge.exchange import Exchange
from caudal.app.edge.turns import Turns
from caudal.app.web import Opened, refused
from caudal.kernel.context import Context
from caudal.kernel.errors import Invalid, Overloaded
from tests.api import Api
from tests.app.edge import BODY, LIVE, Edge, creating
from tests.conftest import settings_of


async def test_a_full_queue_refuses_by_the_head_and_the_connection_goes_on(
    edge: Edge, ana: Api, context: Context
) -> None:
    context.shard(0).lanes.admitted = context.settings.queue_limit
    caller = await edge.call()
    for body in (BODY, b"{" * len(BODY)):  # which nobody reads
        await caller.send(creating(ana) + body)
        answer = await caller.answer()
        assert (answer.status, answer.json["code"], answer.json["retry"]) == (503, "overloaded", "after")
        assert int(answer.headers["retry-after"]) >= 1 and "connection" not in answer.headers
    await caller.send(creating(ana, b"Authorization2: x").replace(b"Bearer sk_", b"Bearer no_") + BODY)
    assert (await caller.answer()).status == 503, "whose key it is, is not looked up"
    context.shard(0).lanes.admitted = 0
    await caller.send(creating(ana) + BODY)
    assert (await caller.answer()).status == 201


async def test_a_full_queue_keeps_nobody_from_looking_and_no_provider_from_telling(
    edge: Edge, ana: Api, context: Context
) -> None:
    context.shard(0).lanes.admitted = context.settings.queue_limit
    assert (await ana.get("/v1/payins")).status == 200
    assert (await ana.deposit("646180000000000005", 100)).status == 200
    assert (await ana.create()).status == 503


async def test_a_merchant_that_fills_the_queue_is_told_so_by_the_head_and_no_other_is(
    edge: Edge, ana: Api, context: Context
) -> None:
    lanes, caro = context.shard(0).lanes, Api(context)
    await caro.ana("Caro")
    assert [(await api.create()).status for api in (ana, caro)] == [201, 201]
    [(book,)] = await context.rows("select distinct book from payin order by book limit 1")
    lanes.admitted = lanes._of_book[book] = 6_000
    lanes.drain_per_s = 1e6
    answers = []
    for api in (ana, caro):
        caller = await edge.call(creating(api) + BODY)
        answers.append(await caller.answer())
    assert [answer.status for answer in answers] == [429, 201]
    assert answers[0].json["code"] == "too_many_requests" and "retry-after" in answers[0].headers
    lanes._of_book.clear()


async def test_a_crowd_before_a_provider_is_refused_before_anything_is_read(database_url: str) -> None:
    settings = settings_of(database_url, sandbox_url="http://127.0.0.1:9", provider_secret_test="quiet")
    async with Context(settings, name="test") as context:
        ana = Api(context)
        await ana.ana()
        await refuses_for_the_provider_alone(ana, context)


async def refuses_for_the_provider_alone(ana: Api, context: Context) -> None:
    door = connectors.door(context, "sandbox", "test")
    door.inside = 1_000_000
    for body in ({"method": "card", "country": "BR"}, {"method": "card", "country": "BR", "amount": "nonsense"}):
        answered = await ana.post("/v1/payins", body)
        assert (answered.status, answered.code) == (503, "overloaded") and "retry-after" in answered.headers
    assert (await ana.create()).status == 201, "others wait for nobody"
    for odd in (b"[]", b"{", b"\xff", b'{"method":7}'):
        assert (await ana.post("/v1/payins", odd)).status in (400, 422)
    door.inside = 0


class Told:
    """Whom turns are told to."""

    def __init__(self, waited: Callable[[Opened, float, int], None]) -> None:
        self.coming, self.waited = 0, waited


def opened(timeout_s: float = 1.0) -> Opened:
    made = refused(Invalid("malformed_http", "nothing"))
    made.refusal, made.timeout_s = None, timeout_s
    return made


async def test_requests_begin_a_few_at_a_time_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 2)
    begun, waited = list[int](), list[float]()
    some = Turns(Told(lambda opened, seconds, ahead: waited.append(seconds)))

    def go_on(number: int, exchange: Exchange) -> None:
        if some.take(exchange, lambda: go_on(number, exchange)):
            begun.append(number)

    for number in range(5):
        go_on(number, Exchange(opened()))
    assert begun == [0, 1]
    await asyncio.sleep(0)
    assert begun == [0, 1, 2, 3]
    go_on(5, Exchange(opened()))
    await asyncio.sleep(0)
    assert begun == [0, 1, 2, 3, 4, 5] and len(waited) == 4


async def test_what_is_refused_while_it_waits_takes_nobodys_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    some = Turns(Told(lambda opened, seconds, ahead: opened.refuse(Overloaded("overloaded", "no room"))))
    told = list[int]()
    for number in range(6):
        if some.take(Exchange(opened()), lambda number=number: told.append(number)):  # type: ignore[misc]
            told.append(number)
    await asyncio.sleep(0)
    assert told == [0, 1, 2, 3, 4, 5]


async def test_many_at_once_are_all_answered(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 3)
    callers = [await edge.call() for _ in range(20)]
    await asyncio.gather(*(caller.send(LIVE + LIVE) for caller in callers))
    for caller in callers:
        assert [(await caller.answer()).status for _ in range(2)] == [200, 200]
