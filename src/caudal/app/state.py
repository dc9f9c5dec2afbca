"""What `caudal up` keeps in its directory (CAUDAL_VAR), and the lock that makes it the only one there.

up.lock         held while `caudal up` runs; its process id
up.json         while it is ready: addresses, keys, process ids; mode 0600
providers.toml  which providers the sandbox has, with their secrets; mode 0600
secrets.json    made once, mode 0600: without it the database's sealed rows cannot be read
postgres/ sandbox/ log/
"""

from __future__ import annotations

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from caudal.kernel.postgres import private_file
from caudal.kernel.settings import SettingError

FILES: Final = (
    "up.json",
    "up.json.unfinished",
    "secrets.json",
    "secrets.json.unfinished",
    "providers.toml",
    "providers.toml.unfinished",
    "up.lock",
)
FOLDERS: Final = ("sandbox", "log")


class UpError(Exception):
    """`caudal up`, `down` or `reset` cannot do what was asked; the message says why and what to do."""


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """What must survive restarts and never be shown. The keys are those that the first start made."""

    kek: str
    spei_secret_test: str
    spei_secret_live: str
    provider_secret_test: str = msgspec.field(default_factory=lambda: secrets.token_urlsafe(32))
    sandbox_providers: dict[str, str] = {}
    operator_key: str | None = None
    demo_key: str | None = None
    seals_elsewhere: bool = False  # a database of CAUDAL_DATABASE_URL, which outlives this directory's data


class Restarted(msgspec.Struct, frozen=True, kw_only=True):
    """How the last `caudal restart` ended, the so-many-th of this `caudal up`; `failure` says why it broke off.

    `begun` is the number of the one that began last: another one than that which ended last while it runs.
    """

    number: int = 0
    begun: int = 0
    replaced: list[str] = []
    failure: str = ""


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """up.json: everything that a person or a program needs to use what is running."""

    pid: int
    api_url: str
    sandbox_url: str
    database_url: str
    operator_key: str
    demo_key: str
    processes: dict[str, int]
    providers: str = ""
    metrics: dict[str, str] = {}  # each process's operator's port, as an address
    restarted: Restarted | None = None  # of one whose version does not say it yet

    @property
    def reference_url(self) -> str:
        """The browsable API reference."""
        return f"{self.api_url}/docs"

    @property
    def payer_url(self) -> str:
        """The page where a person pays."""
        return f"{self.sandbox_url}/pay"


def read_secrets(var: Path, *, may_make: bool) -> Secrets:
    """The secrets of this directory; new ones where there are none yet.

    Raises UpError when they are missing and may not be made, since there is data that the lost ones have sealed.
    """
    path = var / "secrets.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Secrets)
    except FileNotFoundError:
        if not may_make:
            raise UpError(f"{path} is missing, and without it the database in {var} cannot be read") from None
    except msgspec.DecodeError as error:
        raise UpError(f"{path} is damaged: {error}") from error
    made = Secrets(
        kek=base64.b64encode(secrets.token_bytes(32)).decode(),
        spei_secret_test=secrets.token_urlsafe(32),
        spei_secret_live=secrets.token_urlsafe(32),
    )
    write_secrets(var, made)
    return made


def seals_elsewhere(var: Path) -> bool:
    """Whether this directory's secrets belong to a database of CAUDAL_DATABASE_URL, too."""
    try:
        return msgspec.json.decode((var / "secrets.json").read_bytes(), type=Secrets).seals_elsewhere
    except (FileNotFoundError, msgspec.DecodeError):
        return False


def write_secrets(var: Path, kept: Secrets) -> None:
    """Replace the file in one step."""
    private_file(var / "secrets.json", _json(kept))


def write_ready(var: Path, ready: Ready) -> None:
    """Say that everything is ready, or that a process has another number now."""
    private_file(var / "up.json", _json(ready))


def read_ready(var: Path) -> Ready | None:
    """What is running here, or None when nothing is ready."""
    try:
        return msgspec.json.decode((var / "up.json").read_bytes(), type=Ready)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


class UpJson:
    """up.json of one `caudal up`: written when everything is ready, and again whenever something of it changes."""

    def __init__(self, var: Path) -> None:
        self._var = var
        self._ready: Ready | None = None
        self.processes = dict[str, int]()

    def ready(self, ready: Ready) -> None:
        """Everything is ready."""
        self._ready = ready
        write_ready(self._var, ready)

    def changed(self, name: str, pid: int) -> None:
        """A process has another number now."""
        self.processes[name] = pid
        if self._ready is not None:
            self.ready(msgspec.structs.replace(self._ready, processes=self.processes))

    def restarting(self, number: int) -> None:
        """The so-many-th restart has begun."""
        if self._ready is not None:
            former = self._ready.restarted or Restarted()
            self.restarted(msgspec.structs.replace(former, begun=number))

    def restarted(self, how: Restarted) -> None:
        """A restart has ended."""
        if self._ready is not None:
            self.ready(msgspec.structs.replace(self._ready, restarted=how))

    def remove(self) -> None:
        """Nothing is ready."""
        (self._var / "up.json").unlink(missing_ok=True)


def _json(value: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n"


def holder(var: Path) -> int | None:
    """The process id of the `caudal up` that runs here, or None."""
    path = var / "up.lock"
    if not path.exists():
        return None
    descriptor = _lock(path, fcntl.LOCK_SH)  # two who ask at once are no `caudal up` to each other
    if descriptor is None:
        return int(path.read_text() or 0) or None
    os.close(descriptor)
    return None


@contextmanager
def held(var: Path, *, only_its_owner: bool = False) -> Iterator[None]:
    """Be the only one here. Raises UpError when another is, SettingError for a directory that cannot be used.

    `only_its_owner`: refuses whoever is not the user who was here before, to whom what is made would be closed.
    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        if only_its_owner and (var / "up.lock").exists():
            _refuse_others(var, (var / "up.lock").stat().st_uid)
        descriptor = _lock(var / "up.lock")
    except OSError as error:
        raise SettingError(f"CAUDAL_VAR={var}: {error.strerror} ({error.filename})") from error
    if descriptor is None:
        raise UpError(f"caudal is already up in {var} (process {holder(var)}); `caudal down` stops it")
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _refuse_others(var: Path, owner: int) -> None:
    if owner != os.geteuid():
        raise SettingError(f"CAUDAL_VAR={var} belongs to user {owner}: run caudal as that user or elsewhere")


def _lock(path: Path, how: int = fcntl.LOCK_EX) -> int | None:
    """A descriptor that holds the lock until it is closed, or None when another process holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        os.close(descriptor)  # `caudal reset` removed it between our opening and locking it
