"""A whole caudal to break: PostgreSQL, two API processes, two workers and the sandbox, each kept running by itself.

    caudal  ──►  proxy  ──►  PostgreSQL                (link `database`)
    caudal  ──►  proxy  ──►  the sandbox               (link `provider`: its providers and its bank)
    the sandbox  ──►  proxy  ──►  both API processes   (link `callback`)
    caudal  ──►  proxy  ──►  a receiver of webhooks    (link `webhook`)

Everything is in one directory, and ends with the harness, also when that is killed.
"""

import asyncio
import base64
import contextlib
import os
import random
import secrets
import signal
import socket
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import aiohttp
import psycopg

from caudal_load.faults.disk import Disks, moved
from caudal_load.faults.inject import INJECTORS
from caudal_load.faults.inject.seen import Seen, until
from caudal_load.faults.keeper import Kept
from caudal_load.faults.model import PROVIDERS, BadFaults, Fault
from caudal_load.faults.needs import faketime
from caudal_load.faults.proxy import Link
from caudal_load.processes import is_running

HERE = "127.0.0.1"
WEBS, WORKERS = 2, 2
READY_S = 90.0
SETTINGS = {"CAUDAL_LEASE_S": "1", "CAUDAL_PROVIDER_BREAKER_OPEN_S": "1", "CAUDAL_WEBHOOK_LOOPBACK": "1"}
"""What differs from a production's. Leases, which double with every attempt up to 64 times as much, end within the
quiet that a run waits for; a breaker probes soon, so that providers that misbehave once a second are called all the
same; and receivers are on this machine."""
_ORDERED = 0.15
"""Share of the payments that follow an order: more, and breakers would be open most of the time."""
_PORTS = range(20_000, 32_000)  # below those that the system gives to connections
_PYTHON = (sys.executable, "-m")


