"""Verdicts: an SLO is kept or missed by what was measured, and a generator that was the limit says so itself."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from caudal_load.figures import Figures, _standstills, _warnings, of_caudal
from caudal_load.objectives import judged
from caudal_load.plan import Plan
from caudal_load.scenarios import Slo
from caudal_load.seconds import Second
from caudal_load.tally import Tally


def figures(**values: Any) -> Figures:
    return cast(
        Figures, SimpleNamespace(**({"webhooks": None, "p99_ms": 20.0, "error_share": 0.0, "rate": 90.0} | values))
    )


@pytest.mark.parametrize(
    ("slo", "measured", "met"),
    [
        (Slo(p99_ms=20), {}, True),
        (Slo(p99_ms=19.9), {}, False),
        (Slo(p99_ms=20), {"p99_ms": None}, False),
        (Slo(error_share=0.0), {}, True),
        (Slo(error_share=0.001), {"error_share": 0.0011}, False),
        (Slo(rate=90), {}, True),
        (Slo(rate=91), {}, False),
        (Slo(webhook_lag_ms=5), {}, False),
        (Slo(webhook_lag_ms=5), {"webhooks": SimpleNamespace(lag_p99_ms=4.0)}, True),
    ],
)
def test_a_limit_is_kept_or_not(slo: Slo, measured: dict[str, Any], met: bool) -> None:
    [objective] = judged(slo, figures(**measured))
    assert objective.met is met
    assert objective.said.startswith("kept" if met else "MISSED")


def test_without_an_slo_there_is_nothing_to_miss() -> None:
    assert judged(Slo(), figures()) == ()


@pytest.mark.parametrize(
    ("late", "cores", "processes", "says"),
    [
        (0.02, {}, 1, "late for 2.0%"),
        (None, {"generator": 0.95}, 1, "it was the limit"),
        (0.0, {"generator": 1.85}, 2, "it was the limit"),
        (0.0, {"conductor": 0.95}, 1, "receives webhooks"),
    ],
)
def test_a_generator_that_was_the_limit_says_so(
    late: float | None, cores: dict[str, float], processes: int, says: str
) -> None:
    [warning] = _warnings(late, cores, processes, Tally())
    assert says in warning


def test_a_generator_that_was_not_says_nothing() -> None:
    assert _warnings(0.009, {"generator": 0.95, "conductor": 0.2}, 2, Tally()) == []


def tally_of(answered: Sequence[int], offered: int = 0, window_s: float | None = None) -> Tally:
    tally = Tally()
    tally.window_ns = int((len(answered) if window_s is None else window_s) * 1e9)
    for count in answered:
        tally.seconds.append(Second())
        tally.seconds[-1].answered, tally.seconds[-1].offered = count, offered
    return tally


CLOSED, OPEN = {"connections": 4}, {"connections": None}


@pytest.mark.parametrize(
    ("tally", "loop", "says"),
    [
        (tally_of([90, 0, 0, 80, 85]), CLOSED, ["nothing was answered in 2 of 5 whole seconds"]),
        (tally_of([90, 0, 80, 90, 90], offered=10), OPEN, ["nothing was answered in 1 of 5 whole seconds"]),
        (tally_of([90, 0, 80, 90, 90], offered=9), OPEN, []),
        (tally_of([90, 80, 80, 90, 90], window_s=24.2), CLOSED, ["24.2 s were measured where 5 s were asked for"]),
        (tally_of([90, 80, 80, 90, 90], window_s=5.4), CLOSED, []),
    ],
)
def test_a_run_that_stood_still_says_so(tally: Tally, loop: dict[str, Any], says: list[str]) -> None:
    found = _standstills(tally, cast(Plan, SimpleNamespace(seconds=5.0, **loop)))
    assert len(found) == len(says)
    assert all(said in warning for said, warning in zip(says, found, strict=True)), found


def test_a_part_of_a_second_without_an_answer_is_no_standstill() -> None:
    tally = tally_of([90, 0])
    tally.seconds[-1].lasts_s = 0.3
    assert _standstills(tally, cast(Plan, SimpleNamespace(seconds=5.0, **CLOSED))) == []


def test_the_outside_in_a_box_is_no_part_of_what_a_payment_costs() -> None:
    names = ("web", "web-2", "worker", "postgres", "sandbox", "generator", "generator-1", "conductor")
    assert [name for name in names if of_caudal(name)] == ["web", "web-2", "worker", "postgres"]
