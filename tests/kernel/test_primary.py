"""A primary and its standby: which of them is written, and what becomes of a commit that was under way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from caudal.app.http import ready
from caudal.app.migrate import migrate
from caudal.kernel import context as contexts
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, Retry, Unknown
from caudal.kernel.http import Request
from caudal.kernel.postgres import NotDurable
from caudal.kernel.primary import Deposed, Primary, hosts_of
from caudal_load.cluster import Pair, pair
from tests.conftest import settings_of
from tests.faults.restless import until
from tests.kernel.faulty import FaultyPort
from tests.kernel.toy import Note, key, shard, soon

pytestmark = pytest.mark.server

SENDER = "select pid from pg_stat_replication"
WAITING = "select pid from pg_stat_activity where wait_event = 'SyncRep'"
EVENTS = "select data from event order by seq"
SESSIONS = "select application_name from pg_stat_activity where usename = 'caudal'"
PORT = "select setting::int from pg_settings where name = 'port'"


@pytest.fixture
async def servers() -> AsyncIterator[Pair]:
    """A primary and its synchronous standby, with today's schema."""
    async with pair() as made:
        await migrate(made.url)
        yield made


async def until_waiting(servers: Pair) -> int:
    """The session whose commit waits for the standby."""

    async def is_waiting() -> bool:
        return bool(await servers.first.rows(WAITING))

    await until(is_waiting, "a commit waits for the standby", 10.0)
    [[pid]] = await servers.first.rows(WAITING)
    return int(pid)


async def hold_back(servers: Pair) -> int:
    """From now on nothing reaches the standby. Who has to go on for that to end."""
    [[sender]] = await servers.first.rows(SENDER)
    os.kill(sender, signal.SIGSTOP)
    return int(sender)


async def nobody_but_the_watch(servers: Pair) -> bool:
    return {name for (name,) in await servers.first.rows(SESSIONS)} <= {"caudal-watch"}


async def nothing_is_acknowledged_there(servers: Pair) -> None:
    """Whoever knows the former primary alone waits for its standby, which is none any more."""
    misled = shard(servers.first.conninfo(dbname="caudal"))
    with pytest.raises(Unknown):
        await misled.submit(Note(text="misled"), soon(1.5))
    await misled.stop(within_s=0.1)


async def reasons(context: Context) -> list[str]:
    """What /readyz says beside 200."""
    request = Request(method="GET", path="/readyz", query=b"", headers={}, body=b"", id="r", deadline=monotonic() + 60)
    answer = await ready(context, request)
    assert answer.status == 200
    told: list[str] = json.loads(answer.body)["reasons"]
    return told


# A commit under way


async def test_a_commit_whose_wait_was_cut_short_counts_when_the_standby_has_it(servers: Pair) -> None:
    written = shard(servers.url)
    sender = await hold_back(servers)
    waiting = written.submit(Note(text="x", key=key("k")), soon(30))
    await servers.first.rows("select pg_cancel_backend(%s)", await until_waiting(servers))

    async def is_visible() -> bool:
        return await servers.first.rows(EVENTS, dbname="caudal") == [(b"x",)]

    await until(is_visible, "the first server shows it", 10.0)
    await until_waiting(servers)  # whoever looks for it, too: if this server failed now, it would be gone
    assert not waiting.done()
    os.kill(sender, signal.SIGCONT)
    assert (await waiting).outcome == "x"
    assert (written.counts.unknowns, written.counts.batches) == (1, 1)
    assert await servers.second.rows(EVENTS, dbname="caudal") == [(b"x",)]
    await written.stop()


