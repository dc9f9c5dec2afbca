"""The catalogue of what is measured: names that a Prometheus server takes, each once, few values an attribute."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from caudal.kernel.telemetry import INSTRUMENTS, Instrument

SHOWN = [
    ("http.server.request.duration", "http_server_request_duration_seconds"),
    ("caudal.http.problems", "caudal_http_problems_total"),
    ("caudal.commit.drain_rate", "caudal_commit_drain_rate_per_second"),
    ("process.cpu.time", "process_cpu_time_seconds_total"),
    ("process.memory.usage", "process_memory_usage_bytes"),
    ("caudal.provider.failure_share", "caudal_provider_failure_share_ratio"),
    ("caudal.provider.breaker.state", "caudal_provider_breaker_state"),
    ("caudal.ledger.check.last_run_timestamp", "caudal_ledger_check_last_run_timestamp_seconds"),
]


@pytest.mark.parametrize(("name", "shown"), SHOWN)
def test_a_name_on_a_prometheus_page_follows_from_unit_and_kind(name: str, shown: str) -> None:
    assert [one.prometheus for one in INSTRUMENTS if one.name == name] == [shown]


@pytest.mark.parametrize("one", INSTRUMENTS, ids=lambda one: one.name)
def test_an_instrument_is_well_formed(one: Instrument) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", one.name)
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", attribute) for attribute in one.attributes)
    assert (one.kind == "histogram") == bool(one.bounds)
    assert list(one.bounds) == sorted(set(one.bounds))
    assert one.help.endswith(".") or "`" in one.help


def test_no_name_is_there_twice() -> None:
    assert len({one.name for one in INSTRUMENTS}) == len(INSTRUMENTS)
    assert len({one.prometheus for one in INSTRUMENTS}) == len(INSTRUMENTS)


def test_what_is_not_ours_is_called_as_the_standard_calls_it() -> None:
    ours = {name for one in INSTRUMENTS for name in (one.name, *one.attributes) if not name.startswith("caudal.")}
    assert ours <= _standard_names()


class Asked:
    """A meter that notes which instrument the standard would make."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, str]] = {}

    def __getattr__(self, asked: str) -> Callable[..., None]:
        kind = asked.removeprefix("create_").removeprefix("observable_").replace("up_down_counter", "updowncounter")

        def create(*, name: str, unit: str, **_: object) -> None:
            self.made[name] = kind, unit

        return create


def test_what_is_not_ours_is_of_the_standards_kind_and_unit() -> None:
    standard = Asked()
    for module in _standard_modules():
        for name, create in vars(module).items():
            if name.startswith("create_"):
                create(standard, *[[] for _ in list(inspect.signature(create).parameters)[1:]])
    ours = {one.name: (one.kind, one.unit) for one in INSTRUMENTS if not one.name.startswith("caudal.")}
    assert ours and ours == {name: standard.made[name] for name in ours}


def test_a_gauge_of_what_adds_up_is_a_sum_and_a_gauge_for_prometheus() -> None:
    assert {one.prometheus_kind for one in INSTRUMENTS} == {"counter", "gauge", "histogram"}
    assert {one.prometheus_kind for one in INSTRUMENTS if one.kind == "updowncounter"} == {"gauge"}


def _standard_names() -> set[str]:
    """Every metric and attribute of OpenTelemetry's semantic conventions, those that are not settled yet too."""
    constants = (pair for module in _standard_modules() for pair in vars(module).items())
    return {value for name, value in constants if name.isupper() and isinstance(value, str)}


def _standard_modules() -> list[ModuleType]:
    folders = [
        importlib.import_module(f"opentelemetry.semconv.{name}")
        for name in ("metrics", "attributes", "_incubating.metrics", "_incubating.attributes")
    ]
    found = [importlib.import_module(one.name) for folder in folders for one in _modules_of(folder)]
    return [*folders, *found]


def _modules_of(folder: ModuleType) -> Iterator[pkgutil.ModuleInfo]:
    return pkgutil.iter_modules(folder.__path__, f"{folder.__name__}.")
