"""`caudal up` and `demo`: everything in the foreground, until Ctrl-C, which leaves no process behind; `down`, `reset`.

The order of a start: lock, secrets, PostgreSQL, `prepare`, the sandbox, web, worker, all ready, up.json, `show`.
The order of an end: web and worker, the sandbox, PostgreSQL last, up.json, lock.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from secrets import token_urlsafe
from typing import Final, Protocol

import msgspec
import psycopg

from caudal.app import playground, state
from caudal.app.children import Children, Service
from caudal.app.ports import Ports, address
from caudal.app.restart import Asked, var_of
from caudal.app.state import Ready, Restarted, Secrets, UpError
from caudal.connectors import FIRST
from caudal.kernel.postgres import Cluster, ClusterError
from caudal.kernel.primary import Primary
from caudal.kernel.settings import PREFIX, Settings

SANDBOX_HOST: Final = "127.0.0.1"  # whoever reaches it makes payments succeed: it is for this machine alone
METRICS_PORT: Final = 8702  # of the first process, unless CAUDAL_METRICS_PORT says so
DOWN_S: Final = 110.0  # web and worker, the sandbox, then PostgreSQL's own patience


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The keys that a person and the demo need; kept in secrets.json for the next start."""

    operator_key: str
    demo_key: str


class Prepare(Protocol):
    """Migrations, the operator's key, the demo merchant. `settings` are those that web and worker will see."""

    async def __call__(self, settings: Settings, secrets: Secrets) -> Prepared: ...


class Show(Protocol):
    """Run the demo and print what a person should see; True when every row reached its expected status."""

    async def __call__(self, ready: Ready) -> bool: ...


def tell(text: str) -> None:
    """One line on the terminal, which may be gone."""
    with suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def own_services(settings: Settings) -> list[Service]:
    """The sandbox, the API processes and the worker, in the order of their start."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    # The next process of a port listens before the one that was there ends; nobody balances by `/readyz` over them.
    shared = msgspec.structs.replace(settings, share_port=True, stop_notice_s=0.0, ready_fd=None)
    own = outside | environment(shared)
    api_url, python = address(settings.host, settings.port), (sys.executable, "-m")
    listen = ("--host", SANDBOX_HOST, "--port", str(settings.sandbox_port))
    keep = ("--data", str(Path(settings.var) / "sandbox"), "--caudal-url", api_url)
    providers = playground.secrets_of(settings)
    first = providers.pop(FIRST, settings.provider_secret_test)
    services = [
        Service(
            name="sandbox",
            command=(*python, "caudal_sandbox", *listen, *keep),
            # Somebody else's process: it gets the secrets that it shares with us.
            environment=outside
            | {
                "CAUDAL_SANDBOX_SPEI_SECRET": settings.spei_secret_test or "",
                "CAUDAL_SANDBOX_PROVIDER_SECRET": first or "",
                "CAUDAL_SANDBOX_PROVIDERS": ",".join(f"{name}={secret}" for name, secret in providers.items()),
            },
            health_url=f"{settings.sandbox_url}/livez",
        )
    ]
    for name, metrics_port in metrics_ports(settings).items():
        environment_of_it = own | {f"{PREFIX}METRICS_PORT": str(metrics_port)}
        command = (*python, "caudal", name.partition("-")[0])
        services.append(Service(name=name, command=command, environment=environment_of_it))
    return services


def metrics_ports(settings: Settings) -> dict[str, int]:
    """The API processes and the workers, each with its operator's port."""
    names = [
        process if number == 1 else f"{process}-{number}"
        for process, count in (("web", settings.web_processes), ("worker", settings.worker_processes))
        for number in range(1, count + 1)
    ]
    first = settings.metrics_port or METRICS_PORT
    return {name: first + number for number, name in enumerate(names)}


def metrics_addresses(settings: Settings) -> dict[str, str]:
    """Where each process's operator's port is found from this machine."""
    return {name: address(settings.metrics_host, port) for name, port in metrics_ports(settings).items()}


def environment(settings: Settings) -> dict[str, str]:
    """These settings as variables, for a process that loads them again."""
    values = msgspec.to_builtins(settings)
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {PREFIX + name.upper(): text for name, text in texts.items() if values[name] is not None}


