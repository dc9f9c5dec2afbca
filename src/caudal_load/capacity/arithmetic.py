"""The arithmetic of a plan, line by line, with the figures in it."""

import math
from collections.abc import Iterator

from caudal_load.capacity.laws import Line
from caudal_load.capacity.model import Model, told
from caudal_load.capacity.sizing import DAY_S, Need, Wanted, days, need

_NONE = Line(base=0.0, each=0.0)


def arithmetic(model: Model, wanted: Wanted) -> list[str]:
    """From the highest rate within the SLO to the bytes that are kept. Raises Unsolvable where no rate is."""
    found = need(model.fit, model, wanted)
    return [*_processes(model, wanted, found["shards"]), _memory(model, found), *_bytes(model, wanted)]


def _processes(model: Model, wanted: Wanted, shards: float) -> Iterator[str]:
    fit, kept = model.fit, model.kept
    within = model.within_slo(fit)
    base, wait = fit.delay.parts["p99"]
    yield (
        f"p99 = {told(base)} + {told(wait)} / (1 − r / {told(fit.delay.limit)}) ms, which is {model.slo_ms:g} ms at "
        f"r = {told(fit.delay.rate_at('p99', model.slo_ms))}/s; the highest rate that was kept up with is "
        f"{told(model.seen)}/s, so {told(within)}/s"
    )
    yield f"shards: ⌈{wanted.rate:,.0f} / {told(within / kept.shards)}⌉ = {shards:,.0f}"
    units = shards / kept.shards
    for kind, title in (("web", "API processes"), ("worker", "workers"), ("postgres", "PostgreSQL")):
        law, each = fit.cores.get(kind, _NONE), wanted.rate / units
        cores = units * law.at(each)
        least = math.ceil(units) * kept.web_processes if kind == "web" else 1
        count = math.ceil(cores / wanted.utilisation)
        more = f", and {least:,} with their shards" if least > count else ""
        yield (
            f"{title}: {told(units)} × ({told(law.base)} + {told(law.each * 1e6)} µs × {told(each)}/s + "
            f"{told(law.batch * 1e6)} µs × {told(law.batches.per_s(each))} batches/s) = "
            f"{told(cores)} cores, at {wanted.utilisation:.0%} of each used ⌈{told(cores / wanted.utilisation)}⌉ = "
            f"{count:,}{more}"
        )


def _memory(model: Model, found: Need) -> str:
    mb, web = model.fit.memory_mb, model.kept.web_processes
    counts = (
        (found["web_processes"], "API processes", mb.get("web", 0.0) / web),
        (found["worker_processes"], "workers", mb.get("worker", 0.0)),
        (found["databases"], "PostgreSQL", mb.get("postgres", 0.0)),
    )
    parts = " + ".join(f"{title} {count:,.0f} × {told(each)} MB" for count, title, each in counts)
    return f"memory of the processes: {parts} = {told(found['memory_gb'])} GB"


def _bytes(model: Model, wanted: Wanted) -> Iterator[str]:
    fit = model.fit
    for name, title in (("wal", "write-ahead log"), ("disk", "written to disks")):
        if name in fit.bytes:
            per_s = wanted.rate * fit.bytes[name] / 1e6
            yield f"{title}: {wanted.rate:,.0f} × {told(fit.bytes[name])} bytes = {told(per_s)} MB/s"
    if "rows" in fit.bytes:
        rows, indexes = fit.bytes["rows"], fit.bytes["indexes"]
        grows = wanted.rate * wanted.mean * DAY_S * (rows + indexes) / 1e9
        yield (
            f"growth: {wanted.rate:,.0f} × {wanted.mean:g} × {DAY_S:,} s × ({told(rows)} of rows + {told(indexes)} of "
            f"indexes) bytes = {told(grows)} GB a day"
        )
        cached = told(grows * wanted.prices.cached_days)
        yield f"cache of the databases: {told(grows)} GB a day × {days(wanted.prices)} = {cached} GB"
