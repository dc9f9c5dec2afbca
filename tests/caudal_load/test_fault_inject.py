"""Injectors on processes, file systems and system calls that are real: what they do, and what they say showed it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from caudal_load.faults import needs
from caudal_load.faults.disk import moved
from caudal_load.faults.inject.clock import jumped
from caudal_load.faults.inject.orders import ordered
from caudal_load.faults.inject.outages import away
from caudal_load.faults.inject.processes import killed, paused, state
from caudal_load.faults.inject.seen import Seen, until
from caudal_load.faults.keeper import Kept
from caudal_load.faults.kinds import BY_NAME
from caudal_load.faults.model import BadFaults, Fault
from caudal_load.faults.plan import plan_of
from caudal_load.faults.world import Whole
from caudal_load.processes import is_running
from caudal_sandbox.journal import Journal
from caudal_sandbox.provider.books import SCHEMA
from tests.house.tree import ROOT

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
HARNESS = """
import asyncio, os, sys
from pathlib import Path
from caudal_load.faults.keeper import Kept

async def main():
    kept = Kept("web-1", (sys.executable, "-c", "import time; time.sleep(600)"), os.environ, Path(sys.argv[1]))
    await kept.start()
    print(kept.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
STUCK_ON_FSYNC = """
import os, sys, time
while True:
    try:
        os.fsync(os.open(sys.argv[1], os.O_RDWR))
    except OSError as error:
        print(error.errno, flush=True)
        break
    time.sleep(0.02)
"""


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    process = Kept("web-1", SLEEP, os.environ, tmp_path)
    await process.start()
    yield process
    await process.stop(patience_s=5.0)
    assert process.pid is None


def world_of(kept: Kept, tmp_path: Path, in_flight: int = 3) -> Any:
    """As much of a world as an injector of processes looks at."""
    return SimpleNamespace(
        processes=lambda: {kept.kind: [kept.pid]} if kept.pid else {},
        in_flight=lambda: in_flight,
        kept={kept.name: kept},
        logs=tmp_path,
        directory=tmp_path,
        orders=[],
        clock_of=lambda name: tmp_path / f"clock-{name}",
    )


def fault(kind: str, target: str = "web", **parameters: int | float | str) -> Fault:
    return Fault(at_s=1.0, kind=kind, target=target, for_s=0.0, parameters=parameters)


async def test_a_killed_process_is_started_again_and_its_death_is_the_evidence(kept: Kept, tmp_path: Path) -> None:
    former, seen = kept.pid, Seen()
    async with killed(world_of(kept, tmp_path), fault("kill"), seen):
        pass
    assert seen.text == f"process {former} was killed with 3 requests in flight"
    assert await until(lambda: kept.starts == 2 and kept.pid not in (None, former), 10.0)
    assert kept.ends == [-signal.SIGKILL]


async def test_a_kill_without_a_request_in_flight_did_not_happen(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal_load.faults.inject.processes.BUSY_S", 0.0)
    seen = Seen()
    async with killed(world_of(kept, tmp_path, in_flight=0), fault("kill"), seen):
        pass
    assert await until(lambda: kept.ends == [-signal.SIGKILL], 10.0)
    assert seen.text == ""


async def test_a_paused_process_stands_still_until_the_end(kept: Kept, tmp_path: Path) -> None:
    seen, pid = Seen(), kept.pid
    assert pid is not None
    async with paused(world_of(kept, tmp_path), fault("pause"), seen):
        assert state(pid) == "T"
    assert await until(lambda: state(pid) != "T", 5.0)
    assert seen.text == f"process {kept.pid} stood still with 3 requests in flight"


async def test_a_process_that_never_runs_cannot_be_hit(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal_load.faults.inject.processes.FOUND_S", 0.0)
    with pytest.raises(BadFaults, match="no process worker runs"):
        async with killed(world_of(kept, tmp_path), fault("kill", "worker"), Seen()):
            pass


def test_what_is_kept_ends_with_the_harness_also_after_kill_9(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HARNESS, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as harness:
        assert harness.stdout is not None
        pid = int(harness.stdout.readline())
        assert is_running(pid)
        harness.kill()
    deadline_s = time.monotonic() + 60
    while is_running(pid) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert not is_running(pid)


async def test_a_clock_jumps_while_it_runs_and_is_right_again_at_the_end(tmp_path: Path) -> None:
    library = needs.faketime()
    assert library is not None, "the build machine has it: .ci/packages"
    clock, log = tmp_path / "clock-web-1", tmp_path / "web-1.log"
    clock.write_text("+0s\n")
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        "FAKETIME_DISABLE_SHM": "1",
        "NO_FAKE_STAT": "1",
    }
    says = "import asyncio, time\nasync def go():\n while True:\n  print(int(time.time()), flush=True)\n"
    says += "  await asyncio.sleep(0.05)\nasyncio.run(go())"
    kept = Kept("web-1", (sys.executable, "-c", says), environment, tmp_path)
    await kept.start()

    def says_another_time(by_s: int) -> bool:
        last = (log.read_text().split() or ["0"])[-1]
        return abs(int(last) - time.time() - by_s) < 30

    try:
        assert await until(lambda: says_another_time(0), 10.0)
        seen = Seen()
        async with jumped(world_of(kept, tmp_path), fault("clock", jump_s=-7_200), seen):
            assert await until(lambda: says_another_time(-7_200), 10.0)
        assert await until(lambda: says_another_time(0), 10.0)
        assert seen.text == "web-1 read a clock that is wrong by -7200 s"
    finally:
        await kept.stop()


async def test_a_disk_is_full_and_has_room_again_and_is_gone_with_its_holder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "pg_wal").mkdir(parents=True)
    (data / "pg_wal" / "segment").write_bytes(b"kept")
    disks = await moved(data, tmp_path / "disk")

    def write(name: str) -> int:
        line = f"cat '{data}/pg_wal/segment' && head -c 1000000 /dev/zero > '{data}/{name}'"
        return subprocess.run([*disks.enter, "sh", "-c", line], capture_output=True, check=False).returncode

    assert write("before") == write("pg_wal/before") == 0
    for name, full, roomy in (("data", "more", "pg_wal/more"), ("wal", "pg_wal/again", "again")):
        await disks.fill(name)
        assert (write(full), write(roomy)) == (1, 0)
        await disks.make_room(name)
        assert write(full) == 0
    await disks.close()
    assert sorted(path.name for path in data.iterdir()) == ["pg_wal"], "nothing was written outside of it"


async def test_strace_answers_in_the_kernels_place(tmp_path: Path) -> None:
    assert needs._no_strace() == ""
    (tmp_path / "file").touch()
    command = (sys.executable, "-c", STUCK_ON_FSYNC, str(tmp_path / "file"))
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    inject = ("-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO")
    tracing = await asyncio.create_subprocess_exec(
        "strace", "-o", str(tmp_path / "out"), *inject, "-p", str(process.pid), stderr=subprocess.DEVNULL
    )
    assert await process.stdout.readline() == b"5\n"
    assert (await tracing.wait(), await process.wait()) == (0, 0)
    assert "(INJECTED)" in (tmp_path / "out").read_text()


async def test_an_order_stands_until_the_sandboxs_books_have_it(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal_load.faults.inject.orders.ORDERED_S", 0.0)
    journal, world = Journal(tmp_path / "sandbox", "provider", SCHEMA), world_of(kept, tmp_path)
    before, seen = Seen(), Seen()
    async with ordered(world, fault("provider", "slow"), before):
        assert world.orders == ["9107"]
    async with ordered(world, fault("provider", "slow"), seen):
        await journal.write(lambda rows: rows.execute(PAYMENT, (19_107, time.time_ns() // 1_000_000)))
    await journal.close()
    assert (world.orders, before.text) == ([], "")
    assert seen.text == "1 payments and operations of an amount that ends in 9107"


@pytest.mark.parametrize(("target", "said"), [("down", {"down": True}), ("declines", {"decline_share": 0.5})])
async def test_an_outage_has_happened_when_the_second_provider_was_asked(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, said: dict[str, object]
) -> None:
    monkeypatch.setattr("caudal_load.faults.inject.outages.EVIDENCE_S", 0.0)
    told, before, seen = list[object](), Seen(), Seen()
    journal, world = Journal(tmp_path / "sandbox", "provider-norte", SCHEMA), world_of(kept, tmp_path)

    async def take(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.json_response({}, status=503 if len(told) == 1 else 200)

    application = web.Application()
    application.router.add_post("/v1/provider/conditions", take)
    async with TestServer(application) as sandbox:
        world.sandbox_url = str(sandbox.make_url("")).rstrip("/")
        await journal.write(lambda rows: rows.execute(PAYMENT, (19_000, 0)))
        async with away(world, fault("outage", target, share=0.5), before):
            assert told == [said, said], "a sandbox that is being started is told again"
        async with away(world, fault("outage", target, share=0.5), seen):
            await journal.write(lambda rows: rows.execute(PAYMENT.replace("'k12345", "'0-12345"), (19_000, 0)))
        await journal.close()
    assert told[2:] == [{}, said, {}]
    assert (before.text, seen.text) == ("", "1 payments of a later attempt came to the second provider")


@contextlib.contextmanager
def locked(books: Path) -> Iterator[None]:
    """As a sandbox that recovers its books after it was killed has them."""
    with contextlib.closing(sqlite3.connect(books)) as owner:
        owner.execute("pragma locking_mode = exclusive")
        owner.execute("begin exclusive")
        yield


async def test_books_that_are_locked_hold_up_neither_the_load_nor_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[object]()

    async def fares(_: object, conditions: object) -> None:
        told.append(conditions)

    for name, value in {"_fares": fares, "_LOCKED_S": 0.1, "READ_S": 0.0}.items():
        monkeypatch.setattr(f"caudal_load.faults.inject.outages.{name}", value)
    world = Whole(tmp_path, {}, lambda: 1)
    await Journal(tmp_path / "sandbox", "provider-norte", SCHEMA).close()
    books = tmp_path / "sandbox" / "provider-norte.sqlite3"
    with locked(books), pytest.raises(BadFaults, match="books cannot be read: database is locked"):
        await world.inject(fault("outage", "down"))
    assert told == [], "it is never said to be down"
    await world.inject(fault("outage", "down"))
    with locked(books):
        ticks, (task,) = 0, world._under_way
        while not task.done():
            await asyncio.sleep(0.005)
            ticks += 1
    await task
    assert told == [{"down": True}, {}]
    assert ticks > 3, "others had their turn while the books were waited for"
    assert [said for _, said in world.seen] == [""]
    assert "did not end as it should: the second provider's books cannot" in (world.logs / "faults.log").read_text()


PAYMENT = """
    insert into payment values (null, 'k1234567890123456789012345678901', 'card', 'a', ?, 'BRL', 'BR', 'automatic',
        null, null, null, null, null, null, 'visa', '1111', null, 0, x'00', ?, 0, 'paid', null,
        0, 0, 0, 0, 0, 0, 0, 0)"""


def test_a_kind_that_this_machine_cannot_have_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(1, 60.0, ["clock:web", "kill:web"])
    needs.verify(plan)
    monkeypatch.setattr(needs, "FAKETIME", ())
    with pytest.raises(BadFaults, match=r"not possible on this machine: clock: there is no libfaketime"):
        needs.verify(plan)
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    assert set(needs.missing(BY_NAME)) == {"clock", "disk_full"}


def test_every_kind_has_an_injector() -> None:
    from caudal_load.faults.inject import INJECTORS

    assert Counter(INJECTORS.keys()) == Counter(BY_NAME.keys())