async def up(
    settings: Settings,
    *,
    prepare: Prepare,
    show: Show,
    demo_only: bool = False,
    say: Callable[[str], None] = tell,
    services: Callable[[Settings], Sequence[Service]] = own_services,
) -> int:
    """Run everything until a signal, or with `demo_only` until the demo has been shown. Returns the exit status."""
    var = var_of(settings)
    settings = msgspec.structs.replace(settings, var=str(var))
    try:
        with state.held(var, only_its_owner=True):
            async with signalled() as asked, AsyncExitStack() as endings:
                running = asyncio.create_task(_run(settings, prepare, show, demo_only, say, services, endings))
                try:
                    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
                    if running.done():
                        return running.result()
                    say("stopping")
                    return int(demo_only)
                finally:
                    running.cancel()
                    await asyncio.wait({running})
    except (UpError, ClusterError) as error:
        say(f"caudal: {error}")
        return 1


@asynccontextmanager
async def signalled() -> AsyncIterator[asyncio.Task[bool]]:
    """A task that ends when somebody wants us to: Ctrl-C, SIGTERM, or a terminal that went away."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # started with nohup, which means: stay
        numbers.append(signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, asked.set)
    waiting = asyncio.create_task(asked.wait())
    try:
        yield waiting
    finally:
        waiting.cancel()
        for number in numbers:
            loop.remove_signal_handler(number)


async def _run(
    settings: Settings,
    prepare: Prepare,
    show: Show,
    demo_only: bool,
    say: Callable[[str], None],
    services: Callable[[Settings], Sequence[Service]],
    endings: AsyncExitStack,
) -> int:
    var = Path(settings.var)
    (var / "log").mkdir(exist_ok=True)
    running = state.UpJson(var)
    running.remove()  # of one that was killed
    endings.callback(running.remove)
    settings, secrets = _with_secrets(settings)
    has_sandbox = settings.sandbox_url is None
    settings, secrets = _with_providers(_with_ports(settings, endings), secrets, ours=has_sandbox)
    restarts = Asked()
    supervising, database_url = await _database(settings, say, running.changed, endings)
    settings = msgspec.structs.replace(settings, database_url=database_url)
    prepared = await prepare(settings, secrets)
    operator_key, demo_key = prepared.operator_key, prepared.demo_key
    state.write_secrets(var, msgspec.structs.replace(secrets, operator_key=operator_key, demo_key=demo_key))
    children = Children(var / "log", say=say, changed=running.changed)
    wanted = [service for service in services(settings) if has_sandbox or service.name != "sandbox"]
    await _start(children, wanted, endings)
    for name, pid in children.pids.items():
        running.changed(name, pid)
    ready = Ready(
        pid=os.getpid(),
        api_url=address(settings.host, settings.port),
        sandbox_url=settings.sandbox_url or "",
        database_url=database_url,
        processes=running.processes,
        providers=settings.providers or "",
        metrics=metrics_addresses(settings),
        operator_key=operator_key,
        demo_key=demo_key,
        restarted=Restarted(),
    )
    running.ready(ready)
    succeeded = await show(ready)
    if demo_only:
        return 0 if succeeded else 1
    endings.callback(asyncio.create_task(restarts.keep(children, wanted, say, running)).cancel)
    await supervising  # ends only by failing
    return 1


async def _start(children: Children, wanted: Sequence[Service], endings: AsyncExitStack) -> None:
    """Start the services in order and wait until all are ready; the sandbox will be stopped after the others."""
    names = [service.name for service in wanted]
    endings.push_async_callback(children.stop, "sandbox")
    endings.push_async_callback(children.stop, *(name for name in names if name != "sandbox"))
    for service in wanted:
        children.start(service)
    await children.ready(wanted)


def _with_secrets(settings: Settings) -> tuple[Settings, Secrets]:
    """The settings with this directory's secrets, where the environment names none."""
    var = Path(settings.var)
    is_new = settings.kek is not None or not (var / "postgres" / "data").exists()
    secrets = state.read_secrets(var, may_make=is_new)
    if settings.database_url is not None and not secrets.seals_elsewhere:
        secrets = msgspec.structs.replace(secrets, seals_elsewhere=True)
        state.write_secrets(var, secrets)
    names = ("kek", "spei_secret_test", "spei_secret_live", "provider_secret_test")
    given = {name: getattr(settings, name) or getattr(secrets, name) for name in names}
    return msgspec.structs.replace(settings, **given), secrets