async def test_a_commit_that_the_standby_never_had_is_run_again_there(servers: Pair) -> None:
    port = FaultyPort(servers.url)
    written = shard(servers.url, port=port)
    await written.submit(Note(text="before"), soon())
    await hold_back(servers)
    waiting = written.submit(Note(text="x", key=key("k")), soon(30))
    await until_waiting(servers)
    servers.first.kill()

    async def is_looked_for() -> bool:
        return port.finds > 2

    await until(is_looked_for, "the batch is looked for", 10.0)
    assert not waiting.done(), "nobody but a primary says what became of it"
    await servers.promote()
    assert (await waiting).outcome == "x"
    assert await servers.second.rows(EVENTS, dbname="caudal") == [(b"before",), (b"x",)]
    assert (written.counts.unknowns, written.counts.reruns) == (1, 1)
    await written.stop()


# A former primary


async def test_a_former_primary_that_comes_back_is_left_alone(servers: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "_READ_S", 3600.0)
    async with Context(settings_of(servers.url), name="test") as context:
        await context.commit(0, Note(text="before"))
        reading = asyncio.ensure_future(context.rows("select pg_sleep(3)"))
        await asyncio.sleep(0.2)
        servers.first.signal(signal.SIGSTOP)
        hanging = asyncio.ensure_future(context.commit(0, Note(text="meanwhile"), soon(60)))
        await servers.promote()
        with pytest.raises(Retry, match="the database does not answer"):
            await asyncio.wait_for(reading, 30)
        await asyncio.wait_for(hanging, 30)
        servers.first.signal(signal.SIGCONT)
        assert await context.rows(PORT) == [(servers.second.port,)]
        await context.commit(0, Note(text="after"))
        await until(lambda: nobody_but_the_watch(servers), "all have left the former primary", 20.0)
    assert await servers.first.rows(EVENTS, dbname="caudal") == [(b"before",)]
    assert await servers.second.rows(EVENTS, dbname="caudal") == [(b"before",), (b"meanwhile",), (b"after",)]
    await nothing_is_acknowledged_there(servers)
    async with Context(settings_of(servers.url), name="late") as context:  # the first address takes writes still
        assert await context.rows(PORT) == [(servers.second.port,)]
        assert await reasons(context) == []
        servers.first.kill()

        async def is_missed() -> bool:
            return await reasons(context) == ["server 1 of 2 of the database does not answer"]

        await until(is_missed, "the server that is away is told of", 10.0)


async def test_a_process_never_goes_back_behind_a_promotion(server_url: str) -> None:
    primary = Primary(server_url)
    connection = await primary.connect()
    assert primary.timeline == 1
    primary.timeline = 2
    with pytest.raises(Deposed, match="timeline 1, and timeline 2 has begun"):
        await primary.connect()
    with pytest.raises(Deposed):
        await primary.check(connection)
    assert connection.closed


async def test_a_primary_that_was_made_read_only_is_left_for_the_next_one(servers: Pair) -> None:
    written = shard(servers.url)
    await written.submit(Note(text="before"), soon())
    await servers.first.rows("alter system set default_transaction_read_only = on")
    await servers.first.rows("select pg_reload_conf()")

    async def is_read_only() -> bool:
        return await servers.first.rows("show default_transaction_read_only") == [("on",)]

    await until(is_read_only, "the server has read its settings", 10.0)
    waiting = written.submit(Note(text="after"), soon(30))
    await servers.promote()
    await waiting
    assert written.counts.reruns >= 1
    assert await servers.second.rows(EVENTS, dbname="caudal") == [(b"before",), (b"after",)]
    await written.stop()


# A standby is demanded


async def test_a_primary_without_a_standby_is_refused_where_one_is_demanded(server_url: str) -> None:
    with pytest.raises(NotDurable, match="synchronous_standby_names is empty, and CAUDAL_DATABASE_SYNCHRONOUS"):
        await Primary(server_url, synchronous=True).connect()
    with pytest.raises(NotDurable, match="synchronous_standby_names"):
        async with Context(settings_of(server_url, database_synchronous=True), name="test"):
            pass


