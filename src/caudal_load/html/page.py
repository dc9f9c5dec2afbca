"""What stands on a report's page: the verdict first, then plots of the load, then of the processes, then tables."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from caudal_load.compare import Comparison, Saved
from caudal_load.figures import of_caudal
from caudal_load.histogram import Histogram, middle_ns
from caudal_load.html.plot import Plot, Point, Series, percentile_points

_FOLDER = Path(__file__).parent
_MB = 1e6
_MOST_KINDS = 8
_TILES = (
    ("rate", "acknowledged/s"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("p999_ms", "p99.9 ms"),
    ("error_share", "error share"),
    ("cpu_us_per_payment", "CPU µs/payment"),
)
_PROOFS = ("acknowledged", "lost", "doubled", "disagreeing", "unpaid", "differing", "unknown", "refused", "unsent")


@cache
def _environment() -> Environment:
    made = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["figure"] = _figure
    return made


def filled(template: str, filters: Mapping[str, Callable[..., str]] | None = None, **values: Any) -> str:
    """A template of this folder with its values, and with `filters` beside those that all have."""
    environment = _environment().overlay()
    environment.filters = {**environment.filters, **(filters or {})}
    styles = (_FOLDER / "report.css").read_text("utf-8")
    return environment.from_string((_FOLDER / template).read_text("utf-8")).render(styles=styles, **values)


def _figure(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.6g}"


def report_page(said: Mapping[str, Any]) -> str:
    """The page of one run, from what `as_json` said."""
    sides = [said] if said["other"] is None else [said, said["other"]]
    plots = [plot.svg() for plot in (*_load_plots(said), *_process_plots(said["intervals"]))]
    return filled(
        "report.html",
        said=said,
        sides=sides,
        tiles=[(title, said[name]) for name, title in _TILES],
        proofs=[(name, [side[name] for side in sides]) for name in _PROOFS],
        kept=all(one["met"] for one in said["slo"]),
        safe=said["passed"],
        load=_told_load(said),
        plots=plots,
        costs=_costs(said),
    )


def _told_load(said: Mapping[str, Any]) -> str:
    """What was asked for, in words."""
    processes = f"{said['processes']} generator process{'es' if said['processes'] > 1 else ''}"
    if said["connections"] is not None:
        return f"closed loop of {said['connections']} connections for {said['seconds']:g} s, {processes}"
    if said["arrivals_per_s"] is not None:
        return f"open loop, {said['arrivals_per_s']:g}/s for {said['seconds']:g} s, {processes}"
    phases = ", ".join(f"{one['name']} {one['end_s'] - one['begin_s']:g} s" for one in said["phases"])
    return f"open loop, {phases}, {processes}"


def _moments(timeline: Sequence[Mapping[str, Any]]) -> list[float]:
    """The middle of every second."""
    begins, at = list[float](), 0.0
    for second in timeline:
        begins.append(round(at + second["lasts_s"] / 2, 3))
        at += second["lasts_s"]
    return begins


def _load_plots(said: Mapping[str, Any]) -> list[Plot]:
    timeline = said["timeline"]
    moments = _moments(timeline)
    bands = [(one["name"], one["begin_s"], one["end_s"]) for one in said["phases"]] if len(said["phases"]) > 1 else []

    def over(name: str) -> list[Point]:
        return [(at, second[name]) for at, second in zip(moments, timeline, strict=True)]

    def per_s(name: str) -> list[Point]:
        return [(at, second[name] / (second["lasts_s"] or 1)) for at, second in zip(moments, timeline, strict=True)]

    latency = [
        Series(name="max", points=over("max_ms"), colour=3),
        Series(name="p99", points=over("p99_ms"), colour=1),
        Series(name="p50", points=over("p50_ms"), colour=0),
    ]
    flow = [
        Series(name="acknowledged", points=per_s("acknowledged"), colour=2, filled=True),
        Series(name="sent", points=per_s("sent"), colour=0),
    ]
    if any(second["offered"] for second in timeline):
        flow.append(Series(name="offered", points=per_s("offered"), colour=4, dashed=True))
    kinds = [kind for kind, _ in sum((Counter(each["errors"]) for each in timeline), Counter[str]()).most_common()]
    errors = [
        Series(
            name=kind,
            points=[(at, second["errors"].get(kind, 0)) for at, second in zip(moments, timeline, strict=True)],
            colour=number,
        )
        for number, kind in enumerate(kinds[:_MOST_KINDS])
    ]
    return [
        Plot(title="Latency over time", unit="ms, logarithmic", series=latency, log=True, bands=bands),
        Plot(
            title="Latency by percentile",
            unit="ms, logarithmic",
            series=_percentiles(said),
            log=True,
            percentiles=True,
            x_label="of all requests",
        ),
        Plot(title="Throughput", unit="requests per second", series=flow, bands=bands),
        Plot(title="Errors", unit="per second", series=errors, bands=bands),
    ]


def _percentiles(said: Mapping[str, Any]) -> list[Series]:
    whole = Histogram()
    for second in said["timeline"]:
        whole.add_pairs(second["buckets"])
    series = [Series(name=_since(said), points=_curve(whole.pairs()), colour=1)]
    if said["sent_buckets"]:
        series.append(Series(name="from the sending", points=_curve(said["sent_buckets"]), colour=0, dashed=True))
    return series


def _since(said: Mapping[str, Any]) -> str:
    return "from the scheduled arrival" if said["sent_buckets"] else "from the sending"


def _curve(pairs: Sequence[Sequence[int]]) -> list[Point]:
    return percentile_points([(middle_ns(bucket) / 1e6, count) for bucket, count in pairs])


def _process_plots(intervals: Sequence[Mapping[str, Any]]) -> list[Plot]:
    names = list(dict.fromkeys(name for each in intervals for name in each["cores"]))

    def of(field: str) -> list[Series]:
        return [
            Series(
                name=name,
                points=[((each["begin_s"] + each["end_s"]) / 2, each[field].get(name, 0)) for each in intervals],
                colour=number,
                dashed=not of_caudal(name),
            )
            for number, name in enumerate(names)
        ]

    written = [
        Series(name=name, points=points, colour=colour, filled=True)
        for name, field, colour in (("write-ahead log", "wal_bytes", 6), ("disk, by whomever", "device_bytes", 0))
        if (points := _megabytes_per_s(intervals, field))
    ]
    return [
        Plot(title="CPU", unit="cores", series=of("cores")),
        Plot(title="Memory", unit="MB", series=of("memory_mb")),
        Plot(title="Threads", unit="count", series=of("threads")),
        Plot(title="Open files", unit="count", series=of("files")),
        Plot(title="Written", unit="MB per second", series=written),
    ]


def _megabytes_per_s(intervals: Sequence[Mapping[str, Any]], field: str) -> list[Point]:
    return [
        ((each["begin_s"] + each["end_s"]) / 2, each[field] / _MB / (each["end_s"] - each["begin_s"]))
        for each in intervals
        if each.get(field) is not None
    ]


def _costs(said: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Every process with its CPU per request and its cores."""
    return [(name, used, said["cores"].get(name, 0.0)) for name, used in said["cpu_us_per_request"].items()]


