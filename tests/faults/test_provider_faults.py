"""A provider that goes silent: transfers beside it are undisturbed, and nobody is charged twice or forgotten."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.asking import Answer, Ask, Asker
from tests.faults.buyers import HEALED_S, WAITS_MS, asked, busy, judged, nothing_is_undone, statement
from tests.faults.restless import Restless, until

pytestmark = pytest.mark.server

SILENT_S = 6.0


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Restless]:
    """A caudal whose leases end after a second."""
    started = Restless(open_tmp / "cards", CAUDAL_LEASE_S="1", CAUDAL_PROVIDER_TIMEOUT_MS="2500")
    started.start()
    yield started
    assert started.stop() == 0, started.log


async def test_a_provider_that_goes_silent_disturbs_nobody_else_and_loses_nothing(
    whole: Restless, say: Callable[[str], None]
) -> None:
    async with asked(whole, "silent") as (buyers, session):
        buyers.start()
        await until(busy(buyers), "enough requests are in flight", HEALED_S)
        sandbox = whole.pid_of("sandbox")
        os.kill(sandbox, signal.SIGSTOP)
        try:
            took = await transfers(buyers.asker, SILENT_S)
        finally:
            os.kill(sandbox, signal.SIGCONT)
        await asyncio.sleep(1)
        await buyers.stop()
        await nothing_is_undone(whole)
        charged = await statement(session, whole)
    await judged(whole, buyers, charged)
    slowest = max(took)
    say(f"{len(took)} transfers meanwhile, the slowest {slowest * 1000:.0f} ms; {dict(buyers.verdicts)}")
    assert buyers.refused, "the breaker let everybody through"
    assert sum(payin["status"] == "submitting" for payin in buyers.told.values()), "nobody noticed"
    assert slowest < WAITS_MS / 1000


async def transfers(asker: Asker, for_s: float) -> list[float]:
    """Payins by SPEI, one after the other; how long each took, seconds."""
    took, end = list[float](), time.monotonic() + for_s
    while time.monotonic() < end:
        began, number = time.monotonic(), len(took)
        body = b'{"amount":12050,"currency":"MXN","country":"MX","method":"spei"}'
        answer: Answer | None = await asker.answer(Ask(path="/v1/payins", key=f"transfer-{number}", body=body))
        assert answer is not None and answer.status == 201, answer
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    return took
