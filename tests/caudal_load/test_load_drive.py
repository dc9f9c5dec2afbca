"""Both loops against a server that stalls, refuses, hangs up and talks nonsense."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable

import pytest

from caudal_load.drive import ClosedLoop, Loop, OpenLoop
from caudal_load.figures import least_share
from caudal_load.histogram import Histogram
from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import CARD_CAPTURED, SPEI_CREATE
from caudal_load.verify import judge
from tests.caudal_load.fake_caudal import (
    CREATED,
    HANG_UP,
    OVERLOADED,
    Answer,
    Asked,
    FakeCaudal,
    http,
    obliging,
    running,
)


def first(count: int, odd: Callable[[FakeCaudal, Asked], bytes]) -> Answer:
    """Answers the first `count` requests in an odd way, all others well."""

    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        return odd(fake, asked) if len(fake.asked) <= count else await obliging(fake, asked)

    return answer


def closed(fake: FakeCaudal) -> ClosedLoop:
    target = Target.of(fake.url)
    return ClosedLoop(target, Requests(SPEI_CREATE, target, ["sk_test_ana"]))


def open_(fake: FakeCaudal, rate: float) -> OpenLoop:
    target = Target.of(fake.url)
    return OpenLoop(target, Requests(SPEI_CREATE, target, ["sk_test_ana"]), rate)


async def drive(loop: ClosedLoop | OpenLoop, connections: int, seconds: float) -> Histogram:
    """Load for a while, all of it measured; the latencies of all connections."""
    await loop.connect(connections)
    loop.open_window()
    loop.start()
    await asyncio.sleep(seconds)
    loop.close_window()
    await loop.rest()
    await loop.end()
    latencies = Histogram()
    for seat in loop.seats:
        latencies.merge(seat.histogram)
    return latencies


def percentile_ms(latencies: Histogram, percent: float) -> float:
    return (latencies.percentile_ns(percent) or 0) / 1e6


async def test_a_closed_loop_has_one_request_in_flight_on_every_connection() -> None:
    in_flight: list[int] = [0]

    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        in_flight.append(in_flight[-1] + 1)
        await asyncio.sleep(0.005)
        in_flight.append(in_flight[-1] - 1)
        return await obliging(fake, asked)

    async with running(FakeCaudal(answer)) as fake:
        loop = closed(fake)
        await drive(loop, 8, 0.2)
    assert max(in_flight) == 8
    assert fake.connections == 8
    assert loop.tally.acknowledged == len(fake.payins) > 8


async def test_a_payment_that_was_declined_is_no_acknowledgement_and_one_under_way_is_counted() -> None:
    outcomes = iter(["declined", "submitting", "paid"])

    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        status = next(outcomes, "paid")
        return http(CREATED, {"id": f"payin_{fake.book(asked).hex}", "object": "payin", "status": status})

    async with running(FakeCaudal(answer)) as fake:
        target = Target.of(fake.url)
        loop = ClosedLoop(target, Requests(CARD_CAPTURED, target, ["sk_test_ana"], instruments=[["instr_1"]]))
        await drive(loop, 1, 0.1)
    assert (loop.tally.refused_by_status, loop.tally.submitting) == ({201: 1}, 1)
    assert loop.tally.acknowledged == len(fake.payins) - 1


async def test_what_is_captured_is_the_rate_and_what_is_under_way_is_only_acknowledged() -> None:
    outcomes = itertools.cycle(["submitting", "paid", "paid"])

    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        return http(CREATED, {"id": f"payin_{fake.book(asked).hex}", "object": "payin", "status": next(outcomes)})

    async with running(FakeCaudal(answer)) as fake:
        target = Target.of(fake.url)
        loop = ClosedLoop(target, Requests(CARD_CAPTURED, target, ["sk_test_ana"], instruments=[["instr_1"]]))
        await drive(loop, 1, 0.1)
    assert loop.tally.acknowledged == len(fake.payins) > 10
    assert loop.tally.submitting == -(-loop.tally.acknowledged // 3)
    # The last answer may have come when the window was over.
    assert loop.tally.window_acknowledged in (paid := loop.tally.acknowledged - loop.tally.submitting, paid - 1)


async def test_a_starved_connection_shows() -> None:
    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        if len(fake.asked) == 1:
            await asyncio.sleep(1.0)
        return await obliging(fake, asked)

    async with running(FakeCaudal(answer)) as fake:
        loop = closed(fake)
        await drive(loop, 4, 0.2)
    assert sorted(seat.acknowledged for seat in loop.seats)[0] == 0
    assert least_share(loop.seats) == 0
    assert sum(seat.acknowledged for seat in loop.seats) == loop.tally.window_acknowledged > 100


async def test_connections_that_are_served_alike_have_alike_shares() -> None:
    async with running(FakeCaudal()) as fake:
        loop = closed(fake)
        await drive(loop, 4, 0.2)
    assert 0.8 < (least_share(loop.seats) or 0) <= 1


def test_nothing_acknowledged_has_no_shares() -> None:
    assert least_share([]) is None


async def test_every_acknowledgement_is_remembered_the_unmeasured_ones_too() -> None:
    async with running(FakeCaudal()) as fake:
        loop = closed(fake)
        await loop.connect(2)
        loop.start()
        await asyncio.sleep(0.05)
        loop.open_window()
        opened_s = time.monotonic()
        await asyncio.sleep(0.05)
        loop.close_window()
        window_s = time.monotonic() - opened_s
        await asyncio.sleep(0.05)
        await loop.rest()
        await loop.end()
    assert 0 < loop.tally.window_acknowledged < loop.tally.acknowledged == len(fake.payins)
    assert dict(fake.payins) == {id: loop._requests.token(number) for number, id in loop.tally.promises()}
    assert loop.tally.rate == pytest.approx(loop.tally.window_acknowledged / window_s, rel=0.2)


async def stalls(loop: Callable[[FakeCaudal], ClosedLoop | OpenLoop]) -> tuple[Histogram, float]:
    """A second's load on a server that stands still for 0.3 s of it, and how long that second was."""
    free = asyncio.Event()
    free.set()

    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        await free.wait()
        return await obliging(fake, asked)

    async def stall() -> None:
        await asyncio.sleep(0.3)
        free.clear()
        await asyncio.sleep(0.3)
        free.set()

    async with running(FakeCaudal(answer)) as fake:
        began_s = time.monotonic()
        latencies, _ = await asyncio.gather(drive(loop(fake), 1, 1.0), stall())
    return latencies, time.monotonic() - began_s