def comparison_page(found: Comparison) -> str:
    """The page of a comparison: the statements, and both sides on the same axes."""
    sides = (("first", found.first, 0), ("second", found.second, 1))
    plots = [
        Plot(
            title="Latency by percentile",
            unit="ms, logarithmic",
            log=True,
            percentiles=True,
            x_label="of all requests",
            series=[Series(name=name, points=_curve(_all(runs)), colour=colour) for name, runs, colour in sides],
        ),
        *(
            Plot(
                title=title,
                unit=unit,
                log=unit.startswith("ms"),
                series=[
                    Series(name=f"{name}, {run.path}", points=_over(run, what), colour=colour, dashed=number > 0)
                    for name, runs, colour in sides
                    for number, run in enumerate(runs)
                ],
            )
            for title, unit, what in (
                ("p99 over time", "ms, logarithmic", "p99_ms"),
                ("p50 over time", "ms, logarithmic", "p50_ms"),
                ("Acknowledged", "per second", "acknowledged"),
            )
        ),
    ]
    return filled("comparison.html", found=found, sides=sides, plots=[plot.svg() for plot in plots])


def _all(runs: Sequence[Saved]) -> list[tuple[int, int]]:
    whole = Histogram()
    for run in runs:
        for second in run.seconds:
            whole.merge(second.latencies)
    return whole.pairs()


def _over(run: Saved, what: str) -> list[Point]:
    timeline = run.said["timeline"]
    return [(at, second[what]) for at, second in zip(_moments(timeline), timeline, strict=True)]
