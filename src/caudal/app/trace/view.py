"""A payment's story as a table. What merchants and providers wrote is text, and no markup of the terminal's."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from caudal.app.trace.model import Trace, TraceStep
from caudal.kernel.money import format_amount

_STYLES: Final = {"state": "bold", "posting": "green", "event": "cyan", "discrepancy": "red", "due": "red"}
_WIDE: Final = 160  # what a line has when nobody looks: a file takes any


def printed(story: Trace) -> None:
    """On standard output, as wide as its terminal."""
    console = Console(highlight=False, markup=False)
    show(story, console if console.is_terminal else Console(highlight=False, markup=False, width=_WIDE))


def show(story: Trace, console: Console) -> None:
    """The head and the table."""
    reason = "" if story.status_reason is None else f" ({story.status_reason})"
    console.print(Text.assemble((story.payin, "bold"), f"  {story.status}{reason}"), soft_wrap=True)
    _say(
        console,
        f"{format_amount(story.amount, story.currency)} by {story.method} in {story.country}, {story.mode},"
        f" of {story.merchant}" + ("" if story.reference is None else f", reference {story.reference}"),
    )
    parts = ("received", "authorized", "captured", "refunded", "disputed", "fee")
    sums = [f"{name} {format_amount(getattr(story, name), story.currency)}" for name in parts if getattr(story, name)]
    if sums:
        _say(console, ", ".join(sums))
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("time (UTC)", no_wrap=True)
    table.add_column("after", justify="right", no_wrap=True)
    table.add_column("what")
    table.add_column("detail", overflow="fold")
    first = before = datetime.fromisoformat(story.steps[0].at)
    for step in story.steps:
        at = datetime.fromisoformat(step.at)
        clock = at.strftime("%H:%M:%S.%f" if at.date() == first.date() else "%Y-%m-%d %H:%M:%S")
        what = Text(f"{step.kind:<11} {step.what}", style=_STYLES.get(step.kind, ""))
        table.add_row(clock, _took(at - before), what, Text(_detail(step, story.currency)))
        before = at
    console.print(table)
    if story.missing:
        _say(console, "\n  ".join(["This is not all:", *story.missing]))


def _say(console: Console, line: str) -> None:
    console.print(Text(line), soft_wrap=True)


def _took(passed: timedelta) -> str:
    if passed >= timedelta(minutes=2):
        return str(timedelta(seconds=int(passed.total_seconds())))
    seconds = passed / timedelta(seconds=1)
    return "" if not passed else f"{seconds:,.1f} s" if seconds >= 1 else f"{seconds * 1000:,.1f} ms"


def _detail(step: TraceStep, currency: str) -> str:
    told = {name: value for name, value in step.detail.items() if value not in (None, "", 0)}
    money = {"amount", "fee", "received", "applied", "unapplied", "returning", "returned"}
    if isinstance(took_us := told.pop("duration_us", None), int):
        told["took"] = _took(timedelta(microseconds=took_us))
    parts = [f"{name} {format_amount(value, currency) if name in money and isinstance(value, int) else value}"
             for name, value in told.items()]  # fmt: skip
    return " · ".join([step.subject, *parts])
