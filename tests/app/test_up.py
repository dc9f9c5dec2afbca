"""`caudal up` around the real PostgreSQL and tiny services: start, restart, the order of the end, kill -9."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from caudal.app import children, state
from caudal.app.children import Service
from caudal.app.ports import address
from caudal.app.state import Ready, Secrets
from caudal.app.up import Prepared, down, own_services, reset, up
from caudal.kernel.settings import Settings, load

# Notes in a journal when it starts and ends, and whether PostgreSQL lives at its end; answers every GET.
TINY = """
import http.server, json, os, pathlib, signal, sys
name, var, port = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])

def note(what):
    with open(var / "journal", "a") as journal:
        journal.write(f"{name} {what}\\n")

def end(*_):
    os.kill(json.loads((var / "up.json").read_text())["processes"]["postgres"], 0)
    note("ended")
    os._exit(0)

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

signal.signal(signal.SIGTERM, end)
note("started")
if "CAUDAL_READY_FD" in os.environ:
    os.write(int(os.environ["CAUDAL_READY_FD"]), b"ready\\n")
if port:
    http.server.HTTPServer(("127.0.0.1", port), Answer).serve_forever()
while True:
    signal.pause()
"""

PARENT = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from test_up import prepare, show, tiny_services
from caudal.app.up import up
from caudal.kernel.settings import Settings

sys.exit(asyncio.run(up(Settings(var=sys.argv[1]), prepare=prepare, show=show, services=tiny_services)))
"""


def tiny_services(settings: Settings) -> Sequence[Service]:
    def tiny(name: str, port: int) -> Service:
        command = (sys.executable, "-I", "-S", "-c", TINY, name, settings.var, str(port))
        url = address("127.0.0.1", port) if port else None
        return Service(name=name, command=command, environment={}, health_url=url)

    return [tiny("sandbox", settings.sandbox_port), tiny("web", settings.port), tiny("worker", 0)]


async def prepare(settings: Settings, secrets: Secrets) -> Prepared:
    assert settings.database_url is not None
    assert len(settings.kek_bytes()) == 32
    return Prepared(operator_key=secrets.operator_key or "op_first", demo_key=secrets.demo_key or "sk_test_first")


async def show(ready: Ready) -> bool:
    return await children.answers(ready.api_url) and await children.answers(ready.sandbox_url)


async def show_failure(ready: Ready) -> bool:
    return False


@contextmanager
def passable() -> Iterator[Path]:
    """A folder that the database's user may pass; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="caudal-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def var() -> Iterator[Path]:
    """A directory that is new."""
    with passable() as folder:
        yield folder / "var"


@pytest.fixture(scope="session")
def used() -> Iterator[Path]:
    """A directory that every test leaves stopped and usable."""
    with passable() as folder:
        yield folder / "var"


async def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.01)


def runs(pid: int) -> bool:
    """A process that has ended and that nobody has waited for does not run."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_new(var: Path, name: str, former: int) -> bool:
    ready = state.read_ready(var)
    return ready is not None and ready.processes[name] != former


