"""`caudal`: the command line of the platform."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from enum import StrEnum
from typing import Annotated, Any, NoReturn

import psycopg
import typer

from caudal.app import running
from caudal.kernel import telemetry
from caudal.kernel.errors import CaudalError
from caudal.kernel.settings import SettingError, Settings, load
from caudal.kernel.telemetry.collector import endpoint_of

app = typer.Typer(
    name="caudal",
    help="caudal, a payments platform for emerging markets. Every setting is an environment variable CAUDAL_…; "
    "docs/settings.md lists them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(command: Callable[[], object] | None = None) -> NoReturn:
    """The entry point: errors are one line on standard error, with exit status 2. `command` is what was loaded."""
    from caudal.app.migrate import MigrationError
    from caudal.app.state import UpError
    from caudal.kernel.postgres import ClusterError

    try:
        (command or whole())()
        sys.exit(0)
    except KeyboardInterrupt:  # before anybody listens for it
        sys.exit(130)
    except (SettingError, CaudalError, MigrationError, UpError, ClusterError, psycopg.OperationalError) as error:
        print(f"caudal: {error}", file=sys.stderr)
    except OSError as error:  # a file that is another user's, a disk that is full or takes no writes
        if error.filename is None:
            raise
        print(f"caudal: {error.filename}: {error.strerror}", file=sys.stderr)
    sys.exit(2)


def loaded(arguments: Sequence[str]) -> Callable[[], object]:
    """What these arguments ask for.

    To read a command line, all commands are loaded and what checks their options: a fifth of a service's start. So
    those that are started again whenever they die, and have no option, do without.
    """
    match arguments:
        case ["web"]:
            import caudal.app.edge

            return web
        case ["worker"]:
            import caudal.app.worker  # noqa: F401

            return worker
    return whole()


def whole() -> typer.Typer:
    """Every command, those of administration.py too."""
    from caudal.app import administration, overrides, vault
    from caudal.app.top import command as top
    from caudal.app.trace import command as trace

    if not app.registered_groups:
        administration.operator.add_typer(overrides.provider, name="provider")
        app.add_typer(administration.operator, name="operator")
        app.add_typer(administration.merchant, name="merchant")
        app.add_typer(vault.vault, name="vault")
        app.command("top", epilog=top.EPILOG)(top.top)
        app.command("trace", epilog=trace.EPILOG)(trace.trace)
    return app


def _run(make: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    sys.exit(asyncio.run(make()))


def _loaded() -> Settings:
    """The settings of what is going to ask providers and is seen at work. Raises SettingError for a wrong file of
    theirs and a wrong variable of OpenTelemetry's, too."""
    from caudal.connectors import Links

    settings = load()
    Links(settings)
    endpoint_of()
    return settings


def _serving(process: str) -> Settings:
    settings = _loaded()
    telemetry.configure(settings, process)
    return settings


@app.command(epilog="Example: CAUDAL_PORT=9000 caudal up --no-demo")
def up(
    no_demo: Annotated[bool, typer.Option("--no-demo", help="start everything, pay nothing, show no table")] = False,
) -> None:
    """Start everything here and stay until Ctrl-C.

    An embedded PostgreSQL (unless CAUDAL_DATABASE_URL names one), the sandbox, the API and the worker. Data lives in
    ./var (CAUDAL_VAR) and is used again by the next start, of the same user. It ends its start with a first payment of
    every flow, and says what to do next.

    The API listens on CAUDAL_PORT (8700) of CAUDAL_HOST, and the sandbox on CAUDAL_SANDBOX_PORT (8701) of this machine
    alone; a port that is in use is passed over for the next free one. With CAUDAL_SANDBOX_URL no sandbox is started.
    Logs are in ./var/log.

    Ctrl-C, SIGTERM and a closed terminal answer what was accepted and stop everything, PostgreSQL last. Exits 0 then;
    1 when something cannot be started or kept running, with the reason on standard error; 2 for a wrong
    setting, or a CAUDAL_VAR that cannot be used.
    """
    from caudal.app import demo, first
    from caudal.app.up import up as run

    _run(lambda: run(_loaded(), prepare=first.prepare, show=demo.show_addresses if no_demo else demo.show))


