"""`caudal restart`: the new process is ready before the former one ends; one that does not come changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from caudal.app import children as app_children
from caudal.app import restart as app_restart
from caudal.app import state
from caudal.app.children import Children, Service
from caudal.app.ports import Ports, address
from caudal.app.restart import Asked, restart
from caudal.app.state import Ready
from caudal.kernel.settings import Settings
from tests.app.test_up_children import LISTENS_WHEN_TOLD

NOTES = (
    """
import signal, os
def end(*_):
    with open(sys.argv[2] + ".ended", "a") as journal:
        journal.write(f"{os.getpid()}\\n")
    os._exit(0)
"""
    + LISTENS_WHEN_TOLD.replace("told =", "signal.signal(signal.SIGTERM, end)\ntold =")
).replace("import signal, os\n", "import signal, os, sys\n", 1)


class House:
    """A service that shares its port, kept running; `said` is what a person reads."""

    def __init__(self, home: Path, port: int) -> None:
        self.told, self.said, self.home = home / "told", list[str](), home
        self.web = Service(
            name="web",
            command=(sys.executable, "-I", "-S", "-c", NOTES, str(port), str(self.told)),
            environment={},
            health_url=address("127.0.0.1", port),
        )
        self.children = Children(home, say=self.said.append, changed=self.changed)

    def changed(self, name: str, pid: int) -> None:
        self.write()

    def write(self) -> None:
        ready = Ready(
            pid=os.getpid(),
            api_url="",
            sandbox_url="",
            database_url="",
            operator_key="",
            demo_key="",
            processes={"postgres": 1, **self.children.pids},
        )
        state.write_ready(self.home, ready)

    @property
    def ended(self) -> list[str]:
        journal = Path(f"{self.told}.ended")
        return journal.read_text().split() if journal.exists() else []


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    ports = Ports("127.0.0.1")
    house = House(tmp_path, ports.take(0))
    house.told.touch()
    try:
        house.children.start(house.web)
        await house.children.ready([house.web], timeout_s=20.0)
        yield house
    finally:
        await house.children.stop("web")
        ports.release()


async def test_a_process_is_replaced_by_one_that_is_ready(house: House) -> None:
    before = house.children.pids["web"]
    house.told.unlink()
    replacing = asyncio.create_task(house.children.replace(house.web))
    done, _ = await asyncio.wait({replacing}, timeout=0.4)
    assert not done and house.ended == [], "the next one is not ready yet: the former one goes on"
    house.told.touch()
    await replacing
    assert house.ended == [str(before)] and house.children.pids["web"] != before
    assert house.said == [], "nobody died"


async def test_one_that_does_not_become_ready_leaves_the_former_one_where_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = house.children.pids["web"]
    house.told.unlink()
    monkeypatch.setattr(Children.ready, "__kwdefaults__", {"timeout_s": 0.2})
    with pytest.raises(state.UpError):
        await house.children.replace(house.web)
    assert house.children.pids["web"] == before and str(before) not in house.ended
    os.kill(before, signal.SIGKILL)
    house.told.touch()
    monkeypatch.setattr(Children.ready, "__kwdefaults__", {"timeout_s": app_children.READY_S})
    async with asyncio.timeout(60):
        while house.children.pids["web"] == before:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(house.said) == 1, "it is kept running, as before"


async def test_the_command_asks_and_waits_until_all_are_replaced(house: House) -> None:
    before, said = house.children.pids["web"], list[str]()
    sandbox = Service(name="sandbox", command=(), environment={})
    keeping = asyncio.create_task(Asked().keep(house.children, [sandbox, house.web], house.said.append))
    try:
        with state.held(house.home):
            house.write()
            for _ in range(2):
                assert await restart(Settings(var=str(house.home)), say=said.append) == 0
    finally:
        keeping.cancel()
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    assert said == ["restarted web"] * 2 and len(house.said) == 2
    assert house.ended[0] == str(before) and len(house.ended) == 2


async def test_where_nothing_is_up_nobody_is_asked(tmp_path: Path) -> None:
    said = list[str]()
    assert await restart(Settings(var=str(tmp_path)), say=said.append) == 1
    assert said == [f"caudal: nothing is up in {tmp_path}"]


async def test_one_that_is_not_replaced_in_time_is_named(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_restart, "READY_S", 0.1)
    monkeypatch.setattr(app_restart, "PATIENCE_S", 0.1)
    said, asked = list[str](), Asked()
    try:
        with state.held(house.home):
            house.write()
            assert await restart(Settings(var=str(house.home)), say=said.append) == 1
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    assert said == ["caudal: not restarted: web"] and asked is not None
