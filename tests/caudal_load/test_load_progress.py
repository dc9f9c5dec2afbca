"""Progress: a panel on a terminal, lines elsewhere, and nothing that is not so."""

import io
from types import SimpleNamespace
from typing import Any, cast

from rich.console import Console

from caudal_load.progress import _line, _panel, _place, _sparks
from caudal_load.seconds import Second
from caudal_load.shapes import constant
from caudal_load.side import Side


def second() -> Second:
    found = Second()
    found.offered, found.acknowledged = 120, 100
    for _ in range(100):
        found.latencies.record(4_000_000)
    found.errors["503 overloaded"] = 20
    return found


def test_a_line_says_what_was_offered_answered_and_refused() -> None:
    assert _line(second()).startswith("120 offered, 100 acknowledged, p50 4.")
    assert _line(second()).endswith("20 × 503 overloaded")


def test_a_second_without_an_answer_says_so_and_has_no_percentiles() -> None:
    assert _line(Second()) == "nothing answered"
    refused = Second()
    refused.answered, refused.errors["503 overloaded"] = 3, 3
    assert _line(refused) == "0 acknowledged, 3 × 503 overloaded"


def test_seconds_beyond_those_that_were_asked_for_are_called_so() -> None:
    assert (_place(4, 4.0), _place(5, 4.5)) == ("second 4 of 4", "second 5 of 4")
    assert _place(28, 4.0) == "second 28, beyond the 4 that were asked for"


def test_the_panel_names_the_phase_and_the_second() -> None:
    plan = SimpleNamespace(
        scenario=SimpleNamespace(name="spike"),
        seconds=20.0,
        shape=(constant("calm", 10.0, 1.0), constant("peak", 10.0, 2.0)),
    )
    output = io.StringIO()
    side = cast(Side, SimpleNamespace(plan=plan))
    shown: Any = _panel(side, 12, second(), [50.0, 100.0], [2.0, 4.0])
    Console(file=output, width=100).print(shown)
    assert "spike, peak: second 12 of 20" in output.getvalue() and "▄█" in output.getvalue()


def test_bars_are_of_the_highest_value_that_is_shown() -> None:
    assert _sparks([0.0, 4.0, 8.0]) == " ▄█"
    assert len(_sparks([1.0] * 500)) == 60