@app.command("demo", epilog="Example: caudal demo && echo every payment arrived")
def demo_command() -> None:
    """Do what `caudal up` does and stop again.

    Needs no environment; takes the settings of `caudal up`. Exits 0 only if every payment reached its expected status
    and the books are in order, 1 otherwise or when it is interrupted, and leaves no process behind.
    """
    from caudal.app import demo, first
    from caudal.app.up import up as run

    _run(lambda: run(_loaded(), prepare=first.prepare, show=demo.show_and_end, demo_only=True))


@app.command(epilog="Example: caudal down && caudal up")
def down() -> None:
    """Stop the `caudal up` that runs in this directory (CAUDAL_VAR), and wait for its end.

    Sends it SIGTERM. Exits 0 when nothing runs any more, also when nothing ran; 1 when it has not ended within 110
    seconds.
    """
    from caudal.app.up import down as stop

    _run(lambda: stop(load()))


@app.command(epilog="Example: pip install -U caudal; caudal restart")
def restart() -> None:
    """Replace the API processes and workers of the `caudal up` of this directory (CAUDAL_VAR), one after the other.

    Each new process has said that it is ready before the one that was there ends in order: no request fails.
    PostgreSQL and the sandbox go on. SIGUSR1 to `caudal up` does the same. Exits 0 when all are replaced; 1 when
    nothing is up here, or a new process ends or is not ready within 60 seconds: it is ended, the one that was there
    goes on, and what was lacking is said.
    """
    from caudal.app.restart import restart as replace
    from caudal.app.up import tell

    _run(lambda: replace(load(), say=tell))


@app.command(epilog="Example: caudal down; caudal reset; caudal up")
def reset() -> None:
    """Delete what `caudal up` keeps in this directory: database, secrets, sandbox, logs. There is no way back.

    Only what caudal made in CAUDAL_VAR (./var) goes, the database below /var/lib/caudal that root was given too. A
    database of CAUDAL_DATABASE_URL is left alone, and so is secrets.json where one was used. Exits 0; 1 while
    `caudal up` runs here, and nothing is deleted then.
    """
    from caudal.app.up import reset as clear

    _run(lambda: clear(load()))


@app.command(epilog="Example: CAUDAL_VAR=/srv/caudal caudal database")
def database() -> None:
    """Run the embedded PostgreSQL alone and stay until Ctrl-C.

    For processes that are supervised one by one: web and worker take the URL that it prints on standard output as
    CAUDAL_DATABASE_URL. It is made in CAUDAL_VAR (./var) where there is none, started again whenever it dies, and is
    the one that `caudal up` would run there; `caudal down` stops it, too. It listens on a Unix socket of this machine.

    Exits 0 on SIGTERM and Ctrl-C, 1 when it cannot be started or is run by somebody else already, 2 for a wrong
    setting.
    """
    from caudal.app.database import run

    _run(lambda: run(load()))


@app.command(epilog="Example: CAUDAL_DATABASE_URL=postgresql://db/caudal CAUDAL_KEK=… caudal web")
def web() -> None:
    """Serve the API on CAUDAL_HOST and CAUDAL_PORT. Any number of processes may share a database.

    Those that have CAUDAL_SHARE_PORT=1 may share the port, too.

    Needs CAUDAL_DATABASE_URL (migrated) and CAUDAL_KEK; CAUDAL_SPEI_SECRET_TEST and CAUDAL_SPEI_SECRET_LIVE for the
    banks' callbacks. `/livez` and `/readyz` say how it is.

    SIGTERM and Ctrl-C: `/readyz` says 503 for CAUDAL_STOP_NOTICE_S, then it takes no more, answers what was accepted,
    and exits 0. After CAUDAL_STOP_S, or at a second signal, it ends as it is. Exits 2 for a wrong setting; 3 when it
    cannot begin: the port is taken or not allowed, or the database may lose what it acknowledges or is sealed under
    another key. A database that does not answer is waited for, with 503.
    """
    from caudal.app.edge import serve

    serve(_serving("web"))


