"""Which options fit together, and what the other side of a comparison has different."""

from pathlib import Path
from typing import Any

import pytest

from caudal_load.plan import BadPlan, Plan
from caudal_load.scenarios import CARD_CAPTURED, SPEI_CREATE


def plan(**changes: Any) -> Plan:
    options: dict[str, Any] = {"scenario": SPEI_CREATE, "connections": 64, "seconds": 8.0, "up": True}
    return Plan(**(options | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"connections": None}, "--connections N .* or --rate R"),
        ({"rate": 100.0}, "--connections N .* or --rate R"),
        ({"connections": 0}, "--connections"),
        ({"connections": None, "rate": 0.0}, "--rate"),
        ({"connections": None, "rate": float("nan")}, "--rate"),
        ({"seconds": 0.0}, "--seconds"),
        ({"warm_up_s": -1.0}, "--warm-up"),
        ({"merchants": 0}, "--merchants"),
        ({"url": "http://127.0.0.1:8700"}, "either --up .* or --url"),
        ({"up": False}, "either --up .* or --url"),
        ({"up": False, "url": "http://127.0.0.1:8700"}, "--key"),
        ({"up": False, "url": "http://127.0.0.1:8700", "key": "sk_test_x", "merchants": 2}, "--operator-key"),
        ({"up": False, "url": "http://127.0.0.1:8700", "key": "sk_test_x", "settings": {"X": "1"}}, "use --up"),
        ({"up": False, "url": "https://127.0.0.1:8700", "key": "sk_test_x"}, "not an address"),
        ({"scenario": CARD_CAPTURED, "up": False, "url": "http://127.0.0.1:8700", "key": "sk_test_x"}, "--sandbox"),
        ({"sandbox_url": "https://127.0.0.1:8701"}, "--sandbox: not an address"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(BadPlan, match=says):
        plan(**changes).checked()


@pytest.mark.parametrize(
    ("assignment", "changes"),
    [
        ("max_batch=1", {"settings": {"CAUDAL_MAX_BATCH": "1"}}),
        ("web_processes=2", {"settings": {"CAUDAL_WEB_PROCESSES": "2"}}),
        ("merchants=1000", {"merchants": 1000}),
        ("connections=256", {"connections": 256}),
        ("rate=1000", {"connections": None, "rate": 1000.0}),
        ("telemetry=0.01", {"telemetry": 0.01}),
        ("web_processes=1,shards=2", {"settings": {"CAUDAL_WEB_PROCESSES": "1", "CAUDAL_SHARDS": "2"}}),
        ("webhook_ports=80,443", {"settings": {"CAUDAL_WEBHOOK_PORTS": "80,443"}}),
    ],
)
def test_the_other_side_differs_in_what_is_named(assignment: str, changes: dict[str, Any]) -> None:
    assert plan().versus(assignment) == plan(**changes)


def test_a_side_with_telemetry_is_told_where_the_collector_is() -> None:
    told = plan(telemetry=0.01, settings={"CAUDAL_MAX_BATCH": "8"}).telling("http://127.0.0.1:4318").settings
    assert (told["OTEL_EXPORTER_OTLP_ENDPOINT"], told["OTEL_TRACES_SAMPLER_ARG"]) == ("http://127.0.0.1:4318", "0.01")
    assert told["CAUDAL_MAX_BATCH"] == "8"
    assert plan().telling("http://127.0.0.1:4318") == plan()


def test_the_other_side_can_be_another_checkout() -> None:
    root = Path(__file__).parents[2]
    assert plan().versus(f"checkout={root}").settings == {"PYTHONPATH": str(root / "src")}
    with pytest.raises(BadPlan, match="there is no caudal"):
        plan().versus(f"checkout={root / 'docs'}")


def test_the_other_side_keeps_the_settings_of_this_one() -> None:
    both = plan(settings={"CAUDAL_WEB_PROCESSES": "2"}).versus("max_batch=1")
    assert both.settings == {"CAUDAL_WEB_PROCESSES": "2", "CAUDAL_MAX_BATCH": "1"}


@pytest.mark.parametrize(
    "assignment",
    [
        "max_batch",
        "=1",
        "max batch=1",
        "max_batch=",
        "merchants=many",
        "connections=0",
        "telemetry=2",
        "max_batch=1,a=",
    ],
)
def test_an_other_side_that_makes_no_sense_is_refused(assignment: str) -> None:
    with pytest.raises(BadPlan):
        plan().versus(assignment)


def test_a_setting_of_caudal_cannot_be_compared_on_one_that_is_running() -> None:
    with pytest.raises(BadPlan, match="use --up"):
        plan(up=False, url="http://127.0.0.1:8700", key="sk_test_x").versus("max_batch=1")
