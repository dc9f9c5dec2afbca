"""The crew: several processes are one load, and their failures are the run's."""

import asyncio
import os
import signal
from time import perf_counter_ns

import pytest

from caudal_load.crew import Crew, CrewFailed, Job
from caudal_load.histogram import Histogram
from caudal_load.processes import is_running
from caudal_load.scenario import Target
from caudal_load.scenarios import SPEI_CREATE
from caudal_load.shapes import Phase, constant
from caudal_load.verify import judge
from tests.caudal_load.fake_caudal import FakeCaudal, running


def crew(fake: FakeCaudal, processes: int, *phases: Phase) -> Crew:
    target = Target.of(fake.url)
    return Crew(
        [
            Job(
                scenario=SPEI_CREATE,
                target=target,
                keys=["sk_test_ana"],
                instruments=[],
                run="0badcafe",
                first=number,
                step=processes,
                phases=phases,
            )
            for number in range(processes)
        ]
    )


async def drive(loaded: Crew, connections: int, seconds: float) -> None:
    await loaded.connect(connections)
    at_ns = perf_counter_ns()
    loaded.open_window(at_ns)
    loaded.start(at_ns)
    await asyncio.sleep(seconds)
    loaded.close_window()
    await loaded.rest()
    await loaded.end()


async def test_two_processes_are_one_load_with_all_its_latencies_and_promises() -> None:
    async with running(FakeCaudal()) as fake:
        loaded = crew(fake, 2, constant("", 1.5, 100.0))
        await drive(loaded, 3, 1.5)
    assert len(fake.asked) == loaded.tally.acknowledged == 150, "one schedule, each arrival once"
    requests = loaded._jobs[0].requests()
    assert not judge(requests, loaded.tally, fake.payins).lost
    latencies = Histogram()
    for seat in loaded.seats:
        latencies.merge(seat.histogram)
    of_seconds = Histogram()
    for second in loaded.tally.seconds:
        of_seconds.merge(second.latencies)
    assert latencies.counts == of_seconds.counts and latencies.total == 150
    assert [second.offered for second in loaded.tally.seconds][:2] == [100, 50]
    assert sum(second.lasts_s for second in loaded.tally.seconds) == pytest.approx(loaded.tally.window_ns / 1e9)


async def test_a_closed_loop_shares_out_its_connections() -> None:
    async with running(FakeCaudal()) as fake:
        loaded = crew(fake, 2)
        await drive(loaded, 5, 0.3)
    assert fake.connections == len(loaded.seats) == 5
    assert loaded.tally.window_acknowledged == sum(seat.acknowledged for seat in loaded.seats) > 10


async def test_a_process_that_dies_fails_the_run_and_the_others_end() -> None:
    async with running(FakeCaudal()) as fake:
        loaded = crew(fake, 2)
        await loaded.connect(2)
        loaded.start()
        pids = list(loaded.pids.values())
        os.kill(pids[0], signal.SIGKILL)
        with pytest.raises(CrewFailed, match="has ended"):
            await loaded.rest()
        await loaded.leave()
    assert not any(is_running(pid) for pid in pids)


async def test_a_server_that_is_not_there_is_an_error_of_the_run() -> None:
    loaded = crew(FakeCaudal(url="http://127.0.0.1:9"), 1)
    with pytest.raises(OSError, match=r"[Cc]onnect"):
        await loaded.connect(1)
    await loaded.leave()