class Whole:
    """The world (`model.World`), and what injectors need of it."""

    def __init__(self, directory: Path, settings: Mapping[str, str], in_flight: Callable[[], int]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o711)
        for name in ("log", "clock", "var"):
            (directory / name).mkdir(exist_ok=True)
        self.directory, self.in_flight = directory, in_flight
        self.logs = directory / "log"
        self.happened: Counter[str] = Counter()
        self.seen: list[tuple[Fault, str]] = []
        """Of each fault that has ended, what showed that it happened; empty where nothing did."""
        self.orders: list[str] = []
        self.kept: dict[str, Kept] = {}
        self.disks: Disks | None = None
        self.chance = random.Random(0)
        self.database_url = self.operator_key = ""
        web_ports = [free_port(self.chance) for _ in range(WEBS)]
        sandbox_port = free_port(self.chance)
        self.api_urls = [f"http://{HERE}:{port}" for port in web_ports]
        self.sandbox_url = f"http://{HERE}:{sandbox_port}"
        self.links = {
            "database": Link((HERE, free_port(self.chance)), []),
            "provider": Link((HERE, free_port(self.chance)), [(HERE, sandbox_port)]),
            "callback": Link((HERE, free_port(self.chance)), [(HERE, port) for port in web_ports]),
            "webhook": Link((HERE, free_port(self.chance)), []),
        }
        self._settings = {**SETTINGS, **settings}
        self._under_way: dict[asyncio.Task[None], asyncio.Event] = {}

    def webhook_url_of(self, port: int) -> str:
        """Where caudal reaches a receiver on this port of this machine: through the proxy."""
        self.links["webhook"].lead_to((HERE, port))
        return self._url("webhook")

    def processes(self) -> Mapping[str, Sequence[int]]:
        """The process ids that run now, by kind."""
        found: dict[str, list[int]] = {}
        for kept in self.kept.values():
            if kept.kind != "database" and kept.pid is not None:
                found.setdefault(kept.kind, []).append(kept.pid)
        if (postmaster := self.postmaster()) is not None:
            found["postgres"] = [postmaster]
        return found

    def postmaster(self) -> int | None:
        """PostgreSQL's first process; None while it does not run."""
        pid = self.kept["database"].pid
        data = self.directory / "var" / "postgres" / "data"
        try:
            found = int(Path(f"/proc/{pid}/root{data.resolve()}/postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return found if is_running(found) else None

    def ordered(self) -> str | None:
        """An order of the moment to the provider; mostly None, and always when there is none."""
        return self.chance.choice(self.orders) if self.orders and self.chance.random() < _ORDERED else None

    async def inject(self, fault: Fault) -> None:
        """Begin a fault; its end comes by itself. Returns when it has begun."""
        stack, over, seen = contextlib.AsyncExitStack(), asyncio.Event(), Seen()
        await stack.enter_async_context(INJECTORS[fault.kind](self, fault, seen))
        task = asyncio.create_task(self._until_its_end(fault, stack, over, seen))
        self._under_way[task] = over
        task.add_done_callback(lambda task: self._under_way.pop(task, None))

    async def _until_its_end(
        self, fault: Fault, stack: contextlib.AsyncExitStack, over: asyncio.Event, seen: Seen
    ) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), fault.for_s)
        try:
            await stack.aclose()
        except (BadFaults, OSError, psycopg.Error, sqlite3.Error) as error:
            self._note(f"{fault.name} did not end as it should: {error}")
        self.seen.append((fault, seen.text))
        self._note(f"{fault.name} at {fault.at_s:g} s: {seen.text or 'nothing showed that it happened'}")
        if seen.text:
            self.happened[fault.name] += 1

    def _note(self, text: str) -> None:
        with (self.logs / "faults.log").open("a") as log:
            log.write(f"{text}\n")

    async def heal(self) -> None:
        """End every fault; returns when everything runs and is ready. Raises BadFaults when that does not come."""
        for over in self._under_way.values():
            over.set()
        for task in list(self._under_way):
            await task
        await self.until_ready()

    async def until_ready(self) -> None:
        """Wait for every process; of a worker, that it runs. Raises BadFaults when one does not come."""
        urls = [f"{url}/readyz" for url in self.api_urls] + [f"{self.sandbox_url}/livez"]
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            for url in urls:
                if not await until(partial(_is_answered, session, url), READY_S, every_s=0.05):
                    raise BadFaults(f"{url} is not answered with 200 after {READY_S:.0f} s: see {self.logs}")
        if not await until(lambda: all(kept.pid for kept in self.kept.values()), READY_S):
            raise BadFaults(f"not every process runs again after {READY_S:.0f} s: see {self.logs}")

    def _url(self, name: str) -> str:
        address = self.links[name].address
        assert not isinstance(address, Path)
        return f"http://{address[0]}:{address[1]}"

    def _outside(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}

    def clock_of(self, name: str) -> Path:
        """The file that a process reads its clock from."""
        return self.directory / "clock" / name

    def _on_a_clock(self, name: str) -> dict[str, str]:
        library = faketime()
        if library is None:
            return {}
        self.clock_of(name).write_text("+0s\n")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock_of(name)),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Its remedy for another glibc lets threads that wait for a lock with a limit sleep for seconds.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }

    async def begin(self, disks: bool) -> None:
        """Start everything, from the database up. Raises BadFaults with what the logs say."""
        environment = self._outside() | {"CAUDAL_VAR": str(self.directory / "var")}
        await self._begin_database(environment)
        if disks:
            await self.kept["database"].stop()
            self.disks = await moved((self.directory / "var" / "postgres" / "data").resolve(), self.directory / "disk")
            await self._begin_database(environment)
        for link in self.links.values():
            await link.open()
        parts, address = urlsplit(self.database_url), self.links["database"].address
        assert not isinstance(address, Path)
        user, _, _ = parts.netloc.rpartition("@")
        near = f"postgresql://{user}@{address[0]}:{address[1]}{parts.path}"
        await self._begin_caudal(self._outside() | self._own(near))

    async def _begin_database(self, environment: Mapping[str, str]) -> None:
        enter = self.disks.enter if self.disks is not None else ()
        command = (*enter, *_PYTHON, "caudal", "database")
        kept = Kept("database-1", command, environment, self.logs, at_our_end=signal.SIGINT)
        self.kept["database"] = kept
        log = self.logs / "database-1.log"
        already = log.stat().st_size if log.exists() else 0
        await kept.start()
        urls: list[str] = []

        def is_ready() -> bool:
            urls[:] = [line for line in _lines(log, already) if line.startswith("postgresql://")]
            return bool(urls or kept.ends)

        await until(is_ready, READY_S, every_s=0.05)
        if not urls:
            raise BadFaults(f"the database does not start: {log.read_text()[-1000:]}")
        self.database_url = urls[-1]
        socket_file = Path(unquote(parse_qs(urlsplit(self.database_url).query)["host"][0])) / ".s.PGSQL.5432"
        self.links["database"].lead_to(socket_file)

    def _own(self, database_url: str) -> dict[str, str]:
        return {
            "CAUDAL_DATABASE_URL": database_url,
            "CAUDAL_VAR": str(self.directory / "var"),
            "CAUDAL_KEK": base64.b64encode(secrets.token_bytes(32)).decode(),
            "CAUDAL_SPEI_SECRET_TEST": secrets.token_urlsafe(32),
            "CAUDAL_SPEI_SECRET_LIVE": secrets.token_urlsafe(32),
            **{_secret_of(name): secrets.token_urlsafe(32) for name in PROVIDERS},
            "CAUDAL_PROVIDERS": str(self._providers()),
            "CAUDAL_SANDBOX_URL": self._url("provider"),
            "CAUDAL_HOST": HERE,
            **self._settings,
        }

    def _providers(self) -> Path:
        """The file of the providers: with two, a payin of which nothing came at the first goes on to the other."""
        path, entry = self.directory / "providers.toml", '[[provider]]\nname = "{}"\nurl = "{}"\nsecret_env = "{}"\n'
        places = {name: self._url("provider") + place for name, place in PROVIDERS.items()}
        path.write_text("".join(entry.format(name, url, _secret_of(name)) for name, url in places.items()))
        return path

    async def _begin_caudal(self, own: dict[str, str]) -> None:
        await run_once("migrate", (*_PYTHON, "caudal", "migrate"), own)
        said = await run_once("operator", (*_PYTHON, "caudal", "operator", "create", "--name", "faults"), own)
        self.operator_key = next((word for word in said.split() if word.startswith("op_")), "")
        if not self.operator_key:
            raise BadFaults(f"no operator's key in {said!r}")
        listen = ("--host", HERE, "--port", str(urlsplit(self.sandbox_url).port))
        sandbox = (*_PYTHON, "caudal_sandbox", *listen, "--data", str(self.directory / "sandbox"))
        first, *others = PROVIDERS
        theirs = self._outside() | {
            "CAUDAL_SANDBOX_SPEI_SECRET": own["CAUDAL_SPEI_SECRET_TEST"],
            "CAUDAL_SANDBOX_PROVIDER_SECRET": own[_secret_of(first)],
            "CAUDAL_SANDBOX_PROVIDERS": ",".join(f"{name}={own[_secret_of(name)]}" for name in others),
        }
        self._keep("sandbox-1", (*sandbox, "--caudal-url", self._url("callback")), theirs)
        for number, url in enumerate(self.api_urls, 1):
            self._keep(f"web-{number}", (*_PYTHON, "caudal", "web"), own | {"CAUDAL_PORT": str(urlsplit(url).port)})
        for number in range(1, WORKERS + 1):
            self._keep(f"worker-{number}", (*_PYTHON, "caudal", "worker"), own)
        for kept in self.kept.values():
            if kept.kind != "database":
                await kept.start()
        await self.until_ready()

    def _keep(self, name: str, command: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.kept[name] = Kept(name, command, {**environment, **self._on_a_clock(name)}, self.logs)

    async def end(self) -> None:
        """Stop everything, the database last."""
        for over in self._under_way.values():
            over.set()
        await asyncio.gather(*list(self._under_way), return_exceptions=True)
        await asyncio.gather(*(kept.stop() for kept in self.kept.values() if kept.kind != "database"))
        for link in self.links.values():
            await link.close()
        if "database" in self.kept:
            await self.kept["database"].stop(patience_s=60.0)
        if self.disks is not None:
            await self.disks.close()


class World(Whole):
    """How a run gets one."""

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        directory: Path,
        *,
        disks: bool = False,
        settings: Mapping[str, str] | None = None,
        in_flight: Callable[[], int] = lambda: 1,
    ) -> AsyncIterator["World"]:
        """A world in this directory, which others may pass through (mode 0711); ended and stopped afterwards.

        `disks`: PostgreSQL's data is on file systems that can be filled. `in_flight` says how many requests are under
        way: a process is killed while some are. Raises BadFaults when something does not start.
        """
        world = cls(directory, settings or {}, in_flight)
        try:
            await world.begin(disks)
            yield world
        finally:
            await world.end()


async def run_once(what: str, command: tuple[str, ...], environment: Mapping[str, str]) -> str:
    """Run a command to its end and answer what it said. Raises BadFaults when it fails."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise BadFaults(f"{what} failed: {said.decode(errors='replace')[-1000:]}")
    return said.decode()


def _secret_of(provider: str) -> str:
    """The variable that holds the secret of a provider, which the providers' file names."""
    return f"{provider.upper()}_SECRET"


def free_port(chance: random.Random) -> int:
    """A port of this machine that nobody listens on, and that no connection out of it will take."""
    while True:
        port = random.SystemRandom().choice(_PORTS)
        with socket.socket() as trial:
            with contextlib.suppress(OSError):
                trial.bind((HERE, port))
                return port


def _lines(log: Path, already: int) -> list[str]:
    return log.read_bytes()[already:].decode(errors="replace").splitlines() if log.exists() else []


async def _is_answered(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