def start_parent(var: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-c", PARENT, str(var), str(Path(__file__).parent)]
    with var.with_name("up.log").open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


def journal(var: Path) -> list[list[str]]:
    """What the services noted: their name, what happened."""
    return [line.split() for line in (var / "journal").read_text().splitlines()]


@asynccontextmanager
async def running(var: Path, said: list[str]) -> AsyncIterator[tuple["asyncio.Task[int]", Ready]]:
    """`caudal up`, ready; asked to stop at the end if it still runs."""
    task = asyncio.create_task(
        up(Settings(var=str(var)), prepare=prepare, show=show, say=said.append, services=tiny_services)
    )
    await until(lambda: task.done() or getattr(state.read_ready(var), "pid", None) == os.getpid())
    ready = state.read_ready(var)
    assert ready is not None, said
    yield task, ready
    if not task.done():
        os.kill(os.getpid(), signal.SIGTERM)
        await task


async def test_everything_is_started_told_and_stopped_in_order(used: Path) -> None:
    said: list[str] = []
    async with running(used, said) as (task, ready):
        assert (used / "up.json").stat().st_mode & 0o777 == 0o600
        assert (used / "secrets.json").stat().st_mode & 0o777 == 0o600
        assert list(ready.processes) == ["postgres", "sandbox", "web", "worker"]
        assert all(runs(pid) for pid in ready.processes.values())
        assert (ready.operator_key, ready.reference_url) == ("op_first", f"{ready.api_url}/docs")
        os.kill(os.getpid(), signal.SIGINT)
        assert await task == 0
    assert not any(runs(pid) for pid in ready.processes.values())
    ended = [name for name, what in journal(used) if what == "ended"][-3:]
    assert (sorted(ended[:2]), ended[2:]) == (["web", "worker"], ["sandbox"])
    assert not (used / "up.json").exists()
    assert said[-1] == "stopping"


async def test_what_dies_is_started_again_and_up_json_knows(used: Path) -> None:
    said: list[str] = []
    async with running(used, said) as (_, ready):
        for name, pid in ready.processes.items():
            os.kill(pid, signal.SIGKILL)
            await until(partial(is_new, used, name, pid))
        again = state.read_ready(used)
        assert again is not None
        assert msgspec.structs.replace(again, processes={}) == msgspec.structs.replace(ready, processes={})
        assert all(runs(pid) for pid in again.processes.values())
    assert len([line for line in said if "SIGKILL" in line]) == 4


async def test_a_second_up_and_a_reset_are_refused_while_one_runs_and_down_ends_it(var: Path) -> None:
    said: list[str] = []
    settings = Settings(var=str(var))
    async with running(var, said) as (task, _):
        assert await up(settings, prepare=prepare, show=show, say=said.append, services=tiny_services) == 1
        assert said[-1].startswith(f"caudal: caudal is already up in {var} (process {os.getpid()})")
        assert await reset(settings, say=said.append) == 1
        assert await down(settings, say=said.append) == 0
        assert await task == 0
    assert await down(settings, say=said.append) == 0
    assert said[-1] == f"nothing is up in {var}"
    (var / "journal").unlink()
    assert await reset(settings, say=said.append) == 0
    assert var not in list(var.parent.glob("*"))


async def test_the_demo_stops_by_itself_and_says_whether_it_went_well(var: Path) -> None:
    settings, said = Settings(var=str(var)), list[str]()
    for run, expected in ((show, 0), (show_failure, 1)):
        status = await up(settings, prepare=prepare, show=run, demo_only=True, say=said.append, services=tiny_services)
        assert (status, said) == (expected, ["making a new PostgreSQL database"])
    secrets = json.loads((var / "secrets.json").read_text())
    assert (secrets["operator_key"], secrets["demo_key"]) == ("op_first", "sk_test_first")


async def test_a_killed_up_leaves_nothing_and_the_next_one_starts(used: Path) -> None:
    parent = start_parent(used)
    await until(lambda: state.read_ready(used) is not None)
    ready = state.read_ready(used)
    assert ready is not None
    parent.kill()
    parent.wait()
    await until(lambda: not any(runs(pid) for pid in ready.processes.values()))
    async with running(used, []) as (_, again):
        assert again.processes != ready.processes


async def test_secrets_that_went_missing_are_not_replaced_under_existing_data(var: Path) -> None:
    said: list[str] = []
    (var / "postgres" / "data").mkdir(parents=True)
    status = await up(Settings(var=str(var)), prepare=prepare, show=show, say=said.append, services=tiny_services)
    assert (status, len(said)) == (1, 1)
    assert "secrets.json is missing" in said[0]


async def test_a_service_that_never_becomes_ready_ends_the_start(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(children, "BACKOFF_S", (0.01, 0.02))
    broken = Service(
        name="web",
        command=(sys.executable, "-c", "raise SystemExit(3)"),
        environment={},
    )
    status = await up(
        Settings(var=str(used)), prepare=prepare, show=show, say=said.append, services=lambda settings: [broken]
    )
    assert status == 1
    log = used / "log" / "web.log"
    assert said[-1] == f"caudal: web does not become ready: it has ended 5 times ({log})"
    assert not (used / "up.json").exists()


def test_the_services_get_their_settings_and_the_sandbox_only_its_secrets() -> None:
    settings = Settings(
        var="/v", host="0.0.0.0", port=9700, sandbox_port=9701, sandbox_url="http://127.0.0.1:9701",
        web_processes=2, worker_processes=2, kek="secret", spei_secret_test="shared", provider_secret_test="too", database_url="postgresql://db",
        log_json=False,
    )  # fmt: skip
    sandbox, *own = own_services(settings)
    assert [service.name for service in own] == ["web", "web-2", "worker", "worker-2"]
    for number, service in enumerate(own):
        assert load(service.environment) == msgspec.structs.replace(
            settings, share_port=True, stop_notice_s=0.0, metrics_port=8702 + number
        )
    mine = {name: value for name, value in sandbox.environment.items() if name.startswith("CAUDAL_")}
    assert mine == {
        "CAUDAL_SANDBOX_SPEI_SECRET": "shared",
        "CAUDAL_SANDBOX_PROVIDER_SECRET": "too",
        "CAUDAL_SANDBOX_PROVIDERS": "",
    }
    assert sandbox.command[3:] == (
        *("--host", "127.0.0.1", "--port", "9701"),
        *("--data", "/v/sandbox", "--caudal-url", "http://127.0.0.1:9700"),
    )
