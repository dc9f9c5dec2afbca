"""Figures → what a terminal shows. It fits 80 columns."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from caudal.app.top.figures import Figures, Row
from caudal.kernel.money import CURRENCIES, format_amount

_ROWS_OF_MONEY = 6


def frame(now: Figures, title: str) -> RenderableType:
    """One look at everything."""
    parts: list[RenderableType] = [Text(title, style="bold")]
    parts += [
        _failing(name, checks) for name, checks in (("not ready", now.not_ready), ("see to", now.see_to)) if checks
    ]
    parts += [_requests(now), _commits(now)]
    if len(now.shards) > 1:
        parts.append(_shards(now.shards))
    if any(of.get("alarms_in_all") for of in now.processes):
        parts.append(_alarms(now.processes))
    if now.routes:
        parts.append(_routes(now.routes))
    if now.providers:
        parts.append(_providers(now.providers))
    parts += [_webhooks(now), _jobs(now), _gathered(now)]
    if now.money:
        parts.append(_money(now.money))
    parts += [_behind(now), _processes(now.processes)]
    return Group(*parts)


def _number(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) and value >= 100 else f"{float(str(value)):,.1f}"


def _time(seconds: object) -> str:
    """As short as says it."""
    if not isinstance(seconds, float):
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=int(seconds)))


def _line(name: str, *parts: tuple[str, str]) -> Text:
    text = Text(f"{name:<10}", style="bold cyan")
    for place, (value, what) in enumerate(parts):
        text.append("  " if place else "", style="not bold default")
        text.append(value, style="bold default").append(f" {what}", style="not bold default")
    return text


def _failing(name: str, checks: dict[str, list[str]]) -> Text:
    """Processes with the checks of `/readyz` that they do not pass."""
    alike: dict[str, list[str]] = {}
    for process, of in checks.items():
        alike.setdefault(", ".join(of), []).append(process)
    told = "  ".join(f"{', '.join(processes)}: {of}" for of, processes in alike.items())
    return _line(name).append(told, style="bold red" if name == "not ready" else "yellow")


def _requests(now: Figures) -> Text:
    of = now.requests
    line = _line(
        "requests",
        (_number(of["rate"]), "/s"),
        *((_number(of[name]), name) for name in ("4xx", "5xx", "refused") if of[name]),
        (_number(of["active"]), "active"),
    )
    if of["p50"] is not None:
        line.append(f"\n{'':<10}").append_text(
            Text("  ".join(f"{name} {_time(of[name])}" for name in ("p50", "p99", "p99.9")), style="not bold default")
        )
    return line


def _commits(now: Figures) -> Text:
    of = now.commits
    waiting = ", ".join(f"{lane} {number:.0f}" for lane, number in sorted(now.queue.items()) if number) or "nothing"
    line = _line("commits", (_number(of["commands"]), "/s"), (_number(of["batches"]), "batches/s"))
    if of["size"] is not None:
        line.append(f"  of {_number(of['size'])}  p50 {_time(of['p50'])}  p99 {_time(of['p99'])}", "not bold default")
    waited = "" if of["wait_p99"] is None else f", waited p99 {_time(of['wait_p99'])}"
    return line.append(f"\n{'':<10}{waiting} waits{waited}", style="not bold default")


def _shards(shards: list[Row]) -> Table:
    table = _table("shard", "commits/s", "batches/s", "of", "p99", "wait", "waited p99")
    for of in shards:
        size = "–" if of["size"] is None else _number(of["size"])
        cells = (_number(of["commands"]), _number(of["batches"]), size, _time(of["p99"]), f"{of['waiting']:.0f}")
        table.add_row(str(of["shard"]), *cells, _time(of["wait_p99"]))
    return table


def _alarms(processes: list[Row]) -> Text:
    """Commands and batches that broke, by the process whose log has why."""
    of = {str(row["process"]): row for row in processes if row.get("alarms_in_all")}
    told = "  ".join(
        f"{name}: {row['alarms']:.0f} broke now, {row['alarms_in_all']:.0f} since it began" for name, row in of.items()
    )
    return _line("alarms").append(told, style="bold red")


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold cyan")
    table.add_column(columns[0], overflow="ellipsis", no_wrap=True, max_width=34)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _routes(routes: list[Row]) -> Table:
    table = _table("route", "/s", "not 2xx", "p50", "p99")
    for of in routes:
        odd = Text(_number(of["not_2xx"]) if of["not_2xx"] else "", style="yellow")
        table.add_row(Text(str(of["route"])), _number(of["rate"]), odd, _time(of["p50"]), _time(of["p99"]))
    return table


def _providers(providers: list[Row]) -> Table:
    table = _table("provider", "breaker", "calls/s", "failed", "p95", "in flight")
    for of in providers:
        known = f"forced {of['forced']}" if of["forced"] else str(of["breaker"])
        state = Text(known, style="" if known == "closed" else "bold red")
        if of["drained"]:
            state.append(" drained", style="yellow")
        failed = "" if not of["failed"] else f"{float(str(of['failed'])):.1%}"
        used = f"{float(str(of['in_flight'])):.0f}/{float(str(of['limit'])):.0f}"
        table.add_row(Text(str(of["provider"])), state, _number(of["calls"]), failed, _time(of["p95"]), used)
    return table


def _webhooks(now: Figures) -> Text:
    of = now.webhooks
    parts = [(_number(of["delivered"]), "delivered/s")]
    parts += [(_number(of[name]), f"{name}/s") for name in ("again", "failed") if of[name]]
    parts += [("p95", _time(of["p95"]))] if of["p95"] is not None else []
    parts += [
        (name.removeprefix("lag_"), _time(value)) for name, value in of.items() if name.startswith("lag_") and value
    ]
    return _line("webhooks", *parts)


def _jobs(now: Figures) -> Text:
    of = now.jobs
    line = _line("jobs", (_number(of["rate"]), "/s"))
    if of["broken_in_all"]:
        broke = f"{of['broken']:.0f} broke now, {of['broken_in_all']:.0f} since the processes began"
        line.append(f"  {broke}", style="bold red")
    return line


def _gathered(now: Figures) -> Text:
    """The age of what only the database knows."""
    what = "how late webhooks are, in flight, behind"
    if now.gathered_s is None:
        return _line("gathered").append(f"by no worker: {what} are not known", style="bold red")
    return _line("gathered", (_time(now.gathered_s), f"ago: {what}"))


def _money(money: list[Row]) -> Text:
    most = sorted(money, key=lambda of: -float(str(of["minor"])))[:_ROWS_OF_MONEY]
    parts = [
        (format_amount(int(float(str(of["minor"]))), str(of["currency"])), f"{of['state']} ({of['mode']})")
        for of in most
        if of["currency"] in CURRENCIES
    ]
    return _line("in flight", *parts)


def _behind(now: Figures) -> Text:
    if not now.behind:
        return _line("behind", ("not known" if now.gathered_s is None else "nothing", ""))
    ages = [
        (what, _time(value)) if what.endswith(" for") else (f"{value:,.0f}", what)
        for what, value in sorted(now.behind.items())
    ]
    return _line("behind", *ages)


def _processes(processes: list[Row]) -> Table:
    table = _table("process", "CPU", "memory", "files", "loop p99", "up")
    for of in processes:
        if "trouble" in of:
            table.add_row(Text(str(of["process"])), Text("away", style="bold red"), "", "", "", "")
            continue
        memory = f"{float(str(of['memory'])) / 1e6:,.0f} MB"
        cells = (f"{float(str(of['cpu'])):.0%}", memory, f"{float(str(of['files'])):.0f}")
        table.add_row(Text(str(of["process"])), *cells, _time(of["loop_p99"]), _time(of["uptime"]))
    return table
