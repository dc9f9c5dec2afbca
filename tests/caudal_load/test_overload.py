"""More than a server can do: who was in time, how the rest was refused, and what it all comes to."""

import asyncio
import json
import os
from dataclasses import fields, replace

import pytest
from rich.console import Console

from caudal_load.memory import Watched
from caudal_load.overload import OverloadedLoop, OverloadReport, Round, print_overload
from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import SPEI_CREATE
from tests.caudal_load.fake_caudal import OVERLOADED, Asked, FakeCaudal, http, obliging, running

ROUND = Round(
    maximum=1000.0,
    offered=3000.0,
    goodput=900.0,
    goodput_share=0.9,
    refused_per_s=2000.0,
    refused_by_status={"503": 16000},
    refusals_with_retry_after=1.0,
    refusal_p50_ms=5.0,
    refusal_p99_ms=20.0,
    refusal_cpu_us=60.0,
    accepted_p50_ms=700.0,
    accepted_p99_ms=1200.0,
    accepted_late=0.0,
    second_commits=7200,
    second_commits_refused=0,
    submitting=0,
    unknown=0,
    unsent=0,
    connections=6144,
    cores={"web": 0.9, "generator": 0.2},
    lost=0,
    doubled=0,
    memory_mb_before={"web": 80.0},
    memory_mb_peak={"web": 90.0},
    memory_mb_after={"web": 85.0},
)


async def odd(fake: FakeCaudal, asked: Asked) -> bytes:
    """A third is refused properly, a third without saying when to come again, a third is late."""
    turn = len(fake.asked) % 3
    if turn < 2:
        return http(OVERLOADED, {"code": "overloaded"}, *(["Retry-After: 1"] if turn else []))
    await asyncio.sleep(0.1)
    return await obliging(fake, asked)


async def test_refusals_and_late_answers_are_told_apart() -> None:
    async with running(FakeCaudal(odd)) as fake:
        target = Target.of(fake.url)
        requests = Requests(SPEI_CREATE, target, ["sk_test_ana"], timeout_ms=50)
        loop = OverloadedLoop(target, requests, 300, timeout_ms=50)
        await loop.connect(2)
        loop.open_window()
        loop.start()
        await asyncio.sleep(0.4)
        loop.close_window()
        await loop.rest()
        await loop.end()
        assert {asked.headers["request-timeout-ms"] for asked in fake.asked} == {"50"}
    refused = loop.refused_in_window.total()
    assert refused == loop.refused_in_window[503] == loop.refusals.total > 10
    assert 0 < loop.with_retry_after < refused
    assert loop.late == loop.accepted.total == loop.tally.window_acknowledged > 10


def test_the_report_has_medians_and_fails_for_what_is_lost_or_refused_behind_a_provider() -> None:
    rounds = (ROUND, replace(ROUND, goodput=700.0, refusal_cpu_us=None), replace(ROUND, goodput=800.0))
    report = OverloadReport(scenario="s", factor=3, timeout_ms=2000, merchants=8, rounds=rounds, machine={"cores": 2})
    assert report.passed and report.as_json()["goodput"] == 800.0
    assert json.loads(json.dumps(report.as_json()))["rounds"][1]["refusal_cpu_us"] is None
    console = Console(record=True, width=160)
    print_overload(report, console)
    printed = console.export_text()
    assert all(field.name.replace("_", " ") in printed for field in fields(Round))
    for wrong in ({"lost": 1}, {"doubled": 1}, {"second_commits_refused": 1}, {"goodput": 0.0}):
        assert not replace(report, rounds=(ROUND, replace(ROUND, **wrong))).passed


def test_memory_is_looked_at_while_something_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter([{"me": 10.0}, {"me": 30.0}, {"me": 20.0}])
    monkeypatch.setattr("caudal_load.memory.trees_memory_mb", lambda processes: next(held))
    with Watched({"me": os.getpid()}) as memory:
        memory.look()
    memory.look()
    assert (memory.first, memory.peak, memory.last) == ({"me": 10.0}, {"me": 30.0}, {"me": 20.0})