async def test_a_primary_that_waits_no_more_is_not_written_until_it_does(servers: Pair) -> None:
    async with Context(settings_of(servers.url, database_synchronous=True), name="test") as context:
        await context.commit(0, Note(text="before"))
        await servers.first.rows("alter system reset synchronous_standby_names")
        await servers.first.rows("select pg_reload_conf()")

        async def is_refused() -> bool:
            try:
                await context.commit(0, Note(text="between"), soon(0.5))
            except CaudalError as error:  # another code: it was under way when that was seen
                return error.code == "database_unavailable"
            return False

        await until(is_refused, "the server is refused", 10.0)
        written = await servers.first.rows("select count(*) from event", dbname="caudal")
        await until(is_refused, "it is refused again", 10.0)
        assert await servers.first.rows("select count(*) from event", dbname="caudal") == written
        await servers.first.rows("alter system set synchronous_standby_names = 'b'")
        await servers.first.rows("select pg_reload_conf()")
        await context.commit(0, Note(text="after"), soon(30))


async def test_a_read_of_a_server_that_stands_still_ends(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contexts, "_READ_S", 0.2)
    async with Context(settings_of(server_url), name="test") as context:
        with pytest.raises(Retry) as refused:
            await context.rows("select pg_sleep(3600)")
        with pytest.raises(psycopg.OperationalError) as lost:
            async with context.connection(0.2) as connection, connection.transaction():
                await connection.execute("select pg_sleep(3600)")
    for error in (refused.value.__cause__, lost.value):
        assert not isinstance(error, psycopg.errors.QueryCanceled), "it was not the server that ended it"


async def test_who_waits_for_a_database_that_is_away_for_long_is_served_when_it_is_back(
    server_url: str, open_tmp: Path
) -> None:
    sockets = open_tmp / "away"  # nobody is there yet
    address = make_conninfo(server_url, host=str(sockets))
    async with Context(settings_of(address), name="test") as context:
        failed = context.pool.get_stats()["connections_errors"]
        reading = [asyncio.ensure_future(context.rows("select 1")) for _ in range(3)]

        async def is_tried() -> bool:
            return context.pool.get_stats()["connections_errors"] >= failed + 4

        await until(is_tried, "it is asked again and again, although nobody else comes", 4.5)
        sockets.symlink_to(str(conninfo_to_dict(server_url)["host"]))
        assert await asyncio.gather(*reading) == [[(1,)]] * 3


# Addresses

# what is given, and the host and port of each server
ADDRESSES = [
    ("postgresql://a:1,b:2/caudal", [("a", "1"), ("b", "2")]),
    ("host=a,b,c port=5433 dbname=caudal", [("a", "5433"), ("b", "5433"), ("c", "5433")]),
    ("postgresql://a,b/caudal", [("a", None), ("b", None)]),
    ("host=a,b hostaddr=10.0.0.1,10.0.0.2", [("a", None), ("b", None)]),
    ("dbname=caudal", [(None, None)]),
    ("host=/run/postgresql user=caudal", [("/run/postgresql", None)]),
]


@pytest.mark.parametrize(("address", "servers"), ADDRESSES)
def test_an_address_of_several_servers_is_several(address: str, servers: list[tuple[str, str]]) -> None:
    given = [conninfo_to_dict(each) for each in hosts_of(address)]
    assert [(each.get("host"), each.get("port") or None) for each in given] == servers
    assert {each.get("dbname") for each in given} == {conninfo_to_dict(address).get("dbname")}


def test_who_was_seen_as_the_primary_is_asked_first() -> None:
    primary = Primary("postgresql://ana:secret@a:1,b:2,c:3/caudal")
    primary._saw(1, 7, True)
    primary._saw(2, 6, True)  # of before
    primary._saw(0, 0, True)  # a standby
    shown = conninfo_to_dict(primary.url)
    assert (shown["host"], shown["port"], shown["password"]) == ("b,c,a", "2,3,1", "secret")