@app.command(epilog="Example: CAUDAL_DATABASE_URL=postgresql://db/caudal CAUDAL_KEK=… caudal worker")
def worker() -> None:
    """Run due work, projections and partitions. Any number of workers may share a database.

    Needs CAUDAL_DATABASE_URL (migrated) and CAUDAL_KEK; CAUDAL_SANDBOX_URL and CAUDAL_SPEI_SECRET_TEST to send money
    back through the sandbox bank. Without a worker nothing expires, nothing is returned, and searches stay behind.

    SIGTERM and Ctrl-C: what it has begun ends, or is given back after 5 seconds, so that another worker has it at once.
    After CAUDAL_STOP_S, or at a second signal, it ends as it is. Exits 0; 2 for a wrong setting, or a database that may
    lose what it acknowledges or is sealed under another key. One that does not answer is waited for.
    """
    from caudal.app.worker import serve

    serve(_serving("worker"))


class Phase(StrEnum):
    """Which migrations to run."""

    PRE = "pre"
    POST = "post"
    ALL = "all"


@app.command(epilog="Example: caudal migrate --phase pre; replace every process; caudal migrate --phase post")
def migrate(
    phase: Annotated[
        Phase,
        typer.Option(help="pre: before the new version starts; post: after the old one has gone; all: with a pause."),
    ] = Phase.ALL,
) -> None:
    """Bring the database to today's schema. Safe to run again, and from several places at once.

    Needs CAUDAL_DATABASE_URL, or a `caudal up` that runs here (which migrates by itself). Exits 0 when there is nothing
    left to do; 2 when the database is newer than this caudal or a release was skipped, and nothing has been changed
    then.
    """
    from caudal.app.migrate import migrate as run

    settings = running.settings()
    ran = asyncio.run(run(settings.database_url or "", shards=settings.shards, phase=phase.value))
    print("\n".join(f"applied {name}" for name in ran) or "the schema is up to date")


@app.command(epilog="Example: caudal check --replay --against-sandbox")
def check(
    replay: Annotated[
        bool, typer.Option("--replay", help="also replay every posting through a model of its own")
    ] = False,
    against_sandbox: Annotated[
        bool,
        typer.Option(
            "--against-sandbox", help="also compare deposits with the sandbox bank's statement (CAUDAL_SANDBOX_URL)"
        ),
    ] = False,
) -> None:
    """Check the books: every law of db/checks, and with --replay every posting since the first.

    Needs CAUDAL_DATABASE_URL, or a `caudal up` that runs here; --against-sandbox needs CAUDAL_SANDBOX_URL, likewise.
    It only reads, in short transactions, and may run beside everything else.

    Exits 0 when nothing is wrong; otherwise names each row that breaks a law, and exits 1. Exits 2 with the reason
    when it cannot look, at everything: a database or sandbox that does not answer is given up within 15 seconds.
    """
    from caudal.app.check import check as run

    settings = running.settings()
    if against_sandbox and settings.sandbox_url is None:
        raise SettingError("--against-sandbox needs CAUDAL_SANDBOX_URL: the address of the sandbox bank")
    _run(lambda: run(settings, replay=replay, against_sandbox=against_sandbox))


@app.command(epilog="Example: caudal listen --type payin.paid")
def listen(
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            envvar="KEY",
            metavar="SK_TEST",
            help="a test key with webhooks:read and webhooks:write; unset: the demo merchant's",
        ),
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", metavar="URL", help="where caudal is; unset: what runs in this directory")
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="an event's type, several times; unset: all")
    ] = None,
    port: Annotated[int, typer.Option(help="port on this machine; 0: any free one")] = 0,
    count: Annotated[int, typer.Option(min=0, help="end after so many events; 0: with Ctrl-C")] = 0,
) -> None:
    """Receive webhooks here, verify and print them: one line an event.

    Needs a key and an address (--key, --api), or a caudal up that runs in this directory (CAUDAL_VAR).
    It makes a test endpoint for this machine and deletes it at the end, and those of listeners that
    were killed. caudal must allow that (CAUDAL_WEBHOOK_LOOPBACK=1). A line has time, type, subject and id,
    and whether the signature verifies.
    Exits 0, or 1 if a signature did not verify.
    """
    from caudal.app.listen import listen as run

    _run(lambda: run(load(), key=key, api_url=api, types=tuple(types or ()), port=port, count=count))


if __name__ == "__main__":
    main()
