"""The embedded PostgreSQL: one cluster, run as a child of this process, restarted when it dies.

    cluster = Cluster(Path("var/postgres"))
    await cluster.start()                             # made at the first start; accepts connections, verified durable
    supervising = asyncio.create_task(cluster.supervise())
    …                                                 # cluster.database_url
    await cluster.stop()

If this process is killed, the kernel tells the server (SIGQUIT): it ends at once and recovers at the next start, which
takes about 10 s at the worst. A clean shutdown's checkpoint could take longer than whoever kills wants to wait.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from signal import SIGINT, SIGQUIT
from types import TracebackType
from typing import Final
from urllib.parse import quote

import psycopg

from caudal.kernel.postgres import home as homes
from caudal.kernel.postgres.binaries import copied, find_binaries, folders, version
from caudal.kernel.postgres.child import Child, Owner, reason
from caudal.kernel.postgres.create import USER, create, is_made, last_lines
from caudal.kernel.postgres.durable import Durability, verify_durable
from caudal.kernel.postgres.failures import ClusterError, NotDurable
from caudal.kernel.postgres.former import end_former, title
from caudal.kernel.postgres.owner import owner_of, reaches
from caudal.kernel.postgres.sizing import Machine, settings_for, this_machine

DATABASE: Final = "caudal"
BACKOFF_S: Final = (0.05, 5.0)  # first and longest pause before a restart, doubled each time
STEADY_S: Final = 10.0  # a server that lived this long begins with the first pause again
PROGRESS_S: Final = 3.0  # how often a long recovery is reported
FAST_SHUTDOWN_S: Final = 30.0  # sessions are ended and a checkpoint written
IMMEDIATE_SHUTDOWN_S: Final = 8.0  # the postmaster kills what has not ended after 5
HBA: Final = "# Nobody without the password, on the same machine either.\nlocal all all scram-sha-256\n"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Cluster:
    """One data directory and its server. Linux only (x86-64, aarch64).

    `settings` are added to those for the machine; `say` gets one line for each thing worth telling a person.
    """

    def __init__(
        self,
        home: Path,
        *,
        log: Path | None = None,
        say: Callable[[str], None] = _say,
        machine: Machine | None = None,
        web_processes: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Path(os.path.abspath(home))  # noqa: PTH100 (the link at its end stays a link)
        self._asked_log, self._say = log, say
        self._settings = {**settings_for(machine or this_machine(), web_processes=web_processes), **(settings or {})}
        self._child: Child | None = None
        self._lock: int | None = None
        self._stopping = False
        self.durability: Durability | None = None

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None when it does not run."""
        return self._child.pid if self._child is not None and self._child.status is None else None

    @property
    def data(self) -> Path:
        """The data directory, after start."""
        return self._real / "data"

    @property
    def database_url(self) -> str:
        """Where others connect, password included, after start. Stays the same when the server restarts."""
        return self._url(DATABASE)

    def _url(self, database: str) -> str:
        directory = quote(str(self._run), safe="")
        return f"postgresql://{USER}:{quote(homes.password(self._real), safe='')}@/{database}?host={directory}"

    async def start(self) -> None:
        """Make the cluster if there is none, start the server, return when it takes writes. Raises ClusterError."""
        assert self._lock is None, "started twice"
        self._stopping = False
        owner = owner_of(self.home / "data")
        self._owner, self._real = owner, homes.settle(self.home, owner)
        self._lock = homes.lock(self._real)
        try:
            self._log = self._asked_log or self._real / "server.log"
            self._binaries = await asyncio.to_thread(self._reachable_binaries, owner)
            if not is_made(self._real):
                self._say("making a new PostgreSQL database")
                await create(self._real, self._binaries, owner, self._log, _environment())
            self._run = homes.socket_directory(self._real, owner)
            await self._serve()
        except BaseException:
            await self.stop()
            raise

    def _reachable_binaries(self, owner: Owner | None) -> Path:
        binaries = find_binaries()
        if owner is None or reaches(owner, *folders(binaries)):
            version(binaries)
            return binaries
        return copied(binaries, self._real)

    async def _serve(self) -> None:
        await end_former(self.data, self._say)
        self._write_configuration()
        command = [str(self._binaries / "bin" / "postgres"), "-D", str(self.data)]
        command += ["-c", f"config_file={self._real / 'postgresql.conf'}"]
        command += ["-c", f"hba_file={self._real / 'pg_hba.conf'}"]
        if self._stopping:
            raise ClusterError("PostgreSQL was asked to stop while it started")
        self._child = Child(
            command,
            environment=_environment(),
            log=self._log,
            directory=self._real,
            death_signal=SIGQUIT,
            owner=self._owner,
        )
        await self._follow_start(self._child)
        try:
            async with await psycopg.AsyncConnection.connect(self.database_url, autocommit=True) as connection:
                self.durability = await verify_durable(connection)
        except NotDurable:
            await self._child.end((SIGINT, FAST_SHUTDOWN_S), (SIGQUIT, IMMEDIATE_SHUTDOWN_S))
            raise

    def _write_configuration(self) -> None:
        """Outside of the data directory, so that root never writes where another user may plant a link."""
        settings = {
            **self._settings,
            "listen_addresses": "",
            "unix_socket_directories": str(self._run),
            "unix_socket_permissions": "0700",
            "cluster_name": title(self.data),
        }
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        head = "# Written by caudal at every start; ALTER SYSTEM overrides it."
        # No secret in either, and the server's user has to read them.
        for name, text in (("postgresql.conf", "\n".join([head, *lines, ""])), ("pg_hba.conf", HBA)):
            (self._real / name).write_text(text)
            (self._real / name).chmod(0o644)

    async def _follow_start(self, child: Child) -> None:
        """Return when the server takes writes. However long recovery takes, it is followed while the server lives."""
        began = told = time.monotonic()
        while not await self._is_ready():
            if child.status is not None:
                raise ClusterError(f"PostgreSQL ended with {reason(child.status)}: {last_lines(self._log)}")
            if time.monotonic() - told >= PROGRESS_S:
                told = time.monotonic()
                self._say(f"PostgreSQL is recovering, {told - began:.0f} s: {last_lines(self._log, 1)}")
            await asyncio.sleep(0.02)

    async def _is_ready(self) -> bool:
        # Its pid file says when to try: every attempt before that would be a line in the log.
        if self._status_line() != "ready":
            return False
        try:
            connection = await psycopg.AsyncConnection.connect(self._url("postgres"), autocommit=True)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ClusterError(f"{self._real}/password is not the database's: bring the right one back") from error
            return False
        async with connection:
            cursor = await connection.execute(
                "select not pg_is_in_recovery(), exists(select from pg_database where datname = %s)", (DATABASE,)
            )
            takes_writes, exists = await cursor.fetchone() or (False, False)
            if takes_writes and not exists:
                await connection.execute(f"create database {DATABASE}")
            return bool(takes_writes)

    def _status_line(self) -> str:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[7].strip() if len(lines) > 7 else ""

    async def supervise(self, restarted: Callable[[int], None] = lambda pid: None) -> None:
        """Restart the server whenever it dies, until `stop`; `restarted` gets the new process id.

        Raises NotDurable if the restarted server's settings are no longer durable; it has been stopped then.
        """
        pause_s, began = BACKOFF_S[0], time.monotonic()
        while not self._stopping and self._child is not None:
            status = await self._child.wait()
            if self._stopping:
                return
            pause_s = BACKOFF_S[0] if time.monotonic() - began > STEADY_S else min(pause_s * 2, BACKOFF_S[1])
            self._say(f"PostgreSQL ended with {reason(status)}: starting it again")
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            try:
                await self._serve()
            except NotDurable:
                raise
            except (ClusterError, psycopg.OperationalError, OSError) as error:
                if not self._stopping:
                    self._say(f"PostgreSQL did not start: {error}")
                continue
            restarted(self._child.pid)

    async def stop(self) -> None:
        """A fast shutdown, an immediate one if that takes too long. Leaves no process behind; may be called twice."""
        self._stopping = True
        try:
            if self._child is not None:
                await self._child.end((SIGINT, FAST_SHUTDOWN_S), (SIGQUIT, IMMEDIATE_SHUTDOWN_S))
                if self._child.status != 0:  # killed: it could not end its own children
                    await end_former(self.data, self._say)
                self._child = None
                homes.forget_socket_directory(self._real)
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    async def remove(self) -> None:
        """Delete the cluster and all its data, wherever it really is. Raises ClusterError while it runs."""
        await asyncio.to_thread(homes.remove, self.home)

    async def __aenter__(self) -> Cluster:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


def _environment() -> dict[str, str]:
    """What the server needs of ours: no secret, and no PG… variable of whoever started us."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LANG": "C", "TZ": "UTC"}
