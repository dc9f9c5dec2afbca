"""Due work: claimed with a lease by one worker at a time, due again when the worker dies, ended once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import errors

from caudal.app import worker
from caudal.app.worker import Worker
from caudal.kernel.commit import Decision, Due
from caudal.kernel.context import Context
from caudal.kernel.due import CLAIM_MAX, ClaimDue, run_job
from caudal.kernel.errors import Refused, Retry
from caudal.kernel.telemetry import Histogram
from tests.conftest import settings_of
from tests.kernel.toy import Note
from tests.payins.books import assert_in_order
from tests.payins.cast import Merchant


class Work(Note, frozen=True, kw_only=True):
    """Makes pieces of work, or ends them."""

    due: tuple[Due, ...] = ()
    done: tuple[Due, ...] = ()

    def decide(self, view: Any) -> Decision | Refused:
        return Decision(outcome=None, due=self.due, done=self.done)


async def made(context: Context, count: int, kind: str = "toy") -> list[UUID]:
    """So many pieces of work that have been due for an hour, oldest first."""
    at = datetime.now(UTC) - timedelta(hours=1)
    due = [Due(at=at + timedelta(seconds=i), kind=kind, subject=uuid4(), book=2) for i in range(count)]
    await context.commit(0, Work(text="", due=tuple(due)))
    return [one.subject for one in due]


async def claimed(context: Context, lease_s: float = 30.0, limit: int = CLAIM_MAX) -> tuple[Due, ...]:
    found: tuple[Due, ...] = (await context.commit(0, ClaimDue(lease_s=lease_s, limit=limit))).outcome
    return found


async def left(context: Context) -> list[tuple[Any, ...]]:
    """Subject and attempt of what waits."""
    return await context.rows("select subject, attempt from due where kind = 'toy' order by at")


@pytest.fixture
async def second(database_url: str) -> AsyncIterator[Context]:
    """Another process."""
    async with Context(settings_of(database_url), name="second") as opened:
        yield opened


# Claims


async def test_work_is_claimed_oldest_first_and_not_before_it_is_due(context: Context) -> None:
    subjects = await made(context, 5)
    later = Due(at=datetime.now(UTC) + timedelta(hours=1), kind="toy", subject=uuid4(), book=2)
    await context.commit(0, Work(text="", due=(later,)))
    assert [due.subject for due in await claimed(context, limit=3)] == subjects[:3]
    assert [due.subject for due in await claimed(context)] == subjects[3:]
    assert await claimed(context) == ()


async def test_no_two_workers_get_the_same_piece(context: Context, second: Context) -> None:
    subjects = await made(context, 300)
    asked = [claimed(one, limit=20) for one in (context, second) for _ in range(10)]
    got = [due.subject for some in await asyncio.gather(*asked) for due in some]
    assert len(got) == len(set(got)) == 300 and set(got) == set(subjects)


async def test_a_worker_that_dies_leaves_its_work_to_the_next(context: Context, second: Context) -> None:
    assert await claimed(second) == (), "it is connected by now"
    [subject] = await made(context, 1)
    [lost] = await claimed(context, lease_s=0.2)
    assert (lost.attempt, await claimed(second)) == (1, ())
    await asyncio.sleep(0.21)
    [again] = await claimed(second)
    assert (again.subject, again.attempt) == (subject, 2)

    async def job(context: Context, shard: int, due: Due) -> None:
        await context.commit(shard, Work(text="", done=(due,)))

    assert await run_job(second, 0, again, {"toy": job})
    assert await left(context) == []


async def test_a_lease_grows_with_the_attempts_and_not_for_ever(context: Context) -> None:
    await made(context, 1)
    leases = []
    for _ in range(9):
        [due] = await claimed(context, lease_s=100)
        rows = await context.rows("select max(at) from batch")
        leases.append((due.at - rows[0][0]) / timedelta(seconds=100))
        await context.rows("update due set at = now() - interval '1 s' returning 1")
    assert leases == pytest.approx([1, 2, 4, 8, 8, 8, 8, 8, 8], abs=0.01)  # a batch is no earlier than the last one


@pytest.mark.parametrize("error", [Retry("try_again", "not yet"), ValueError("a defect"), Refused("not_found", "gone")])
async def test_a_job_that_fails_is_due_again_after_its_lease(context: Context, error: Exception) -> None:
    async def job(*_: object) -> None:
        raise error

    [subject] = await made(context, 1)
    [due] = await claimed(context)
    assert not await run_job(context, 0, due, {"toy": job})
    assert await left(context) == [(subject, 1)]


async def test_work_that_nobody_knows_waits_for_who_does(context: Context) -> None:
    [subject] = await made(context, 1)
    [due] = await claimed(context)
    assert not await run_job(context, 0, due, {})
    assert await left(context) == [(subject, 1)]


async def test_a_claim_changes_nothing_where_nothing_is_due(context: Context) -> None:
    assert await claimed(context) == ()
    assert await context.rows("select count(*) from batch") == [(0,)]


# The process


async def ran(context: Context, until: Any, monkeypatch: pytest.MonkeyPatch, jobs: dict[str, Any]) -> None:
    """Runs a worker until something is so, a minute at most."""
    monkeypatch.setattr(worker, "JOBS", {**worker.JOBS, **jobs})
    running = Worker(context)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        while not await until():  # noqa: ASYNC110 the answer is in the database
            await asyncio.sleep(0.01)
    running.stop()
    await task


async def test_two_workers_do_each_piece_once(
    context: Context, second: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    subjects, done = await made(context, 450), list[UUID]()

    async def job(context: Context, shard: int, due: Due) -> None:
        await context.commit(shard, Work(text="", done=(due,)))
        done.append(due.subject)

    async def over() -> bool:
        return len(done) >= 450

    await asyncio.gather(*(ran(one, over, monkeypatch, {"toy": job}) for one in (context, second)))
    assert sorted(done) == sorted(subjects)
    assert await left(context) == []


async def test_a_job_that_breaks_stops_nobody_else(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(context, 3, "broken")
    subjects, done = await made(context, 3), list[UUID]()

    async def job(context: Context, shard: int, due: Due) -> None:
        await context.commit(shard, Work(text="", done=(due,)))
        done.append(due.subject)

    async def broken(*_: object) -> None:
        raise ValueError("a defect")

    async def over() -> bool:
        return len(done) == 3

    await ran(context, over, monkeypatch, {"toy": job, "broken": broken})
    assert sorted(done) == sorted(subjects)
    assert await context.rows("select attempt, count(*) from due group by 1") == [(1, 3)]


async def test_a_database_that_is_away_is_one_line_and_no_defect(
    context: Context, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "caudal.app.worker")
    broken: list[Exception] = [
        errors.AdminShutdown("terminating connection\nby order"),
        psycopg.OperationalError("server closed the connection unexpectedly\n\tThis probably means"),
        Retry("database_unavailable", "the database does not answer"),
    ]

    async def fan_out(*_: object) -> int:
        if broken:
            raise broken.pop(0)
        over.set()
        return 0

    over = asyncio.Event()
    monkeypatch.setattr(worker, "fan_out", fan_out)
    monkeypatch.setattr(worker, "_PAUSE_AFTER_ERROR_S", 0.01)
    # The others do not look at the database, so that it is this one's success that says that it answers again.
    for step in ("_due", "_project", "_prune", "_drop_files", "_watch", "_tidy"):
        monkeypatch.setattr(Worker, step, idle)

    async def is_over() -> bool:
        return over.is_set()

    await ran(context, is_over, monkeypatch, {})
    said = [(record.levelname, record.getMessage().partition(",")[0]) for record in caplog.records]
    assert said.count(("WARNING", "the database is away")) == 1 and said[-1][0] != "ERROR", said
    assert ("INFO", "the database answers again") in said and not [one for one in said if one[0] == "ERROR"]
    [away] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert away.endswith("fan_out: terminating connection by order") and "\n" not in away


async def idle(running: Worker, _: int) -> float:
    await running._stopping.wait()
    return 0.0


async def test_a_job_that_loses_its_connection_is_due_again_and_no_defect(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    await made(context, 1)

    async def lost(*_: object) -> None:
        raise psycopg.OperationalError("consuming input failed")

    [due] = await claimed(context)
    assert not await run_job(context, 0, due, {"toy": lost})
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert await context.rows("select attempt, said from due") == [(1, None)]


async def test_work_that_no_job_is_there_for_breaks_and_says_so(context: Context) -> None:
    await made(context, 1)
    [due] = await claimed(context)
    assert not await run_job(context, 0, due, {"other": unreached})
    assert await context.rows("select attempt, said from due") == [(1, "no job is named toy")]
    [(_, samples)] = [one for one in context.meter.read() if one[0].name == "caudal.job.duration"]
    [(of, times)] = samples
    assert of == ("toy", "broken") and isinstance(times, Histogram) and times.count == 1


async def unreached(*_: object) -> None:
    raise AssertionError("another kind's")


async def test_a_slow_kind_holds_nobody_else_up(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await made(context, 300, "slow")
    subjects, done, released, slow = await made(context, 200), list[UUID](), asyncio.Event(), Counter[str]()

    async def job(context: Context, shard: int, due: Due) -> None:
        await context.commit(shard, Work(text="", done=(due,)))
        done.append(due.subject)

    async def hangs(*_: object) -> None:
        slow["began"] += 1
        await released.wait()

    async def over() -> bool:
        return len(done) == 200

    async def ended() -> bool:
        assert slow["began"] < 300 and await context.rows("select count(*) from due where attempt > 0") == [
            (slow["began"],)
        ], "what is claimed runs"
        released.set()
        return True

    async def both() -> bool:
        return await over() and await ended()

    await ran(context, both, monkeypatch, {"toy": job, "slow": hangs})
    assert sorted(done) == sorted(subjects)


async def test_what_was_claimed_for_too_long_is_left_to_others(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit of the claim took longer than its lease: somebody else may have the work by now."""
    await made(context, 1)
    began, attempts, commit = list[UUID](), list[int](), Context.commit

    async def late(self: Context, shard: int, command: Any, deadline: float | None = None) -> Any:
        result = await commit(self, shard, command, deadline)
        if not late_once and isinstance(command, ClaimDue):
            late_once.append(True)
            await asyncio.sleep(0.06)
        return result

    async def job(context: Context, shard: int, due: Due) -> None:
        attempts.append(due.attempt)
        await context.commit(shard, Work(text="", done=(due,)))
        began.append(due.subject)

    async def over() -> bool:
        return bool(began)

    late_once = list[bool]()
    monkeypatch.setattr(Context, "commit", late)
    object.__setattr__(context, "settings", msgspec.structs.replace(context.settings, lease_s=0.05))
    await ran(context, over, monkeypatch, {"toy": job})
    assert 1 not in attempts, "the first claim's work was begun"


