"""Writes the tables of docs/capacity.md from the steps that are kept beside it: `python -m caudal_load.capacity.pages`.

A table stands between `<!-- figures: KIND FILE -->` and `<!-- end -->`; everything else on the page is written by hand
and says no figure that was measured. A test writes all tables again and compares. `--check` only says whether they
differ, and exits 1 then.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from caudal_load.capacity.answer import Answer, answered
from caudal_load.capacity.arithmetic import arithmetic
from caudal_load.capacity.kept import load
from caudal_load.capacity.model import Estimate, told
from caudal_load.capacity.show import FITTED, interval
from caudal_load.capacity.sizing import NAMES, Wanted, read_prices
from caudal_load.capacity.solve import Unsolvable

PAGE = Path(__file__).parents[3] / "docs" / "capacity.md"
"""Of this checkout, wherever it is called from."""
RATES = (100.0, 1_000.0, 10_000.0, 100_000.0)
SLOS_MS = {"card-captured": 100.0}
"""Of scenarios that wait for a provider; all others have 25 ms."""
_SLO_MS = 25.0
_SHOWN_RATE = 10_000.0
_DRAWS = 100
_BLOCK = re.compile(r"(<!-- figures: (?P<kind>\S+) (?P<names>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)


class Missing(ValueError):
    """The page wants a table that there is not."""


def rendered(text: str, folder: Path) -> str:
    """The page with its tables written again from the files in `folder`; a file that is not there has no column.

    Raises Missing, BadSteps, Unsolvable.
    """

    @cache
    def answer(name: str) -> Answer:
        asked = [Wanted(rate=rate, prices=read_prices()) for rate in RATES]
        kept = load(folder / f"{name}.json")
        return answered(kept, SLOS_MS.get(kept.scenario, _SLO_MS), asked, _DRAWS)

    def block(found: re.Match[str]) -> str:
        kind, names = found["kind"], found["names"].split()
        if kind not in KINDS:
            raise Missing(f"no table is called {kind}")
        there = [name for name in names if (folder / f"{name}.json").exists()]
        if len(there) < _NEEDED.get(kind, 1):
            return f"{found[1]}\nNot measured yet.\n\n{found[4]}"
        return f"{found[1]}{KINDS[kind]({name: answer(name) for name in there})}{found[4]}"

    return _BLOCK.sub(block, text)


def _runs(answers: Mapping[str, Answer]) -> str:
    rows = []
    for name, answer in answers.items():
        kept = answer.model.kept
        disk = "–" if kept.disk is None else f"{told(kept.disk.mb_per_s)} MB/s, {kept.disk.flush_ms:.2g} ms"
        machine = f"{kept.machine['cpu']}, {kept.machine['cores']} cores, Linux {kept.machine['kernel']}"
        processes = f"{kept.web_processes}, {kept.shards}"
        rows.append((f"`{name}`", kept.began, f"`{kept.commit}`", processes, str(len(kept.steps)), disk, machine))
    head = ("run", "began", "commit", "API processes, shards", "steps", "disk: writes, flushes a block in", "machine")
    return _table(head, rows)


def _within(answers: Mapping[str, Answer]) -> str:
    rows = []
    for name, answer in answers.items():
        good, bad = answer.model.bracket
        first, second = answer.saturations[:2]
        rows.append(
            (
                f"`{name}`",
                f"{answer.model.slo_ms:g} ms",
                _cell(answer.figures["within_slo_per_s"]),
                f"{_rate(good)} within, {_rate(bad)} beyond",
                f"{first.resource} ({first.capacity}), {_cell(first.rate)}",
                f"{second.resource} ({second.capacity}), {_cell(second.rate)}",
            )
        )
    head = ("run", "p99 within", "payments/s", "measured", "saturates first, at /s", "then, at /s")
    return _table(head, rows)


def _fits(answers: Mapping[str, Answer]) -> str:
    rows = [
        (title, *(_cell(answer.figures.get(name)) for answer in answers.values()))
        for name, title in FITTED
        if any(name in answer.figures for answer in answers.values())
    ]
    table = _table(("fitted", *(f"`{name}`" for name in answers)), rows)
    return table + "".join(f"{remark}\n\n" for name, answer in answers.items() for remark in _remarks(name, answer))


def _remarks(name: str, answer: Answer) -> Iterator[str]:
    """Where steps had more than the law says is the most, and where batches are known by their median alone."""
    most = answer.model.fit.scalability.most
    above = [step for step in answer.model.kept.closed if most is not None and step.rate > most]
    if most is not None and above:
        steps = " and ".join(f"{step.rate:,.0f}/s ({step.level:g} connections)" for step in above)
        yield f"*The most by the law* of `{name}`, {told(most)}/s, is below what steps had: {steps}."
    if answer.model.kept.medians:
        yield (
            f"*… and a batch* of `{name}` is from a median of its batches, not from commands ÷ batches, which these "
            "steps did not keep: it is off by as much as the two differ."
        )


def _checks(answers: Mapping[str, Answer]) -> str:
    rows = []
    for name, answer in answers.items():
        for one in answer.check.held_out:
            median, most = answer.check.deviations(one.figure)
            rows.append(
                (
                    f"`{name}`",
                    one.step,
                    one.figure,
                    told(one.predicted),
                    told(one.measured),
                    f"{one.deviation:+.0%}" if one.near else f"**{one.deviation:+.0%}**",
                    f"{median:.0%}, {most:.0%}",
                )
            )
    head = ("run", "held out", "figure", "predicted", "measured", "deviation", "all steps: median, most")
    return _table(head, rows)


def _plans(answers: Mapping[str, Answer]) -> str:
    (answer,) = answers.values()
    currency = answer.sized[0].wanted.prices.currency
    rows = [
        (
            f"{title}, {currency}" if name == "cost_month" else title,
            *(_cell(sized.needs.get(name)) for sized in answer.sized),
        )
        for name, title in NAMES.items()
    ]
    return _table(("payments a second", *(f"{sized.wanted.rate:,.0f}" for sized in answer.sized)), rows)


def _steps_of(answers: Mapping[str, Answer]) -> str:
    (answer,) = answers.values()
    try:
        lines = arithmetic(answer.model, Wanted(rate=_SHOWN_RATE, prices=read_prices()))
    except Unsolvable as error:
        return f"\n{error}.\n\n"
    return "\n" + "".join(f"{number}. {line}\n" for number, line in enumerate(lines, 1)) + "\n"


def _ends(answers: Mapping[str, Answer]) -> str:
    rows = [(f"`{name}`", *(_cell(answer.ends.get(by)) for by in _BY)) for name, answer in answers.items()]
    return _table(("run", *(f"by {by}, payments/s" for by in _BY)), rows)


def _ratios(answers: Mapping[str, Answer]) -> str:
    """The second run against the first."""
    first, second = answers.values()
    rows = []
    for name, title in _RATIOS:
        one, other = first.figures.get(name), second.figures.get(name)
        if one is not None and other is not None:
            ratio = f"{other.value / one.value:.2f}" if one.value else "–"
            rows.append((title, _cell(one), _cell(other), ratio))
    return _table(("", *(f"`{name}`" for name in answers), "second by first"), rows)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    between = interval(estimate)
    return f"{told(estimate.value)} ({between})" if between else told(estimate.value)


def _rate(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:,g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


_NEEDED = {"ratios": 2}
_BY = ("its cores", "its disk")
_RATIOS = (
    ("most_per_s", "the most by the law of scalability, /s"),
    ("within_slo_per_s", "within the SLO, /s"),
    ("postgres_within_slo_cpu_us", "PostgreSQL, CPU µs a payment there"),
    ("web_within_slo_cpu_us", "API processes, CPU µs a payment there"),
    ("wal_bytes", "write-ahead log, bytes a payment"),
)
KINDS: Mapping[str, Callable[[Mapping[str, Answer]], str]] = {
    "runs": _runs,
    "within": _within,
    "fits": _fits,
    "checks": _checks,
    "plan": _plans,
    "arithmetic": _steps_of,
    "ends": _ends,
    "ratios": _ratios,
}


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it differs; 2 where there is none."""
    if not PAGE.is_file():
        print(f"{PAGE} is not there: it is a page of a checkout, which this is none of", file=sys.stderr)
        return 2
    text = PAGE.read_text("utf-8")
    new = rendered(text, PAGE.with_suffix(""))
    if "--check" in arguments:
        return int(new != text)
    PAGE.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
