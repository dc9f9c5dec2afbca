"""What is to be run, and what the other side of a comparison has different."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from caudal_load.scenario import Scenario, Target
from caudal_load.scenarios import Script, Slo
from caudal_load.shapes import Phase, constant

_SECONDS = 8.0
_NEXT_SETTING = re.compile(r",(?=[a-z_]+=)")
"""A comma between settings; one within a value, like a list of addresses, is followed by no name and `=`."""


class BadPlan(ValueError):
    """The options do not fit together; the message says what to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """One side: the load, and the caudal that takes it."""

    scenario: Scenario
    connections: int | None = None
    """Closed loop: so many connections, each with one request in flight."""
    rate: float | None = None
    """Open loop: so many arrivals per second."""
    phases: tuple[Phase, ...] = ()
    """Open loop: arrivals in these shapes, one after the other; `seconds` are theirs."""
    seconds: float
    warm_up_s: float = 1.0
    requests: int | None = None
    """Measure until so many requests are acknowledged; `seconds` is then the longest that it may take."""
    merchants: int = 1
    processes: int = 1
    """Of the generator."""
    slo: Slo = field(default_factory=Slo)
    text: str = ""
    """The scenario's file."""
    seed: int = 0
    """Give the caudal that is started a past of so many payins first."""
    up: bool = False
    """Start a caudal for the run; otherwise `url` names one."""
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Environment variables of the caudal that is started."""
    telemetry: float | None = None
    """What the caudal that is started sees goes to a collector of ours: this share of its traces, and its metrics."""
    var: Path | None = None
    """The directory of a `caudal up` that is running."""
    url: str | None = None
    key: str | None = None
    operator_key: str | None = None
    database_url: str | None = None
    sandbox_url: str | None = None

    def checked(self) -> "Plan":
        """This plan. Raises BadPlan if it cannot be run."""
        if [self.connections is None, self.rate is None, not self.phases].count(False) != 1:
            raise BadPlan(
                "say either --connections N (closed loop) or --rate R (open loop): the scenario has no phases"
            )
        if self.connections is not None and not 1 <= self.connections <= 10_000:
            raise BadPlan("--connections has to be between 1 and 10,000")
        if self.rate is not None and not 0.1 <= self.rate <= 100_000:
            raise BadPlan("--rate has to be between 0.1 and 100,000 arrivals per second")
        if self.seconds <= 0 or self.warm_up_s < 0:
            raise BadPlan("--seconds has to be above 0, --warm-up not below it")
        if self.requests is not None and self.requests < 1:
            raise BadPlan("--requests has to be above 0")
        if not 1 <= self.processes <= 64:
            raise BadPlan("--processes has to be between 1 and 64")
        if self.connections is not None and self.connections < self.processes:
            raise BadPlan("--connections has to be --processes at least: every process has one")
        if not 1 <= self.merchants <= 100_000:
            raise BadPlan("--merchants has to be between 1 and 100,000")
        if [self.up, self.url is not None, self.var is not None].count(True) != 1:
            raise BadPlan(
                "say either --up (a caudal of its own), --var (that of a `caudal up`) or --url with --key (any other)"
            )
        if self.url is not None and self.key is None and self.operator_key is None:
            raise BadPlan("--url needs --key sk_test_…, or --operator-key op_… to make merchants with")
        if self.merchants > 1 and self.url is not None and self.operator_key is None:
            raise BadPlan("--merchants above 1 needs --operator-key op_…, or --up")
        if (self.settings or self.seed) and not self.up:
            raise BadPlan("settings and --seed are for a caudal that is started: use --up")
        if self.scenario.through_provider and self.url is not None and None in (self.database_url, self.sandbox_url):
            raise BadPlan(f"{self.scenario.name} needs --database and --sandbox beside --url: both books are compared")
        if self.telemetry is not None and not 0 <= self.telemetry <= 1:
            raise BadPlan("telemetry has to be the share of traces that is kept, from 0 to 1")
        if not 0 <= self.seed <= 100_000_000:
            raise BadPlan("--seed has to be between 0 and 100,000,000")
        for option, url in (("--url", self.url), ("--sandbox", self.sandbox_url)):
            if url is not None:
                try:
                    Target.of(url)
                except ValueError as error:
                    raise BadPlan(f"{option}: {error}") from error
        return self

    @classmethod
    def of(cls, script: Script, **options: Any) -> "Plan":
        """What a scenario's file wants, and the options that are not None instead of it."""
        given = {name: value for name, value in options.items() if value is not None}
        if "connections" in given or "rate" in given:
            wanted: dict[str, Any] = {"seconds": _SECONDS}
        else:
            wanted = {"phases": script.phases, "connections": script.connections, "seconds": script.seconds or _SECONDS}
            if "seconds" in given and script.phases:
                wanted["phases"] = tuple(phase.within(given["seconds"] / wanted["seconds"]) for phase in script.phases)
        wanted |= {"merchants": script.merchants, "processes": script.processes, "warm_up_s": script.warm_up_s}
        return cls(scenario=script.scenario, slo=script.slo, text=script.text, **wanted | given)

    @property
    def shape(self) -> tuple[Phase, ...]:
        """The phases of an open loop, those of `--rate` too; empty for a closed one."""
        if self.rate is not None:
            return (constant("constant", self.seconds, self.rate),)
        return self.phases

    def telling(self, collector: str) -> "Plan":
        """This plan with a collector at this address, where it wants one."""
        if self.telemetry is None:
            return self
        told = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": str(self.telemetry),
            "OTEL_METRIC_EXPORT_INTERVAL": "15000",
        }
        return replace(self, settings={**self.settings, **told})

    def versus(self, assignments: str) -> "Plan":
        """The other side of `--versus SETTING=VALUE[,SETTING=VALUE …]`. Raises BadPlan.

        `connections`, `rate`, `merchants` and `seed` are the generator's own, `checkout` is a directory whose caudal
        the other side starts instead of this one, `telemetry` the share of traces that it sends to a collector with its
        metrics; everything else is a setting of caudal, `CAUDAL_<SETTING>`.
        """
        if self.requests is not None:
            raise BadPlan("--requests counts one side: sides of a comparison have --seconds each")
        other = self
        for assignment in _NEXT_SETTING.split(assignments):
            name, equals, value = assignment.partition("=")
            if not equals or not name.isidentifier() or not value:
                raise BadPlan(f"--versus takes SETTING=VALUE, like max_batch=1, not {assignment!r}")
            other = other._with(name, value)
        return other.checked()

    def _with(self, name: str, value: str) -> "Plan":
        """This plan with one thing different. Raises BadPlan."""
        try:
            if name == "connections":
                return replace(self, connections=int(value), rate=None, phases=())
            if name == "rate":
                return replace(self, rate=float(value), connections=None, phases=())
            if name == "seed":
                return replace(self, seed=int(value))
            if name == "merchants":
                return replace(self, merchants=int(value))
            if name == "telemetry":
                return replace(self, telemetry=float(value))
        except ValueError as error:
            raise BadPlan(f"--versus {name}={value}: not a number") from error
        if name == "checkout":
            return replace(self, settings={**self.settings, "PYTHONPATH": _source_of(value)})
        return replace(self, settings={**self.settings, f"CAUDAL_{name.upper()}": value})


def _source_of(checkout: str) -> str:
    """Where another checkout has its packages. Raises BadPlan."""
    source = Path(checkout).resolve() / "src"
    if not (source / "caudal" / "__main__.py").is_file():
        raise BadPlan(f"--versus checkout={checkout}: there is no caudal")
    return str(source)
