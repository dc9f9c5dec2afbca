"""`caudal restart`: the new process is ready before the former one ends; one that does not come changes nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from caudal.app import children as app_children
from caudal.app import restart as app_restart
from caudal.app import state
from caudal.app.children import Children, Service
from caudal.app.restart import Asked, restart
from caudal.app.state import Ready, Restarted
from caudal.kernel.settings import Settings


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


# Says what it lacks until it is told, then that it is ready; notes its end.
TELLS = """
import os, pathlib, signal, sys, time
home, name = pathlib.Path(sys.argv[1]), sys.argv[2]
teller = int(os.environ.get("CAUDAL_READY_FD", "-1"))

def end(*_):
    with open(home / "ended", "a") as journal:
        journal.write(f"{os.getpid()}\\n")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
if (home / f"{name}.breaks").exists():
    raise ImportError("no module of this name")
if teller >= 0:
    if (home / f"{name}.begins").exists():
        os.write(teller, b"begun\\n")
    os.write(teller, b"not migrated: 0015_x\\n")
    while not (home / f"{name}.told").exists():
        time.sleep(0.01)
    os.write(teller, b"ready\\n")
while True:
    signal.pause()
"""


class House:
    """Services that are kept running; `said` is what a person reads."""

    def __init__(self, home: Path) -> None:
        self.said, self.home = list[str](), home
        self.web, self.worker = (
            Service(name=name, command=(sys.executable, "-I", "-S", "-c", TELLS, str(home), name), environment={})
            for name in ("web", "worker")
        )
        self.up = state.UpJson(home)
        self.children = Children(home, say=self.said.append, changed=self.up.changed)

    def told(self, name: str, *, is_ready: bool = True) -> None:
        """From now on processes of this name become ready, or do not."""
        file = self.home / f"{name}.told"
        file.touch() if is_ready else file.unlink()

    def write(self) -> None:
        for name, pid in {"postgres": 1, **self.children.pids}.items():
            self.up.changed(name, pid)
        ready = Ready(
            pid=os.getpid(),
            api_url="",
            sandbox_url="",
            database_url="",
            operator_key="",
            demo_key="",
            processes=self.up.processes,
            restarted=Restarted(),
        )
        self.up.ready(ready)

    @property
    def ended(self) -> list[int]:
        journal = self.home / "ended"
        return [int(pid) for pid in journal.read_text().split()] if journal.exists() else []


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    try:
        for service in (house.web, house.worker):
            house.told(service.name)
            house.children.start(service)
        await house.children.ready([house.web, house.worker], timeout_s=60.0)
        yield house
    finally:
        await house.children.stop("web", "worker")


@asynccontextmanager
async def asked(house: House, said: list[str]) -> AsyncIterator[Callable[[], Coroutine[None, None, int]]]:
    """What `caudal restart` does, beside a `caudal up` that hears it."""
    sandbox = Service(name="sandbox", command=(), environment={})
    services = [sandbox, house.web, house.worker]
    keeping = asyncio.create_task(Asked().keep(house.children, services, house.said.append, house.up))
    try:
        with state.held(house.home):
            house.write()
            yield lambda: restart(Settings(var=str(house.home)), say=said.append)
    finally:
        keeping.cancel()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)


async def test_a_process_is_replaced_by_one_that_says_that_it_is_ready(house: House) -> None:
    for service in (house.web, house.worker):
        before = house.children.pids[service.name]
        house.told(service.name, is_ready=False)
        replacing = asyncio.create_task(house.children.replace(service))
        done, _ = await asyncio.wait({replacing}, timeout=0.4)
        assert not done and before not in house.ended, "the next one is not ready yet: the former one goes on"
        house.told(service.name)
        await replacing
        assert house.ended[-1] == before and house.children.pids[service.name] != before
    assert house.said == [], "nobody died"


@pytest.mark.parametrize("name", ["web", "worker"])
async def test_one_that_does_not_become_ready_is_ended_and_what_it_lacks_is_said(house: House, name: str) -> None:
    service, before = getattr(house, name), dict(house.children.pids)
    house.told(name, is_ready=False)
    with pytest.raises(state.UpError) as error:
        await house.children.replace(service, timeout_s=1.5)
    log = house.home / f"{name}.log"
    assert str(error.value) == f"{name} does not become ready: after 1.5 s not migrated: 0015_x ({log})"
    assert house.children.pids == before
    (ended,) = house.ended
    assert ended not in before.values() and not runs(ended)
    os.kill(before[name], signal.SIGKILL)
    await until(lambda: house.children.pids[name] != before[name])
    assert len(house.said) == 1, "it is kept running, as before"


async def test_one_that_was_there_and_dies_meanwhile_is_started_again(house: House) -> None:
    before = house.children.pids["web"]
    house.told("web", is_ready=False)
    replacing = asyncio.create_task(house.children.replace(house.web))
    os.kill(before, signal.SIGKILL)
    await until(lambda: house.children.pids["web"] != before)
    between = house.children.pids["web"]
    house.told("web")
    await replacing
    assert house.children.pids["web"] not in (before, between) and len(house.said) == 1


async def test_one_that_has_begun_is_better_than_none_and_not_good_enough_beside_one(house: House) -> None:
    house.told("worker", is_ready=False)
    (house.home / "worker.begins").touch()
    with pytest.raises(state.UpError):
        await house.children.replace(house.worker, timeout_s=0.3)
    await house.children.stop("worker")
    house.children.start(house.worker)
    await until(lambda: house.children._running["worker"].lacks.startswith("not migrated"))
    await house.children.ready([house.web, house.worker], timeout_s=0.0)
    why = f"after 0 s not migrated: 0015_x ({house.home / 'worker.log'})"
    assert house.said == [f"caudal: worker does not become ready: {why}; it takes work all the same"]
    await _dies(house, "worker")
    assert house.children._running["worker"].told is None, "nobody waits for the next one either: it begins at once"


async def _dies(house: House, name: str) -> None:
    former = house.children.pids[name]
    os.kill(former, signal.SIGKILL)
    await until(lambda: house.children.pids[name] != former)


async def test_the_command_asks_and_waits_until_all_are_replaced(house: House) -> None:
    before, said = set(house.children.pids.values()), list[str]()
    async with asked(house, said) as command:
        for _ in range(2):
            assert await command() == 0
    assert said == ["restarted web, worker"] * 2 and len(house.said) == 4
    assert set(house.ended[:2]) == before and len(house.ended) == 4


async def test_the_command_fails_with_what_the_successor_died_of_and_the_former_one_goes_on(house: House) -> None:
    before, said = dict(house.children.pids), list[str]()
    (house.home / "worker.breaks").touch()
    async with asked(house, said) as command:
        assert await command() == 1
        log = house.home / "worker.log"
        why = f"worker does not become ready: it ended with status 1 ({log})"
        assert said == ["restarted web", f"caudal: {why}; what was there goes on"] and house.said[-1] == said[-1]
        assert house.children.pids["worker"] == before["worker"] and runs(before["worker"])
        assert "ImportError: no module of this name" in log.read_text()
        (house.home / "worker.breaks").unlink()
        assert await command() == 0
    assert house.ended == [before["web"], house.ended[1], before["worker"]]


async def test_who_asks_while_a_restart_runs_waits_for_the_next_one(house: House) -> None:
    before, said = set(house.children.pids.values()), list[str]()
    house.told("worker", is_ready=False)
    async with asked(house, said) as command:
        first = asyncio.create_task(command())
        await until(lambda: len(house.ended) == 1)
        between = house.children.pids["web"]
        second, third = asyncio.create_task(command()), asyncio.create_task(command())
        await asyncio.sleep(0)
        house.told("web", is_ready=False)
        house.told("worker")
        assert await first == 0 and between not in house.ended
        house.told("web")
        assert (await second, await third) == (0, 0) and between in house.ended
    assert said == ["restarted web, worker"] * 3 and len(house.ended) == 4 and before < set(house.ended)


async def test_a_program_that_cannot_be_started_is_a_failure_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    said = list[str]()

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    async with asked(house, said) as command:
        monkeypatch.setattr(app_children, "Child", broken)
        assert await command() == 1
    assert said == ["caudal: [Errno 11] Resource temporarily unavailable; what was there goes on"]


async def test_a_defect_is_a_failure_too_and_the_next_one_who_asks_is_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = list[str]()

    async def broken(*_: object) -> None:
        raise LookupError("a defect")

    async with asked(house, said) as command:
        with monkeypatch.context() as patched:
            patched.setattr(house.children, "replace", broken)
            assert await command() == 1
        assert await command() == 0
    assert said == ["caudal: a defect, LookupError: a defect; what was there goes on", "restarted web, worker"]


async def test_a_former_version_that_does_not_say_how_a_restart_ended_is_asked_too(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.up, "restarted", lambda _: None)
    before, said = set(house.children.pids.values()), list[str]()
    async with asked(house, said) as command:
        up_json = house.home / "up.json"
        written = msgspec.json.decode(up_json.read_bytes())
        assert written.pop("restarted")["number"] == 0
        house.up.ready(msgspec.convert(written, Ready))
        assert await command() == 0
    assert said == ["restarted web, worker"] and set(house.ended) == before


async def test_where_nothing_is_up_nobody_is_asked(tmp_path: Path) -> None:
    said = list[str]()
    assert await restart(Settings(var=str(tmp_path)), say=said.append) == 1
    assert said == [f"caudal: nothing is up in {tmp_path}"]


async def test_one_that_does_not_end_in_time_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_restart, "READY_S", 0.1)
    monkeypatch.setattr(app_restart, "PATIENCE_S", 0.1)
    said, hears = list[str](), Asked()
    try:
        with state.held(house.home):
            house.write()
            assert await restart(Settings(var=str(house.home)), say=said.append) == 1
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    up_json = house.home / "up.json"
    assert said == [f"caudal: no restart has ended within 0.4 s: {up_json} has the processes that are there"]
    assert hears is not None
