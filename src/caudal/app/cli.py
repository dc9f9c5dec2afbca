"""`caudal`: the command line of the platform."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn

import psycopg
import typer

from caudal.app import running
from caudal.kernel import telemetry
from caudal.kernel.errors import CaudalError
from caudal.kernel.settings import SettingError, Settings, load

app = typer.Typer(
    name="caudal",
    help="caudal, a payments platform for emerging markets. Every setting is an environment variable CAUDAL_<NAME>; "
    "docs/settings.md lists them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> NoReturn:
    """The entry point: errors are one line on standard error, with exit status 2."""
    from caudal.app import administration

    app.add_typer(administration.operator, name="operator")
    app.add_typer(administration.merchant, name="merchant")
    try:
        app()
    except (SettingError, CaudalError, psycopg.OperationalError) as error:
        print(f"caudal: {error}", file=sys.stderr)
    sys.exit(2)


def _run(make: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    sys.exit(asyncio.run(make()))


def _serving(process: str) -> Settings:
    settings = load()
    telemetry.configure(settings, process)
    return settings


@app.command()
def up(
    no_demo: Annotated[bool, typer.Option("--no-demo", help="start everything, pay nothing, show no table")] = False,
) -> None:
    """Start everything here and stay until Ctrl-C.

    An embedded PostgreSQL (unless CAUDAL_DATABASE_URL names one), the sandbox, the API and the worker. Data lives in
    ./var (CAUDAL_VAR) and is used again by the next start. It ends its start with a first payment of every flow, and
    says what to do next.
    """
    from caudal.app import demo, first
    from caudal.app.up import up as run

    _run(lambda: run(load(), prepare=first.prepare, show=demo.show_addresses if no_demo else demo.show))


@app.command("demo")
def demo_command() -> None:
    """Do what `caudal up` does and stop again; exit 0 only if every payment reached its expected status."""
    from caudal.app import demo, first
    from caudal.app.up import up as run

    _run(lambda: run(load(), prepare=first.prepare, show=demo.show_and_end, demo_only=True))


@app.command()
def down() -> None:
    """Stop the `caudal up` that runs in this directory."""
    from caudal.app.up import down as stop

    _run(lambda: stop(load()))


@app.command()
def reset() -> None:
    """Delete what `caudal up` keeps in this directory: database, secrets, sandbox, logs. Refused while it runs."""
    from caudal.app.up import reset as clear

    _run(lambda: clear(load()))


@app.command()
def web() -> None:
    """Serve the API on CAUDAL_HOST and CAUDAL_PORT. Any number of processes may share a port and a database."""
    from caudal.app.web import serve

    serve(_serving("web"))


@app.command()
def worker() -> None:
    """Run due work, projections and partitions. Any number of workers may share a database."""
    from caudal.app.worker import serve

    serve(_serving("worker"))


@app.command()
def migrate() -> None:
    """Bring the database of CAUDAL_DATABASE_URL to today's schema. Safe to run again."""
    from caudal.app.migrate import migrate as run

    settings = running.settings()
    ran = asyncio.run(run(settings.database_url or "", shards=settings.shard + 1))
    print("\n".join(f"applied {name}" for name in ran) or "the schema is up to date")


@app.command()
def check(
    replay: Annotated[
        bool, typer.Option("--replay", help="also replay every posting through a model of its own")
    ] = False,
    against_sandbox: Annotated[
        bool, typer.Option("--against-sandbox", help="also compare deposits with the sandbox bank's statement")
    ] = False,
) -> None:
    """Check the books: every law of db/checks.sql, and with --replay every posting since the first.

    Exits 0 when nothing is wrong; otherwise names each row that breaks a law, and exits 1.
    """
    from caudal.app.check import check as run

    _run(lambda: run(running.settings(), replay=replay, against_sandbox=against_sandbox))


if __name__ == "__main__":
    main()