def _with_ports(settings: Settings, endings: AsyncExitStack) -> Settings:
    ports = Ports(settings.host)
    endings.callback(ports.release)
    port = ports.take(settings.port)
    seen = Ports(settings.metrics_host)
    endings.callback(seen.release)
    first = seen.take_row(settings.metrics_port or METRICS_PORT, len(metrics_ports(settings)))
    settings = msgspec.structs.replace(settings, metrics_port=first)
    if settings.sandbox_url is not None:
        return msgspec.structs.replace(settings, port=port)
    near = Ports(SANDBOX_HOST)
    endings.callback(near.release)
    sandbox_port = near.take(settings.sandbox_port)
    sandbox_url = address(SANDBOX_HOST, sandbox_port)
    return msgspec.structs.replace(settings, port=port, sandbox_port=sandbox_port, sandbox_url=sandbox_url)


def _with_providers(settings: Settings, secrets: Secrets, *, ours: bool) -> tuple[Settings, Secrets]:
    """The settings with the providers of a sandbox of ours, where nobody has named any; their secrets are kept."""
    if settings.providers is not None or not ours:
        return settings, secrets
    made = {name: secrets.sandbox_providers.get(name) or token_urlsafe(32) for name in playground.OTHERS}
    secrets = msgspec.structs.replace(secrets, sandbox_providers=made)
    path = playground.write(settings, {FIRST: settings.provider_secret_test or "", **made})
    return msgspec.structs.replace(settings, providers=str(path)), secrets


async def _database(
    settings: Settings,
    say: Callable[[str], None],
    changed: Callable[[str, int], None],
    endings: AsyncExitStack,
) -> tuple[asyncio.Future[None], str]:
    """The database's URL, verified durable, and what fails if it cannot be kept running."""
    if settings.database_url is not None:
        try:
            async with Primary(settings.database_url, synchronous=settings.database_synchronous) as primary:
                await (await primary.connect()).close()
        except psycopg.OperationalError as error:
            raise UpError(f"the database of CAUDAL_DATABASE_URL does not answer: {error}") from error
        return asyncio.get_running_loop().create_future(), settings.database_url
    if settings.database_synchronous:
        raise UpError("CAUDAL_DATABASE_SYNCHRONOUS needs CAUDAL_DATABASE_URL: the embedded database has no standby")
    var = Path(settings.var)
    cluster = Cluster(var / "postgres", log=var / "log" / "postgres.log", say=say, web_processes=settings.web_processes)
    endings.push_async_callback(cluster.stop)
    await cluster.start()
    assert cluster.pid is not None
    changed("postgres", cluster.pid)
    supervising = asyncio.create_task(cluster.supervise(lambda pid: changed("postgres", pid)))
    endings.callback(supervising.cancel)
    return supervising, cluster.database_url


async def down(settings: Settings, *, say: Callable[[str], None] = tell) -> int:
    """Stop the `caudal up` of this directory and wait for its end. Returns the exit status."""
    var = var_of(settings)
    pid = state.holder(var)
    if pid is None:
        say(f"nothing is up in {var}")
        return 0
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    with suppress(TimeoutError):
        async with asyncio.timeout(DOWN_S):
            while state.holder(var) is not None:  # noqa: ASYNC110 (another process's end)
                await asyncio.sleep(0.05)
            return 0
    say(f"caudal: process {pid} did not end within {DOWN_S:.0f} s")
    return 1


async def reset(settings: Settings, *, say: Callable[[str], None] = tell) -> int:
    """Delete what `caudal up` made in this directory: database, secrets, sandbox, logs. Refused while it runs.

    A database of CAUDAL_DATABASE_URL is not ours to delete, nor are the secrets without which it cannot be read.
    """
    var = var_of(settings)
    if not var.exists():
        return 0
    try:
        with state.held(var):
            await Cluster(var / "postgres", say=say).remove()
            for name in state.FOLDERS:
                await asyncio.to_thread(shutil.rmtree, var / name, ignore_errors=True)
            kept = ("secrets.json",) if state.seals_elsewhere(var) else ()
            for name in state.FILES:
                if name not in kept:
                    (var / name).unlink(missing_ok=True)
            for name in kept:
                say(f"{var / name} is kept: a database of CAUDAL_DATABASE_URL cannot be read without it")
    except (UpError, ClusterError) as error:
        say(f"caudal: {error}")
        return 1
    if not any(var.iterdir()):
        var.rmdir()
    return 0
