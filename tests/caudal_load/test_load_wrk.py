"""The generator against `wrk`, a generator that others wrote: the same server, the same rate and latencies.

A fixed responder works on a core of its own, about as long for an answer as all of caudal does, so that it is the limit
and not who asks. The two take turns, and what each measured at its best is compared: whatever else a machine does makes
answers fewer and later, never more and sooner, and it may hit one of the two alone. Of latencies the mean and the 90th
percentile: the median hangs on the order in which a client asks again (1.08 of `wrk`'s was seen, and 1.25 to 1.29 with
more work for an answer, where rates were within 0.02). With 64 connections it matters little that `wrk` has one of them
in no flight: whose answer it has just read.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from caudal_load.crew import Crew, Job
from caudal_load.histogram import Histogram, middle_ns
from caudal_load.scenario import Target
from caudal_load.scenarios import SPEI_CREATE
from tests.caudal_load import fixed_responder

WORK_US = 300
CONNECTIONS, SECONDS, ROUNDS = 64, 1, 5
WITHIN = 0.10
KEY = "sk_test_" + "a" * 32
SCRIPT = """
wrk.method = "POST"
wrk.path = "/v1/payins"
wrk.headers["Authorization"] = "Bearer %(key)s"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Idempotency-Key"] = "%(token)s"
wrk.body = [[%(body)s]]
function done(summary, latency, requests)
  io.write(string.format("\\nMEASURED %%d %%d %%d %%d %%d\\n", summary.requests, summary.duration,
    latency.mean, latency:percentile(90), summary.errors.status))
end
"""
Measured = tuple[float, float, float]
"""Answers per second, and the mean and the 90th percentile of the latency, ms."""


@pytest.fixture
def responder() -> Iterator[Target]:
    command = [sys.executable, fixed_responder.__file__, str(WORK_US)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        first, *others = sorted(os.sched_getaffinity(0))
        if others:
            os.sched_setaffinity(process.pid, {first})
        try:
            yield Target(host="127.0.0.1", port=port)
        finally:
            process.kill()


@pytest.fixture
def other_core() -> Iterator[None]:
    """What this process starts runs beside the responder, not before it."""
    every = os.sched_getaffinity(0)
    if len(every) > 1:
        os.sched_setaffinity(0, every - {min(every)})
    yield
    os.sched_setaffinity(0, every)


async def ours(target: Target) -> Measured:
    job = Job(scenario=SPEI_CREATE, target=target, keys=[KEY], instruments=[], run="0badcafe")
    crew = Crew([job])
    await crew.connect(CONNECTIONS)
    crew.start()
    crew.open_window()
    await asyncio.sleep(SECONDS)
    crew.close_window()
    await crew.rest()
    await crew.end()
    latencies = Histogram()
    for seat in crew.seats:
        latencies.merge(seat.histogram)
    assert (crew.tally.refused, crew.tally.unknown, crew.tally.malformed) == (0, 0, 0)
    mean = sum(middle_ns(place) * count for place, count in latencies.pairs()) / latencies.total
    return crew.tally.rate, mean / 1e6, (latencies.percentile_ns(90) or 0) / 1e6


async def theirs(target: Target, script: Path) -> Measured:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), f"{target.url}/v1/payins"]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("MEASURED"))
    requests, duration_us, mean_us, p90_us, errors = (int(word) for word in line.split()[1:])
    assert errors == 0
    return requests * 1e6 / duration_us, mean_us / 1e3, p90_us / 1e3


@pytest.mark.alone
@pytest.mark.server
@pytest.mark.usefixtures("other_core")
async def test_it_measures_what_wrk_measures(responder: Target, tmp_path: Path, say: Callable[[str], None]) -> None:
    script = tmp_path / "same.lua"
    token = f"load-0badcafe-{0:012x}"
    body = SPEI_CREATE.bodies[0].replace("{token}", token)
    script.write_text(SCRIPT % {"key": KEY, "token": token, "body": body})
    await ours(responder)
    rounds = [(await ours(responder), await theirs(responder, script)) for _ in range(ROUNDS)]
    best = (max, min, min)  # of rates and of latencies
    ratios = [
        best[place](own[place] for own, _ in rounds) / best[place](other[place] for _, other in rounds)
        for place in range(3)
    ]
    rate, mean_ms, p90_ms = (best[place](own[place] for own, _ in rounds) for place in range(3))
    say(f"{rate:,.0f}/s, mean {mean_ms:.2f} ms, p90 {p90_ms:.2f} ms: of wrk's {', '.join(f'{r:.3f}' for r in ratios)}")
    assert ratios == pytest.approx([1.0] * 3, abs=WITHIN)