async def test_an_open_loop_sees_a_stall_as_its_customers_do() -> None:
    latencies, seconds = await stalls(lambda fake: open_(fake, 200))
    assert 197 <= latencies.total <= 200 * seconds + 3
    assert percentile_ms(latencies, 50) < 50
    assert percentile_ms(latencies, 85) > 70, "half of the arrivals of the stall waited more than 150 ms"
    assert percentile_ms(latencies, 99) > 250


async def test_a_closed_loop_omits_it_which_is_why_there_is_an_open_one() -> None:
    latencies, _ = await stalls(closed)
    assert percentile_ms(latencies, 99) < 100
    assert percentile_ms(latencies, 100) > 250


@pytest.mark.alone
async def test_arrivals_come_at_the_rate_whatever_the_server_does() -> None:
    async with running(FakeCaudal()) as fake:
        loop = open_(fake, 500)
        latencies = await drive(loop, 4, 0.6)
    offered = sum(second.offered for second in loop.tally.seconds)
    assert loop.tally.window_ns >= 600_000_000
    assert offered == pytest.approx(500 * loop.tally.window_ns / 1e9, abs=5), "a sleep may last longer than it should"
    assert len(fake.asked) == offered
    assert loop.tally.rate == pytest.approx(500, rel=0.1)
    assert percentile_ms(latencies, 50) < 5


async def test_arrivals_wait_when_the_pool_is_as_large_as_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.drive.MOST_CONNECTIONS", 4)

    async def slow(fake: FakeCaudal, asked: Asked) -> bytes:
        await asyncio.sleep(0.05)
        return await obliging(fake, asked)

    async with running(FakeCaudal(slow)) as fake:
        loop = open_(fake, 160)
        latencies = await drive(loop, 1, 0.5)
    assert len(loop.seats) == fake.connections == 4
    assert loop.tally.acknowledged == latencies.total == pytest.approx(80, abs=2)
    assert percentile_ms(latencies, 99) > 300, "four connections carry 80 a second: the last arrival waits for 40"


async def test_a_late_answer_counts_for_the_window_of_its_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    async def late(fake: FakeCaudal, asked: Asked) -> bytes:
        await asyncio.sleep(0.3)
        return await obliging(fake, asked)

    async with running(FakeCaudal(late)) as fake:
        loop = open_(fake, 100)
        latencies = await drive(loop, 8, 0.2)
    assert (loop.tally.window_acknowledged, latencies.total) == (0, loop.tally.acknowledged)
    assert percentile_ms(latencies, 50) >= 298


