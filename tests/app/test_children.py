"""What dies is started again: at once the first time, more and more slowly where it dies again and again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from caudal.app import children
from caudal.app.children import Children, Service

DEAD = Service(name="web", command=("/bin/false",), environment={})


async def said_of_deaths(logs: Path, number: int) -> list[str]:
    """What is said while a service dies that often: how long until it is started again."""
    said, enough = list[str](), asyncio.Event()

    def say(line: str) -> None:
        said.append(line.partition(": ")[2].partition(" (")[0])
        if len(said) == number:
            enough.set()

    running = Children(logs, say=say, changed=lambda name, pid: None)
    running.start(DEAD)
    async with asyncio.timeout(30):
        await enough.wait()
    await running.stop("web")
    return said[:number]


async def test_the_first_death_costs_no_pause_and_the_next_ones_more_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "BACKOFF_S", (0.01, 0.03))
    assert await said_of_deaths(tmp_path, 5) == [
        *("again at once", "again in 0.01 s", "again in 0.02 s", "again in 0.03 s", "again in 0.03 s"),
    ]


async def test_whoever_lived_for_a_while_has_died_for_the_first_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STEADY_S", 0.0)
    assert await said_of_deaths(tmp_path, 3) == ["again at once"] * 3
