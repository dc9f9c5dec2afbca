"""Every failure rule of the write path, each made to happen on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from caudal.kernel import db
from caudal.kernel.commit import (
    KEYS,
    Answer,
    Decision,
    Head,
    KeyRecord,
    PostgresPort,
    Put,
    Statement,
    Table,
    View,
)
from caudal.kernel.commit.port import NotCommitted
from caudal.kernel.errors import Fault, Retry, Unknown
from tests.kernel.faulty import FaultyPort, Moment, lose_the_answer, raising
from tests.kernel.stores import RealStore
from tests.kernel.test_commit import rows
from tests.kernel.toy import Note, key, shard, soon


async def test_whoever_cannot_wait_for_a_lost_commit_learns_that_it_is_unknown(database_url: str) -> None:
    attempts = 0

    class Unreachable(FaultyPort):
        async def find(self, shard: int, batch: UUID) -> bool:
            nonlocal attempts
            attempts += 1
            if attempts < 8:
                raise psycopg.OperationalError("still away")
            return await super().find(shard, batch)

    written = shard(database_url, port=Unreachable(database_url, after_commit=lose_the_answer))
    with pytest.raises(Unknown):
        await written.submit(Note(text="x", key=key("k")), soon(0.3))
    again = await written.submit(Note(text="x", key=key("k")), soon(20))
    assert again.answer is not None and again.answer.replayed
    assert await rows(database_url, "select count(*) from event") == [(1,)]
    await written.stop()


async def test_a_value_that_cannot_be_sent_falls_alone(database_url: str) -> None:
    class Huge(Note, frozen=True, kw_only=True):
        def decide(self, view: View) -> Any:
            decision = super().decide(view)
            assert isinstance(decision, Decision)
            return msgspec.structs.replace(decision, puts=(Put(UNSENDABLE, None),))

    port = FaultyPort(database_url)
    written = shard(database_url, port=port)
    opener = written.submit(Note(text="opener"), soon())
    await asyncio.sleep(0.0005)
    neighbour = written.submit(Note(text="neighbour"), soon())
    with pytest.raises(Fault, match="the database would not take this request"):
        await written.submit(Huge(text="huge"), soon())
    await asyncio.gather(opener, neighbour)
    assert (port.finds, written.counts.alarms) == (0, 1)
    assert await rows(database_url, "select data from event order by seq") == [(b"opener",), (b"neighbour",)]
    await written.stop()


async def test_a_poison_command_falls_alone(database_url: str) -> None:
    written = shard(database_url)
    held = written.submit(Note(text="opener"), soon())
    await asyncio.sleep(0.0005)
    good = [written.submit(Note(text=f"g{i}", key=key(f"g{i}")), soon()) for i in range(20)]
    poison = written.submit(Note(text="poison", type="a\x00b", key=key("p")), soon())
    good += [written.submit(Note(text=f"h{i}", key=key(f"h{i}")), soon()) for i in range(20)]
    with pytest.raises(Fault, match="the database would not take this request"):
        await poison
    await asyncio.gather(held, *good)
    assert written.counts.alarms == 1
    assert await rows(database_url, "select count(*) from event") == [(41,)]
    assert await rows(database_url, "select count(*) from key") == [(40,)]
    await written.stop()


async def test_a_text_too_long_for_an_index_falls_alone(database_url: str) -> None:
    written = shard(database_url)

    class Long(Note, frozen=True, kw_only=True):
        def decide(self, view: View) -> Any:
            decision = super().decide(view)
            assert isinstance(decision, Decision)
            due = msgspec.structs.replace(decision.due[0], kind="".join(chr(0x4E00 + i) for i in range(9000)))
            return msgspec.structs.replace(decision, due=(due,))

    neighbour = written.submit(Note(text="neighbour"), soon())
    with pytest.raises(Fault, match="the database would not take this request"):
        await written.submit(Long(text="long"), soon())
    await neighbour
    assert written.counts.alarms == 1
    assert await rows(database_url, "select data from event") == [(b"neighbour",)]
    await written.stop()


async def test_a_client_stopped_between_the_round_trips_frees_the_shard_within_a_second(database_url: str) -> None:
    going_on = asyncio.Event()

    async def stand_still(port: FaultyPort) -> None:
        # Nothing but the limit for silence may free the shard then, however slow the machine is.
        await port.say(("set transaction_timeout = 0", ()))
        await going_on.wait()  # this client's batch holds the lock and says nothing

    assert db.SESSION_SETTINGS["idle_in_transaction_session_timeout"] == "1s"
    stopped = shard(database_url, port=FaultyPort(database_url, between=stand_still), batch_deadline_s=60.0)
    waiting = stopped.submit(Note(text="stopped", key=key("s")), soon(30))
    await asyncio.sleep(0.2)
    other = shard(database_url)
    await other.submit(Note(text="other"), soon(30))
    assert not waiting.done()
    going_on.set()
    result = await waiting
    assert result.answer is not None and result.answer.status == 201
    assert await rows(database_url, "select data from event order by seq") == [(b"other",), (b"stopped",)]
    await stopped.stop()
    await other.stop()


async def test_a_shard_that_stays_locked_is_retried_and_then_given_back(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("select 1 from shard where id = 0 for update")
        written = shard(database_url)
        waiting = written.submit(Note(text="x"), soon(30))
        await asyncio.sleep(2.5)  # longer than lock_timeout
        await other.rollback()
        await waiting
    assert written.counts.reruns >= 1
    await written.stop()


async def test_a_server_that_is_away_is_a_retry_at_the_deadline(database_url: str) -> None:
    written = shard("host=/nowhere user=nobody dbname=none")
    with pytest.raises(Retry) as refused:
        await written.submit(Note(text="x"), soon(0.4))
    assert refused.value.code == "database_unavailable"
    await written.stop(within_s=0.5)


async def test_what_keeps_batches_from_being_written_is_known_until_one_is(database_url: str) -> None:
    seen: list[str | None] = []

    async def full_at_first(_: FaultyPort) -> None:
        seen.append(written.fails)
        if len(seen) == 1:
            raise psycopg.errors.DiskFull("could not extend file: No space left on device")

    port = FaultyPort(database_url, before_read=full_at_first)
    port.always = True
    written = shard(database_url, port=port)
    await written.submit(Note(text="x"), soon(9))
    assert seen == [None, "DiskFull could not extend file: No space left on device"]
    assert written.fails is None, "the next try came through"
    port.moments["before_read"] = raising(psycopg.OperationalError('connection to server at "10.0.0.7" failed'))
    with pytest.raises(Retry):
        await written.submit(Note(text="y"), soon(0.3))
    assert written.fails == "OperationalError", "anybody may read it: no address"
    await written.stop()


class _Unsendable(Table[int, None]):
    """Rows of which one value cannot be sent."""

    name = "unsendable"

    def inserting(self, head: Head, records: Sequence[None]) -> Iterable[Statement]:
        yield "select %s", (object(),)


UNSENDABLE = _Unsendable()


async def change_the_key(port: FaultyPort) -> None:
    await port.change_the_key()


async def move_the_shard(port: FaultyPort) -> None:
    await port.move_the_shard()


class Finish(Note, frozen=True, kw_only=True):
    """Finishes the key `begun`."""

    def decide(self, view: View) -> Any:
        return Decision(outcome="finished", finishes=key("begun"))


class Begin(Note, frozen=True, kw_only=True):
    """Leaves its key in progress."""

    def decide(self, view: View) -> Any:
        decision = super().decide(view)
        assert isinstance(decision, Decision)
        return msgspec.structs.replace(decision, pending_until=view.at + timedelta(seconds=9))


@pytest.mark.parametrize("behind_our_back", [change_the_key, move_the_shard])
async def test_a_row_changed_behind_our_back_aborts_the_commit(store: RealStore, behind_our_back: Moment) -> None:
    """The guard divides by zero, and the COMMIT that is already on the wire behind it does nothing."""
    port = store.faulty()
    written = store.shard(port=port)
    await written.submit(Begin(text="begin", key=key("begun")), soon())
    port.moments["between"] = behind_our_back
    with pytest.raises(Fault, match="the database would not take this request"):
        await written.submit(Finish(text="finish", wants=((KEYS, key("begun").place),)), soon())
    assert (written.counts.alarms, written.counts.reruns, port.happened) == (1, 1, ["between"])
    assert await store.rows("select status, answer from key") == [(None, None)]
    assert (await store.rows("select id, event_seq from shard order by id"))[0] == (0, 1)
    await written.stop()


async def test_a_commit_that_answers_rollback_is_not_a_success(database_url: str) -> None:
    port = PostgresPort(database_url)
    await port.open()
    await port.read(0, [])
    with pytest.raises(NotCommitted, match="COMMIT answered"):
        await port.write([("rollback", ())])
    await port.close()


async def test_a_row_that_a_decision_finds_it_needs_is_read_for_the_next_batch(store: RealStore) -> None:
    written = store.shard()
    await written.submit(Note(text="x", key=key("k")), soon())
    seen: list[KeyRecord | None] = []
    await written.submit(Note(text="y", looks=lambda view: seen.append(view.get(KEYS, key("k").place))), soon())
    assert seen and seen[-1] is not None and seen[-1].answer == b"x"
    await written.stop()


async def test_a_decision_that_never_has_enough_ends_as_a_fault(store: RealStore) -> None:
    written = store.shard()
    asked = 0

    def insatiable(view: View) -> None:
        nonlocal asked
        asked += 1
        view.get(KEYS, key(f"k{asked}").place)

    with pytest.raises(Fault, match="never had all rows"):
        await written.submit(Note(text="y", looks=insatiable), soon())
    assert asked == 3
    await written.stop()


async def test_a_key_in_progress_says_when_to_come_back_and_whoever_finishes_stores_the_answer(
    store: RealStore,
) -> None:
    written = store.shard()
    subject = uuid4()
    begun = await written.submit(Begin(text="begin", key=key("begun"), subject=subject), soon())
    assert begun.answer is None
    for prefix, object in (("", None), ("note", f"note_{subject.hex}")):
        with pytest.raises(Retry) as busy:
            await written.submit(Begin(text="begin", key=msgspec.structs.replace(key("begun"), prefix=prefix)), soon())
        assert busy.value.code == "key_in_progress" and 0 < busy.value.after_s <= 9
        assert busy.value.object == object
    await written.submit(Finish(text="finish", wants=((KEYS, key("begun").place),)), soon())
    replayed = await written.submit(Begin(text="begin", key=key("begun")), soon())
    assert replayed.answer == Answer(201, b"finished", replayed=True)
    await written.stop()


async def test_two_processes_share_a_shard_and_number_without_gaps(store: RealStore) -> None:
    one, two = store.shard(), store.shard()
    notes = [written.submit(Note(text="x"), soon(20)) for _ in range(150) for written in (one, two)]
    await asyncio.gather(*notes)
    numbers = await store.rows("select seq from event order by seq")
    assert numbers == [(i,) for i in range(1, 301)]
    assert one.counts.batches and two.counts.batches
    await one.stop()
    await two.stop()


async def test_due_work_is_a_row_of_its_own_batch(store: RealStore) -> None:
    written = store.shard()
    note = Note(text="x")
    await written.submit(note, soon())
    assert await store.rows("select kind, subject, book, attempt from due") == [("note.due", note.subject, 2, 0)]
    await written.stop()
