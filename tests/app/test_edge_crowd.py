"""When more comes than can be done: what is refused by its head, what is not, and who begins when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from caudal import connectors
from caudal.app.edge import turns
from caudal.app.edge.exchange import Exchange
from caudal.app.edge.turns import Turns
from caudal.app.web import Opened, Web, refused
from caudal.kernel.context import Context
from caudal.kernel.door import Door
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


@pytest.fixture
async def provided(database_url: str) -> AsyncIterator[Context]:
    """A process that has a provider of cards."""
    settings = settings_of(database_url, sandbox_url="http://127.0.0.1:9", provider_secret_test="quiet")
    async with Context(settings, name="test") as context:
        yield context


async def test_a_crowd_before_a_provider_is_refused_before_anything_is_read(provided: Context) -> None:
    context, ana = provided, Api(provided)
    await ana.ana()
    door = connectors.door(context, "sandbox", "test")
    door.inside = 1_000_000
    for body in ({"method": "card", "country": "BR"}, {"method": "card", "country": "BR", "amount": "nonsense"}):
        answered = await ana.post("/v1/payins", body)
        assert (answered.status, answered.code) == (503, "overloaded") and "retry-after" in answered.headers
    assert (await ana.create()).status == 201, "others wait for nobody"
    turned_away, lanes = door.turned_away, context.shard(0).lanes
    lanes.admitted = context.settings.queue_limit
    full = await ana.post("/v1/payins", {"method": "card", "country": "BR"})
    assert full.json["detail"] == "the queue is longer than the request's deadline"
    assert door.turned_away == turned_away, "what its head has refused goes to no door"
    lanes.admitted = 0
    for odd in (b"[]", b"{", b"\xff", b'{"method":7}'):
        assert (await ana.post("/v1/payins", odd)).status in (400, 422)
    door.inside = 0


class Told:
    """Whom turns are told to."""

    def __init__(self, waited: Callable[[Opened, bytes, float, int], None]) -> None:
        self.coming, self.waited = 0, waited


def opened(door: Door | None = None, *, first: bool = False) -> Opened:
    made = refused(Invalid("malformed_http", "nothing"))
    made.refusal, made.timeout_s, made.door, made.first = None, 1.0, door, first
    return made


async def test_requests_begin_a_few_at_a_time_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 2)
    begun, waited = list[int](), list[float]()
    some = Turns(Told(lambda opened, body, seconds, ahead: waited.append(seconds)))

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
    some = Turns(Told(lambda opened, body, seconds, ahead: opened.refuse(Overloaded("overloaded", "no room"))))
    told = list[int]()
    for number in range(6):
        if some.take(Exchange(opened()), lambda number=number: told.append(number)):  # type: ignore[misc]
            told.append(number)
    await asyncio.sleep(0)
    assert told == [0, 1, 2, 3, 4, 5]


async def test_who_is_on_the_way_is_counted_until_its_task_has_run_and_before_its_own_door_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 2)
    door, asked = Door("a provider"), list[int]()
    told = Told(lambda opened, body, seconds, ahead: asked.append(ahead))
    some, run = Turns(told), list[tuple[int, int]]()

    async def serve() -> None:
        run.append((told.coming, door.coming))

    tasks = list[asyncio.Task[None]]()

    def go_on(exchange: Exchange) -> None:
        if some.take(exchange, lambda: go_on(exchange)):
            tasks.append(asyncio.create_task(serve()))

    for kind in ("spei", "card", "look", "card", "spei"):
        go_on(Exchange(opened(door if kind == "card" else None, first=kind != "look")))
    assert (told.coming, door.coming) == (4, 2)
    await asyncio.sleep(0)
    assert (len(run), told.coming, door.coming) == (2, 2, 1), "two that have run are counted no more"
    assert asked == [2, 2], "they are ahead of those that begin behind them; who looks is ahead of nobody"
    await asyncio.sleep(0)
    assert (len(run), told.coming, door.coming) == (4, 1, 0) and asked == [2, 2, 1]
    await asyncio.sleep(0)
    assert (len(run), told.coming, door.coming) == (5, 0, 0)


async def test_a_crowd_that_came_behind_the_door_meanwhile_is_told_to_who_waited_for_its_turn(
    provided: Context,
) -> None:
    web, body = Web(provided), b'{"method":"card","country":"BR"}'
    headers = {b"authorization": b"Bearer sk_test_x", b"idempotency-key": b"x"}
    late = [web.opened("POST", "/v1/payins", b"", dict(headers)) for _ in range(2)]
    for one in late:
        web.arrived(one, body)
        assert (one.door, one.refusal) == (None, None), "there is no crowd anywhere"
    door = connectors.door(provided, "sandbox", "test")
    door.inside, door.rate_per_s = 96, 100.0
    web.waited(late[0], body, 0.5, 0)
    assert late[0].door is door and late[0].refusal is None
    door.coming = 400
    web.waited(late[1], body, 0.5, 0)
    assert late[1].refusal is not None and late[1].refusal.status == 503
    door.inside = 0


async def test_many_at_once_are_all_answered(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 3)
    callers = [await edge.call() for _ in range(20)]
    await asyncio.gather(*(caller.send(LIVE + LIVE) for caller in callers))
    for caller in callers:
        assert [(await caller.answer()).status for _ in range(2)] == [200, 200]