async def test_shards_that_come_later_are_worked_on(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PAUSE_AFTER_ERROR_S", 0.01)
    monkeypatch.setattr(worker, "_LOOK_EVERY_S", 0.01)
    await made(context, 1)
    done = list[int]()

    async def job(context: Context, shard: int, due: Due) -> None:
        await context.commit(shard, Work(text="", done=(due,)))
        done.append(shard)

    async def over() -> bool:
        if not await context.rows("select 1 from shard"):
            await asyncio.sleep(0.05)
            await context.rows("insert into shard values (0, %s, %s, %s, %s) returning 1", kept)
        return done == [0]

    kept = max(await context.rows("delete from shard returning event_seq, posting_seq, chain, last_at"))
    await ran(context, over, monkeypatch, {"toy": job})


async def test_the_worker_expires_payins_and_makes_them_findable(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caudal.merchants import first_merchant

    ana = Merchant(context, *await first_merchant(context, "Ana", "MX"), "")
    payins = [await ana.payin(reference="order 7") for _ in range(20)]
    await context.rows("update due set at = now() - interval '1 s' returning 1")
    await context.rows("update book set clock_offset_s = 30 * 86400 where book %% 2 = 0 returning 1")

    async def over() -> bool:
        found = await ana.get("/v1/payins?reference=order%207&status=expired&limit=100")
        return len(found.json["data"]) == len(payins)

    await ran(context, over, monkeypatch, {})
    assert await context.rows("select count(*) from due") == [(0,)]
    await assert_in_order(context)


async def test_a_worker_that_is_stopped_ends_at_once(context: Context) -> None:
    running = Worker(context)
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0.05)
    running.stop()
    async with asyncio.timeout(30):  # it looks for shards once a minute
        await task


def test_every_job_is_named_after_what_makes_it_due() -> None:
    assert set(worker.JOBS) == {
        "deposit.return",
        "discrepancy.ask",
        "dispute.expire",
        "dispute.send",
        "funds.release",
        "hold.expire",
        "instrument.forget_code",
        "payin.expire",
        "payin.operate",
        "payin.submit",
        "webhook.redeliver",
    }
