"""What is shed: a crowd is refused by its bytes with the very answer of the parser's way, and nothing else is."""

from __future__ import annotations

import re

import pytest

from caudal import connectors
from caudal.app.edge.shed import Shedder, headers_of, shedder_of
from caudal.app.web import Web
from caudal.kernel.context import Context
from caudal.kernel.telemetry import Sampling, Span, Tracer
from tests.api import Api
from tests.app.edge import BODY, LIVE, Edge, creating
from tests.conftest import settings_of

MINE = b"Request-Id: mine-1"


@pytest.fixture
def crowd(context: Context) -> Context:
    """A queue without room."""
    context.shard(0).lanes.admitted = context.settings.queue_limit
    return context


def shedder(context: Context) -> Shedder:
    return Shedder(Web(context))


async def test_the_shed_answer_is_the_parsers_byte_for_byte(edge: Edge, ana: Api, crowd: Context) -> None:
    caller = await edge.call()
    asked = creating(ana, MINE) + BODY
    for _ in range(3):
        await caller.send(asked)
        assert (await caller.answer()).status == 503
    first, *shed = edge.writes
    assert shed == [first, first] and shedder_of(edge.only._web).on == 64
    assert shedder(crowd).refusal(asked) == first, "it is what the shedder says, and says alone"
    assert edge.state.total_requests == 3


async def test_who_names_no_request_is_given_one(ana: Api, crowd: Context) -> None:
    answers = [shedder(crowd).refusal(creating(ana) + BODY) or b"" for _ in range(2)]
    assert answers[0] != answers[1]
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        named = re.search(rb"\r\nrequest-id: (req_[0-9a-f]{32})\r\n", head)
        assert named is not None and body.endswith(b'"request_id":"%b"}' % named[1])
        assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(creating, id="no body yet"),
        pytest.param(lambda ana: creating(ana) + BODY[:-1], id="a part of it"),
        pytest.param(lambda ana: creating(ana) + BODY + b"G", id="more behind it"),
        pytest.param(lambda ana: (creating(ana) + BODY)[:60], id="a part of the head"),
        pytest.param(lambda ana: creating(ana, length=None) + BODY, id="no length"),
        pytest.param(lambda ana: creating(ana, b"Content-Length: 3") + BODY, id="two lengths"),
        pytest.param(lambda ana: creating(ana, b"Transfer-Encoding: chunked") + BODY, id="chunks"),
        pytest.param(lambda ana: creating(ana, b"Expect: 100-continue") + BODY, id="asks first"),
        pytest.param(lambda ana: creating(ana, b"Upgrade: h2c") + BODY, id="another protocol"),
        pytest.param(lambda ana: creating(ana, b"Connection: close") + BODY, id="its last"),
        pytest.param(lambda ana: creating(ana, b"X: a\r\n b") + BODY, id="a folded line"),
        pytest.param(lambda ana: creating(ana, b"X: a\nContent-Length: 0") + BODY, id="a bare end of a line"),
        pytest.param(lambda ana: creating(ana, b"X" * 9000 + b": a") + BODY, id="a long head"),
        pytest.param(lambda ana: creating(ana, b"Caudal-Version: 1999-01-01") + BODY, id="another version"),
        pytest.param(lambda ana: creating(ana, b"Request-Timeout-Ms: soon") + BODY, id="no time"),
        pytest.param(lambda ana: (creating(ana) + BODY).replace(b"1.1", b"1.0", 1), id="HTTP/1.0"),
        pytest.param(lambda ana: (creating(ana) + BODY).replace(b"POST", b"PUT", 1), id="another method"),
        pytest.param(lambda ana: (creating(ana) + BODY).replace(b"/payins", b"/payins/bulk", 1), id="many at once"),
        pytest.param(lambda ana: (creating(ana) + BODY).replace(b"/payins", b"/payins?x=1", 1), id="a query"),
        pytest.param(lambda ana: LIVE, id="a look"),
    ],
)
async def test_everything_else_is_the_parsers(ana: Api, crowd: Context, asked) -> None:  # type: ignore[no-untyped-def]
    assert shedder(crowd).refusal(asked(ana)) is None