async def test_a_refusal_is_counted_by_its_status_and_has_no_latency() -> None:
    def overloaded(fake: FakeCaudal, asked: Asked) -> bytes:
        return http(OVERLOADED, {"code": "overloaded"}, "Retry-After: 1")

    async with running(FakeCaudal(first(10, overloaded))) as fake:
        loop = closed(fake)
        latencies = await drive(loop, 1, 0.1)
    assert loop.tally.refused_by_status == {503: 10}
    assert sum((second.errors for second in loop.tally.seconds), Counter()) == {"503 overloaded": 10}
    assert latencies.total == loop.tally.window_acknowledged
    assert loop.tally.acknowledged == len(fake.asked) - 10


@pytest.mark.parametrize(
    ("odd", "malformed"),
    [
        (HANG_UP, 0),
        (b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1),
        (http("201 Created", {"id": "payin_" + "0" * 32}) * 2, 1),
        (http("201 Created", {"id": "payin_" + "0" * 32})[:-3] + HANG_UP, 0),
    ],
    ids=["hangs up", "chunked", "answers twice", "hangs up in the middle"],
)
async def test_a_broken_answer_is_unknown_and_the_connection_is_made_again(odd: bytes, malformed: int) -> None:
    async def answer(fake: FakeCaudal, asked: Asked) -> bytes:
        return odd if len(fake.asked) == 3 else await obliging(fake, asked)

    async with running(FakeCaudal(answer)) as fake:
        loop = closed(fake)
        await drive(loop, 1, 0.25)
    assert loop.tally.unknown == 1
    assert loop.tally.malformed == malformed
    assert fake.connections == 2
    assert loop.tally.acknowledged == len(fake.payins) > 3


async def test_an_acknowledgement_without_an_id_is_malformed() -> None:
    async with running(FakeCaudal(first(1, lambda *_: http("201 Created", {"status": "pending"})))) as fake:
        loop = closed(fake)
        await drive(loop, 1, 0.05)
    assert loop.tally.malformed == 1


async def test_a_connection_that_the_server_closes_in_order_loses_nothing() -> None:
    def closing(fake: FakeCaudal, asked: Asked) -> bytes:
        return http("201 Created", {"id": f"payin_{fake.book(asked).hex}"}, "Connection: close")

    async with running(FakeCaudal(first(3, closing))) as fake:
        loop = closed(fake)
        await drive(loop, 1, 0.2)
    assert fake.connections == 4
    assert loop.tally.unknown == 0
    assert not judge(loop._requests, loop.tally, fake.payins).lost


async def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.drive.PATIENCE_NS", 100_000_000)

    async def silent(fake: FakeCaudal, asked: Asked) -> bytes:
        await asyncio.sleep(60)
        return b""

    async with running(FakeCaudal(silent)) as fake:
        loop = open_(fake, 50)
        latencies = await drive(loop, 2, 0.2)
        fake_tasks = [task for task in asyncio.all_tasks() if task.get_coro().__name__ == "serve"]  # type: ignore[union-attr]
        for task in fake_tasks:
            task.cancel()
    assert loop.tally.acknowledged == 0
    assert loop.tally.unknown == latencies.total == pytest.approx(10, abs=2)
    assert percentile_ms(latencies, 50) > 100, "they count with the time that they were waited for"


async def test_a_generator_that_is_late_counts_it_and_its_latencies_hold_the_delay() -> None:
    async with running(FakeCaudal()) as fake:
        loop = open_(fake, 200)
        await loop.connect(4)
        loop.open_window()
        loop.start()
        await asyncio.sleep(0.05)
        time.sleep(0.1)  # noqa: ASYNC251 - stands for a machine that is too busy
        await asyncio.sleep(0.05)
        loop.close_window()
        await loop.rest()
        await loop.end()
    late = sum(second.late for second in loop.tally.seconds)
    assert 19 <= late <= sum(second.offered for second in loop.tally.seconds)
    assert (loop.tally.lateness.percentile_ns(100) or 0) > 90_000_000


async def test_what_is_left_of_a_window_is_a_second_of_its_own_or_belongs_to_the_last_one() -> None:
    target = Target(host="127.0.0.1", port=9)
    for length_ns, lasts_s in ((2_100_000_000, [1.0, 1.1]), (2_300_000_000, [1.0, 1.0, 0.3]), (100_000_000, [0.1])):
        loop = ClosedLoop(target, Requests(SPEI_CREATE, target, ["sk_test_ana"]))
        loop.open_window(1_000)
        loop.close_window(1_000 + length_ns)
        assert [second.lasts_s for second in loop.tally.seconds] == lasts_s


async def test_a_server_that_is_not_there_is_an_error() -> None:
    target = Target(host="127.0.0.1", port=9)
    loop: Loop = ClosedLoop(target, Requests(SPEI_CREATE, target, ["sk_test_ana"]))
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await loop.connect(1)
    await loop.end()
