"""What a run came to: one JSON object, and tables for people."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.faults.checks import CHECKS, Harm, Violation
from caudal_load.faults.evidence import Evidence
from caudal_load.faults.history import Asking, Line, Phase, Verdict, What, askings
from caudal_load.faults.recovery import OF, Recovery, never_back

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class OfOp:
    """The requests of one kind: how many, and what was promised of them in the end."""

    requests: int = 0
    acknowledged: int = 0
    refused: int = 0
    nothing: int = 0
    unknown: int = 0
    """How many were unknown at first; in the end none is, or it is stuck."""
    retried: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole run. Seconds are wall-clock."""

    seed: int
    seconds: float
    connections: int
    planned: Mapping[str, int]
    happened: Mapping[str, int]
    ops: Mapping[str, OfOp]
    reads: int
    asked_again: int
    events: int
    messages: int
    transfers: int
    later_attempts: int
    """How often a payin went on to the next provider."""
    later_taken: int
    """Payments of later attempts with which a provider has taken or held money."""
    recovery: Sequence[Recovery]
    lost: int
    doubled: int
    stuck: int
    wrong: int
    violations: Sequence[Violation]
    without: Sequence[str]
    quiet_s: float
    kept: str
    machine: Mapping[str, str | int]
    commit: str

    @property
    def missed(self) -> dict[str, int]:
        """Faults that were planned and happened less often."""
        return {
            name: number - self.happened.get(name, 0)
            for name, number in self.planned.items()
            if self.happened.get(name, 0) < number
        }

    @property
    def lacks(self) -> list[str]:
        """What a run has to show beside the checks, and this one does not."""
        lacks = [f"faults that never happened: {self.missed}"] if self.missed else []
        if any(name.startswith("outage:") for name in self.planned) and not self.later_attempts:
            lacks.append("no payin went on to another provider")
        lacks += [f"the rate was never back after {one.process} was killed" for one in never_back(self.recovery)]
        if not any(op.acknowledged for op in self.ops.values()):
            lacks.append("nothing was acknowledged")
        return lacks

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong, and nothing lacks."""
        return not self.violations and not self.lacks

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        return {
            **asdict(self),
            "recovery": [one._asdict() for one in self.recovery],
            "violations": [one._asdict() for one in self.violations],
            "missed": self.missed,
            "lacks": self.lacks,
            "passed": self.passed,
        }


def of_ops(lines: Sequence[Line]) -> dict[str, OfOp]:
    """What became of the requests that have a key, by kind."""
    found: dict[str, list[Asking]] = {}
    for asking in askings(lines):
        found.setdefault(asking.op, []).append(asking)
    return {op: _of(found[op]) for op in sorted(found)}


def _of(asked: Sequence[Asking]) -> OfOp:
    verdicts = Counter(asking.verdict for asking in asked)
    return OfOp(
        requests=sum(asking.tries for asking in asked),
        acknowledged=verdicts[Verdict.ACKNOWLEDGED],
        refused=verdicts[Verdict.REFUSED],
        nothing=verdicts[Verdict.NOTHING],
        unknown=sum(asking.was_unknown for asking in asked),
        retried=sum(asking.tries > 1 for asking in asked if asking.was_unknown),
    )


def harms(violations: Sequence[Violation]) -> dict[str, int]:
    """How many of each harm."""
    return {harm.value: sum(one.harm is harm for one in violations) for harm in Harm}


def counts(lines: Sequence[Line]) -> dict[str, int]:
    """Reads, and answers that were asked for once more at the end."""
    return {
        "reads": sum(line.what is not What.INVOKE and not line.key for line in lines),
        "asked_again": sum(line.what is not What.INVOKE and line.phase is Phase.AGAIN for line in lines),
    }


def later_attempts(evidence: Evidence) -> dict[str, int]:
    """How often payins went on to the next provider, and how often that one took money."""
    return {
        "later_attempts": sum(change.event == "next_attempt" for change in evidence.changes),
        "later_taken": sum("-" in line.key and bool(line.captured or line.held) for line in evidence.statement),
    }


def print_report(report: Report, console: Console) -> None:
    """The same for people."""
    console.print(_faults(report), _requests(report), sep="\n")
    recovery = _recovery(report)
    if recovery.row_count:
        console.print(recovery)
    for one in report.violations[:_SHOWN]:
        console.print(f"check {one.check}: {one.harm}: {one.what}", soft_wrap=True, markup=False)
    if len(report.violations) > _SHOWN:
        console.print(f"… and {len(report.violations) - _SHOWN} more, in {report.kept}/report.json")
    if report.without:
        console.print(f"left out: check {', '.join(report.without)}")
    said = f"lost {report.lost}, doubled {report.doubled}, stuck {report.stuck}, wrong {report.wrong}"
    lacks = "".join(f"; {what}" for what in report.lacks)
    console.print(f"{'passed' if report.passed else 'FAILED'}: {said}{lacks}", soft_wrap=True, markup=False)
    console.print(
        f"seed {report.seed}, {report.seconds:g} s, commit {report.commit}; {report.events:,} events,"
        f" {report.messages:,} messages, {report.transfers:,} postings; {report.later_attempts:,} later attempts at"
        f" another provider, {report.later_taken:,} of which took money; quiet after {report.quiet_s:.1f} s; "
        + ", ".join(f"{name} {value}" for name, value in report.machine.items()),
        soft_wrap=True,
    )


def _faults(report: Report) -> Table:
    table = Table(title="faults", title_justify="left")
    for name in ("kind", "planned", "happened"):
        table.add_column(name, justify="left" if name == "kind" else "right")
    for name, number in report.planned.items():
        table.add_row(name, f"{number:,}", f"{report.happened.get(name, 0):,}")
    return table


def _requests(report: Report) -> Table:
    table = Table(title="requests", title_justify="left")
    columns = ("requests", "acknowledged", "refused", "nothing", "unknown", "retried")
    table.add_column("kind")
    for name in columns:
        table.add_column(name, justify="right")
    for op, of in report.ops.items():
        table.add_row(op, *(f"{getattr(of, name):,}" for name in columns))
    table.add_row("all", *(f"{sum(getattr(of, name) for of in report.ops.values()):,}" for name in columns))
    table.add_row("read", f"{report.reads:,}")
    table.add_row("again", f"{report.asked_again:,}")
    return table


def _recovery(report: Report) -> Table:
    table = Table(title="seconds to 90 % of the former rate", title_justify="left")
    for name in ("killed", "times", "median", "longest", "never"):
        table.add_column(name, justify="left" if name == "killed" else "right")
    for process in OF:
        of = [one for one in report.recovery if one.process == process]
        back = sorted(one.seconds for one in of if one.seconds is not None)
        if of:
            seconds = (f"{back[len(back) // 2]:.1f}", f"{back[-1]:.1f}") if back else ("–", "–")
            table.add_row(process, f"{len(of)}", *seconds, f"{len(of) - len(back)}")
    return table


def checks_table() -> Table:
    """What is checked, by number."""
    table = Table(title="checks", title_justify="left")
    table.add_column("number")
    table.add_column("holds that")
    for name, (says, _) in CHECKS.items():
        table.add_row(name, says)
    return table