async def test_a_request_in_two_parts_is_refused_as_one_and_the_next_is_shed(
    edge: Edge, ana: Api, crowd: Context
) -> None:
    caller = await edge.call()
    asked = creating(ana, MINE) + BODY
    for parts in ((asked,), (asked[:100], asked[100:]), (asked,)):
        await caller.send(*parts)
        assert (await caller.answer()).status == 503
    assert len(set(edge.writes)) == 1


async def test_what_comes_behind_a_request_that_runs_waits_for_it(edge: Edge, ana: Api, crowd: Context) -> None:
    caller = await edge.call(creating(ana) + BODY)
    assert (await caller.answer()).status == 503
    await caller.send(LIVE + creating(ana) + BODY)
    assert [(await caller.answer()).status for _ in range(2)] == [200, 503]


async def test_where_there_is_room_again_nothing_is_shed_and_the_shedder_goes_off(
    edge: Edge, ana: Api, context: Context
) -> None:
    context.shard(0).lanes.admitted = context.settings.queue_limit
    caller = await edge.call(creating(ana) + BODY)
    assert (await caller.answer()).status == 503
    context.shard(0).lanes.admitted = 0
    await caller.send(creating(ana) + BODY)
    assert (await caller.answer()).status == 201
    own = shedder(context)
    own.crowd()
    left = [own.refusal(creating(ana) + BODY) or own.on for _ in range(32)]
    left += [own.refusal(LIVE) or own.on for _ in range(32)]
    assert left == [*range(63, -1, -1)], "whoever only looks tells that it is over, too"


async def test_a_provider_with_a_crowd_is_seen_in_the_body(database_url: str) -> None:
    settings = settings_of(database_url, sandbox_url="http://127.0.0.1:9", provider_secret_test="quiet")
    async with Context(settings, name="test") as context:
        ana = Api(context)
        await ana.ana()
        own = shedder(context)
        door = connectors.door(context, "sandbox", "test")
        card = b'{"method":"card","country":"BR"}'
        asked = creating(ana, MINE, length=len(card)) + card
        assert own.refusal(asked) is None
        door.inside = 1_000_000
        assert b"too much waits for provider sandbox" in (own.refusal(asked) or b"")
        assert own.refusal(creating(ana) + BODY) is None, "others wait for nobody"
        door.inside, door.rate_per_s, own._web.coming = 96, 100.0, 500
        assert own.refusal(asked) is None, "and nobody waits for others that are on their way"
        door.coming = 500
        assert b"too much waits for provider sandbox" in (own.refusal(asked) or b"")
        door.inside = 0


async def test_what_is_on_its_way_takes_room(ana: Api, context: Context) -> None:
    web = Web(context)
    own = Shedder(web)
    assert own.refusal(creating(ana) + BODY) is None
    web.coming = 1_000_000
    assert own.refusal(creating(ana) + BODY) is not None


async def test_shed_requests_are_counted_and_a_few_of_a_second_are_traced(ana: Api, crowd: Context) -> None:
    web = Web(crowd)
    own = Shedder(web)
    assert own.refusal(creating(ana) + BODY) is not None
    readings = {(name, of): value for name, of, value in web._requests.readings()}
    assert readings["caudal.http.problems", ("overloaded",)] == 1
    assert ("http.server.request.duration", ("POST", "/v1/payins", "503", "http", "503")) in readings
    spans = list[Span]()
    crowd.tracer = Tracer(Sampling(share=0.0), spans.append, slow_s=1e9)
    assert own.refusal(creating(ana) + BODY) is None, "its span is made on the parser's way"
    web._refusals._clock = lambda: 1e6
    assert web._refusals.has_room
    web._refusals._left = 0
    assert own.refusal(creating(ana) + BODY) is not None
    crowd.tracer = None


def test_headers_are_read_in_one_way_or_not_at_all() -> None:
    assert headers_of(b"Host: x\r\nContent-Length:\t12 ") == {b"host": b"x", b"content-length": b"12"}
    assert headers_of(b"Host: x\r\nConnection: Keep-Alive") is not None
    for lines in (b"Host", b"Host: x\r\nhost: y", b"Host : x", b" Host: x", b"Host: x\ry", b"Host: x\n", b": x"):
        assert headers_of(lines) is None, lines
