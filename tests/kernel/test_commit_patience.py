"""How long the write path waits: for a shard that is busy, an answer that does not come, a process that ends."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from caudal.kernel import db
from caudal.kernel.commit import PostgresPort
from caudal.kernel.due import ClaimDue
from caudal.kernel.errors import Retry, Unknown
from caudal.kernel.ids import uuid7
from tests.kernel.faulty import FaultyPort, lose_the_answer, raising
from tests.kernel.stores import RealStore
from tests.kernel.test_commit import rows
from tests.kernel.toy import Note, key, shard, soon

RACE = psycopg.errors.SerializationFailure("race")


async def stand_still(_: FaultyPort) -> None:
    await asyncio.sleep(3600)


async def test_a_batch_that_loses_every_race_is_given_back_after_five_reruns(store: RealStore) -> None:
    port = store.faulty(between=raising(RACE))
    port.always = True
    written = store.shard(port=port)
    with pytest.raises(Retry) as refused:
        await written.submit(Note(text="x"), soon())
    assert refused.value.code == "try_again"
    assert len(port.happened) == 6
    port.moments.clear()
    await written.submit(Note(text="y"), soon())
    assert await store.rows("select data from event") == [(b"y",)]
    await written.stop()


@pytest.mark.parametrize("moment", ["before_read", "between", "instead_of_commit", "after_commit"])
async def test_an_answer_that_does_not_come_in_time_costs_the_connection_and_nothing_else(
    store: RealStore, moment: str
) -> None:
    port = store.faulty(**{moment: stand_still})
    written = store.shard(port=port, batch_deadline_s=0.2)
    result = await written.submit(Note(text="x", key=key("k")), soon())
    assert result.answer is not None and result.answer.status == 201
    assert port.happened == [moment]
    assert port.finds == (moment in ("instead_of_commit", "after_commit")), "behind the write it is looked for"
    assert await store.rows("select data from event") == [(b"x",)]
    await written.stop()


async def test_a_transaction_that_takes_too_long_is_ended_by_the_server(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(db.SESSION_SETTINGS, "transaction_timeout", "200ms")

    ended: list[BaseException] = []

    async def sleep(port: FaultyPort) -> None:
        try:
            await port.say(("select pg_sleep(3600)", ()))
        except psycopg.Error as error:
            ended.append(error)
            raise

    port = FaultyPort(database_url, instead_of_commit=sleep)
    written = shard(database_url, port=port, batch_deadline_s=60)
    await written.submit(Note(text="x"), soon(120))
    assert [type(error) for error in ended] == [psycopg.errors.TransactionTimeout]
    assert (port.finds, written.counts.unknowns, written.counts.reruns) == (1, 1, 1)
    assert await rows(database_url, "select count(*) from event") == [(1,)]
    await written.stop()


async def test_a_primary_that_became_read_only_is_left_for_another_connection(database_url: str) -> None:
    async def demote(port: FaultyPort) -> None:
        assert port._wire is not None
        port._wire.begin()
        await port.say(("set default_transaction_read_only = on", ()))
        port._wire.end()

    port = FaultyPort(database_url, before_read=demote)
    written = shard(database_url, port=port)
    await written.submit(Note(text="x"), soon())
    assert (written.counts.reruns, len(set(port.backends))) == (1, 2)
    assert await rows(database_url, "select count(*) from event") == [(1,)]
    await written.stop()


async def test_a_lost_commit_is_looked_for_only_when_its_backend_has_let_go_of_the_shard(database_url: str) -> None:
    port, batch = PostgresPort(database_url), uuid7()
    async with await psycopg.AsyncConnection.connect(database_url) as former:
        await former.execute("select 1 from shard where id = 0 for update")
        finding = asyncio.create_task(port.find(0, batch))
        await asyncio.sleep(0.3)
        assert not finding.done(), "it waits for the shard's row"
        await former.execute(
            "insert into batch (shard, id, commands, first_event_seq, last_event_seq, first_posting_seq,"
            " last_posting_seq, at) values (0, %s, 1, 1, 0, 1, 0, now())",
            (batch,),
        )
        await former.commit()
        assert await finding
    assert not await port.find(0, uuid7())
    await port.close()


@pytest.mark.usefixtures("patient")
async def test_a_process_that_ends_closes_the_connection_under_what_hangs(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other, asyncio.timeout(60):
        await other.execute("select 1 from shard where id = 0 for update")
        written = shard(database_url, batch_deadline_s=3600)
        waiting = [written.submit(Note(text="x"), soon(3600)) for _ in range(3)]
        await asyncio.sleep(0.1)
        waiting.append(written.submit(Note(text="behind"), soon(3600)))
        await written.stop(within_s=0.3)  # or it hangs: closing wakes what waits for an answer
    for one in waiting:
        with pytest.raises(Retry) as refused:
            await one
        assert refused.value.code == "stopping"
    assert await rows(database_url, "select count(*) from event") == [(0,)]


async def test_a_process_that_ends_says_that_a_lost_commit_is_unknown(store: RealStore) -> None:
    away = raising(psycopg.OperationalError("still away"))
    port = store.faulty(before_find=away, after_commit=lose_the_answer)
    port.always = True
    written = store.shard(port=port)
    waiting = written.submit(Note(text="x"), soon(60))
    await asyncio.sleep(0.3)
    await written.stop(within_s=0.1)
    with pytest.raises(Unknown):
        await waiting
    assert await store.rows("select count(*) from event") == [(1,)]


async def test_a_key_is_found_however_far_the_shards_time_is_ahead(database_url: str) -> None:
    await rows(database_url, "update shard set last_at = now() + interval '2 days' returning 1")
    written = shard(database_url)
    for replayed in (False, True):
        result = await written.submit(Note(text="x", key=key("k")), soon())
        assert result.answer is not None and result.answer.replayed == replayed
    assert await rows(database_url, "select count(*) from event") == [(1,)]
    await written.stop()


def close(port: FaultyPort) -> None:
    """Away until the test clears it: each try fails."""
    port.always = True
    port.moments["before_read"] = raising(psycopg.OperationalError("no space left on device"))


@pytest.mark.parametrize("queued", [False, True])
async def test_what_was_told_that_nothing_was_written_is_never_written(store: RealStore, queued: bool) -> None:
    port = store.faulty()
    close(port)
    written = store.shard(port=port)
    ahead = written.submit(Note(text="ahead"), soon()) if queued else None
    await asyncio.sleep(0.05 if queued else 0)
    for _ in range(3):  # a provider sends its callback again and again
        with pytest.raises(Retry, match="nothing was written"):
            await written.submit(Note(text="callback", recorded=True), soon(0.2))
    assert len(written.lanes) == 0, "no copy is left behind"
    last = written.submit(Note(text="callback", recorded=True), soon())
    port.moments.clear()
    await last
    assert ahead is None or await ahead
    told = await store.rows("select count(*) from event where data = 'callback'")
    assert told == [(1,)], "the copies that were given back are not written"
    await written.stop()


async def test_a_recorded_command_whose_caller_has_gone_still_runs(store: RealStore) -> None:
    port = store.faulty(between=raising(psycopg.OperationalError("away")))
    written = store.shard(port=port)
    gone = written.submit(Note(text="fact", recorded=True), soon(0.01))
    await asyncio.sleep(0.02)
    gone.cancel()
    await written.submit(Note(text="behind"), soon())
    assert await store.rows("select data from event order by seq") == [(b"fact",), (b"behind",)]
    await written.stop()


@pytest.mark.usefixtures("patient")
async def test_deadlines_are_kept_while_the_shard_is_locked(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other, asyncio.timeout(60):
        await other.execute("select 1 from shard where id = 0 for update")
        written = shard(database_url, batch_deadline_s=3600)
        tried = written.submit(Note(text="tried"), soon(0.3))
        await asyncio.sleep(0.05)
        behind = written.submit(Note(text="behind"), soon(0.3))
        for waiting in (tried, behind):
            with pytest.raises(Retry):
                await waiting
        fact = written.submit(Note(text="fact", recorded=True), soon(60))
        await other.rollback()
    await fact
    assert await rows(database_url, "select data from event") == [(b"fact",)]
    await written.stop()


async def test_a_commit_that_hangs_is_unknown_at_the_deadline(store: RealStore) -> None:
    answer = asyncio.Event()

    async def stand_still_for_now(_: FaultyPort) -> None:
        await answer.wait()

    port = store.faulty(after_commit=stand_still_for_now)
    written = store.shard(port=port, batch_deadline_s=3600)
    hanging = written.submit(Note(text="x", key=key("k")), soon(1.2))
    await asyncio.sleep(0.1)
    behind = written.submit(Note(text="behind"), soon(1.2))
    async with asyncio.timeout(60):
        with pytest.raises(Unknown):
            await hanging
        with pytest.raises(Retry):
            await behind
    answer.set()
    again = await written.submit(Note(text="x", key=key("k")), soon())
    assert again.answer is not None and again.answer.replayed
    await written.stop()


async def test_what_has_happened_is_run_until_the_shard_has_time_for_it(store: RealStore) -> None:
    port = store.faulty(between=raising(RACE))
    port.always = True
    written = store.shard(port=port)
    fact = written.submit(Note(text="fact", recorded=True), soon(30))
    asked = written.submit(Note(text="asked"), soon(30))
    with pytest.raises(Retry) as refused:
        await asked
    assert refused.value.code == "try_again"
    await asyncio.sleep(0.2)
    assert not fact.done()
    port.moments.clear()
    await fact
    assert await store.rows("select data from event") == [(b"fact",)]
    await written.stop()


async def test_a_shard_whose_time_is_ahead_gives_leases_by_the_clock_and_says_so(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise whatever a worker that dies had claimed would be left alone for as long as the time is ahead."""
    await rows(database_url, "update shard set last_at = now() + interval '30 days' returning 1")
    written, subject = shard(database_url), uuid7()
    await rows(database_url, f"insert into due values (0, now(), 'note.due', '{subject}', 2, 0) returning 1")
    for lease_s in (0.001, 30):
        await asyncio.sleep(0.01)
        [claimed] = (await written.submit(ClaimDue(lease_s=lease_s), soon())).outcome
    assert claimed.attempt == 2
    assert await rows(database_url, "select at < now() + interval '61 seconds' from due") == [(True,)]
    assert [record.levelname for record in caplog.records if "ahead of the server's clock" in record.message] == [
        "ERROR"
    ]
    assert written.counts.alarms == 1
    await written.stop()
