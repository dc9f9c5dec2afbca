"""The answer as tables for people."""

import math

from rich.console import Console
from rich.table import Table

from caudal_load.capacity.answer import Answer
from caudal_load.capacity.check import WITHIN
from caudal_load.capacity.model import Estimate, told
from caudal_load.capacity.sizing import NAMES

FITTED = (
    ("limit_per_s", "waiting would never end at, /s"),
    ("service_us", "the chain's time for a payment, µs"),
    ("utilisation_within_slo", "utilisation at the highest rate within the SLO"),
    ("lambda_per_s", "one connection alone, /s (λ)"),
    ("sigma", "contention (σ)"),
    ("kappa", "coherence (κ)"),
    ("most_per_s", "the most by the law of scalability, /s"),
    ("web_within_slo_cpu_us", "API process, CPU µs a payment at the highest rate within the SLO, all of it"),
    ("postgres_within_slo_cpu_us", "PostgreSQL, the same"),
    ("web_cpu_us", "API process, CPU µs a payment"),
    ("web_batch_cpu_us", "… and a batch"),
    ("postgres_cpu_us", "PostgreSQL, CPU µs a payment"),
    ("postgres_batch_cpu_us", "… and a batch"),
    ("worker_cpu_us", "worker, CPU µs a payment"),
    ("sandbox_cpu_us", "sandbox, CPU µs a payment"),
    ("generator_cpu_us", "generator, CPU µs a payment"),
    ("wal_bytes", "write-ahead log, bytes a payment"),
    ("disk_bytes", "written to the disk, bytes a payment"),
    ("rows_bytes", "rows, bytes a payment"),
    ("indexes_bytes", "indexes, bytes a payment"),
)


def print_answer(answer: Answer, console: Console) -> None:
    """The verdict first, then what it rests on."""
    console.print(verdict(answer), style="bold", highlight=False)
    saturates = Table("saturates", "capacity", "at /s", "95 %", box=None, pad_edge=False)
    for one in answer.saturations:
        saturates.add_row(one.resource, one.capacity, told(one.rate.value), interval(one.rate))
    fitted = Table("fitted", "", "95 %", box=None, pad_edge=False)
    for name, title in FITTED:
        if name in answer.figures:
            fitted.add_row(title, told(answer.figures[name].value), interval(answer.figures[name]))
    console.print(saturates, "", fitted, "")
    _print_check(answer, console)
    for sized in answer.sized:
        table = Table(f"for {sized.wanted.rate:,g}/s", "", "95 %", box=None, pad_edge=False)
        for name, estimate in sized.needs.items():
            unit = f" ({sized.wanted.prices.currency})" if name == "cost_month" else ""
            table.add_row(NAMES[name] + unit, told(estimate.value), interval(estimate))
        if not sized.needs:
            table.add_row("the SLO is kept at no rate, so no number of caudals is enough", "", "")
        console.print("", table)
    for name, estimate in answer.ends.items():
        console.print(f"one PostgreSQL ends by {name} at {estimate}/s", highlight=False)
    for remark in answer.remarks:
        console.print(f"note: {remark}", highlight=False, markup=False)
    if not answer.safe:
        console.print("[red]something that was acknowledged is lost, double or wrong[/]", highlight=False)


def verdict(answer: Answer) -> str:
    """The highest rate within the SLO, and what saturates first, in words."""
    model, within = answer.model, answer.figures["within_slo_per_s"]
    first = answer.saturations[0]
    good, bad = model.bracket
    measured = f"measured: {'none' if good is None else f'{good:,g}/s'} within it"
    if bad is not None:
        measured += f", {bad:,g}/s beyond"
    return (
        f"{model.kept.scenario}: {within}/s with p99 ≤ {model.slo_ms:g} ms ({measured}). "
        f"First to saturate: {first.resource} ({first.capacity}), at {first.rate}/s."
    )


def interval(estimate: Estimate) -> str:
    """The two ends, or nothing where there is no spread."""
    if estimate.low == estimate.high or math.isinf(estimate.low):
        return ""
    return f"{told(estimate.low)} to {told(estimate.high)}"


def _print_check(answer: Answer, console: Console) -> None:
    table = Table("held out", "figure", "predicted", "measured", "", "all steps", box=None, pad_edge=False)
    for one in answer.check.held_out:
        median, most = answer.check.deviations(one.figure)
        table.add_row(
            one.step,
            one.figure,
            told(one.predicted),
            told(one.measured),
            f"[{'green' if one.near else 'red'}]{one.deviation:+.1%}[/]",
            f"median {median:.0%}, most {most:.0%}",
        )
    console.print(table)
    verb = "is" if answer.check.passed else "is NOT"
    console.print(f"a step that nothing was fitted on {verb} predicted within {WITHIN:.0%}", highlight=False)
