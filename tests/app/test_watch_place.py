"""Who watches next goes on where the last one was: the place of a round is kept with what it has found so far."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import psycopg
import pytest

from caudal.app.check import Look, Round, RoundPlace, digest_of_laws, laws, range_of
from caudal.app.telemetry import kept
from caudal.kernel.context import Context
from tests.api import Api
from tests.app.test_watch import Figures, all_laws, figures, until, watching
from tests.payins.story import Story
from tests.payins.test_batch_equals_sequential import play

LONG_AGO = 123.0
LAST = list(dict.fromkeys(range_of(law) for law in laws()))[-1]
INSERT = "insert into check_place (shard, laws, place, at) values (%s, %s, %s, now()) returning 1"


async def looks(connection: psycopg.AsyncConnection[Any], *, interrupted: bool) -> tuple[list[Look], list[str]]:
    """Every look of a round, and the laws in the order in which they ended; `interrupted` after each one."""
    walk, seen, ended = Round(0, size=4), list[Look](), list[str]()
    while (look := await walk.look(connection)) is not None:
        seen.append(look)
        ended += [law for laws_of_kind in walk.ended for law in laws_of_kind]
        walk.ended.clear()
        if interrupted and walk.place is not None:
            text, walk = msgspec.json.encode(walk.place), Round(0, size=4)
            walk.go_on(msgspec.json.decode(text, type=RoundPlace))
    assert walk.place is None
    return seen, ended + [law for laws_of_kind in walk.ended for law in laws_of_kind]


async def test_a_round_that_is_taken_up_after_every_look_sees_what_one_does(database_url: str) -> None:
    await play(database_url, 0, Story(seed=9, length=250).commands, 50)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        # Something to find, and batches of different times.
        await connection.execute("update account set credits_posted = credits_posted + 1")
        await connection.execute("update batch set at = at + (ctid::text::point)[1] * interval '1.5 ms'")
        whole, ended = await looks(connection, interrupted=False)
        assert await looks(connection, interrupted=True) == (whole, ended)
    assert sorted(ended) == sorted(law.name for law in laws())
    kinds = {look.kind for look in whole if look.number > 1}
    assert {"batches", "transfers", "events", "payins", "entries", "keys", "lines"} <= kinds, "in several ranges"
    assert any(look.wrong for look in whole)


@pytest.fixture
async def told(context: Context) -> Context:
    """A database with a payin."""
    ana = Api(context)
    await ana.ana()
    await ana.deposit((await ana.create()).json["next_action"]["clabe"], 10_000)
    return context


def at_the_last_kind() -> bytes:
    """What a watch keeps that has come to the last kind of rows, and found something on the way."""
    rest = Round(0, only=[law.name for law in laws() if range_of(law) == LAST])
    return msgspec.json.encode(
        kept.Kept(
            place=rest.place,
            finding={"account_balance": 2},
            checked={law.name: LONG_AGO for law in laws() if range_of(law) != LAST},
            wrong={},
            summed=[(False, "BRL", 7)],
            authorized=[],
        )
    )


def nowhere() -> bytes:
    """What a watch may keep that knows the same laws and walks otherwise."""
    here = msgspec.json.decode(at_the_last_kind(), type=kept.Kept)
    assert here.place is not None
    place = msgspec.structs.replace(here.place, before=("x",))
    return msgspec.json.encode(msgspec.structs.replace(here, place=place, checked={}))


def between(at: float, wrong: dict[str, int], place: RoundPlace | None = None) -> bytes:
    """What is kept of a shard whose laws were looked at then, between two rounds or at a place of one."""
    checked = {law.name: at for law in laws()}
    return msgspec.json.encode(
        kept.Kept(place=place, finding={}, checked=checked, wrong=wrong, summed=[], authorized=[])
    )


def looked_at(found: Figures) -> dict[str, object]:
    return {law: at for (name, *of), at in found.items() if name.endswith("check.last_run_timestamp") for law in of[1:]}


async def test_a_worker_goes_on_where_the_last_one_was(database_url: str, told: Context) -> None:
    await told.rows(INSERT, (0, digest_of_laws(), at_the_last_kind()))
    async with watching(database_url, watch_s=5.0) as worker:
        found = await until(worker, all_laws)
    for law, at in looked_at(found).items():
        kind = next(range_of(one) for one in laws() if one.name == law)
        assert (at == LONG_AGO) is (kind != LAST), f"{law} was looked at anew, or not at all"
    assert found["caudal.ledger.check.violations", "0", "account_balance"] == 2, "what was found before"
    assert found["caudal.money.in_flight", "0", "test", "BRL", "authorized"] == 7
    now = await kept_of(told)
    assert now.place is None and len(now.checked) == len(laws())


@pytest.mark.parametrize("why", ["other laws", "no place", "nowhere", "nothing"])
async def test_what_is_of_other_laws_or_unreadable_is_begun_anew(database_url: str, told: Context, why: str) -> None:
    if why != "nothing":
        place = {"other laws": at_the_last_kind(), "no place": b"{}", "nowhere": nowhere()}[why]
        await told.rows(INSERT, (0, b"others" if why == "other laws" else digest_of_laws(), place))
    async with watching(database_url, watch_s=5.0) as worker:
        found = await until(worker, all_laws)
    assert LONG_AGO not in looked_at(found).values()
    assert sum(value for name, value in found.items() if name[0] == "caudal.ledger.check.violations") == 0  # type: ignore[misc]


async def test_in_the_midst_of_a_round_the_place_is_kept(
    database_url: str, told: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "KEEP_EVERY_S", 0.0)
    places = list[kept.Kept]()

    async def keep(*asked: Any) -> None:
        places.append(asked[-1])

    monkeypatch.setattr(kept, "keep", keep)
    async with watching(database_url, watch_s=5.0) as worker:
        await until(worker, all_laws)
    kinds = [one.place.kind for one in places if one.place is not None]
    assert {"batches", "entries", "events", "keys", "payins"} <= set(kinds) and places[-1].place is None


def violations(found: Figures) -> dict[tuple[str, ...], object]:
    return {tuple(of): rows for (name, *of), rows in found.items() if name.endswith("check.violations") and rows}


def gathered(found: Figures) -> bool:
    return ("caudal.watch.last_run_timestamp",) in found


def looks_at(monkeypatch: pytest.MonkeyPatch, look: Callable[[Round], Awaitable[Look | None]]) -> None:
    monkeypatch.setattr(Round, "look", lambda walk, _: look(walk))


async def stands_still(_: Round) -> Look | None:
    await asyncio.Event().wait()
    return None


async def test_the_next_worker_tells_of_every_shard_before_it_looks_at_any(
    database_url: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await context.rows("insert into shard (id) values (1), (2) returning 1")
    await context.rows(INSERT, (0, digest_of_laws(), between(LONG_AGO, {})))
    await context.rows(INSERT, (1, digest_of_laws(), between(LONG_AGO + 1, {"account_balance": 2}, Round(1).place)))
    await context.rows(INSERT, (2, b"others", between(LONG_AGO, {"account_balance": 3, "no_such_law": 1})))
    looks_at(monkeypatch, stands_still)
    async with watching(database_url) as worker:
        found = await until(worker, gathered)
    assert violations(found) == {("1", "account_balance"): 2, ("2", "account_balance"): 3}
    looked = {(of[0], at) for (name, *of), at in found.items() if name.endswith("check.last_run_timestamp")}
    assert looked == {("0", LONG_AGO), ("1", LONG_AGO + 1), ("2", 0.0)}, "2: other laws were looked at"


async def test_rounds_under_way_go_on_and_then_comes_what_was_looked_at_longest_ago(
    database_url: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await context.rows("insert into shard (id) select generate_series(1, 4) returning 1")
    for shard, at, place in ((0, 9.0, None), (1, 7.0, None), (2, 8.0, Round(2).place), (3, 5.0, None)):
        await context.rows(INSERT, (shard, digest_of_laws(), between(at, {}, place)))
    order = list[int]()

    async def ends_at_once(walk: Round) -> Look | None:
        order.append(walk.shard)
        return None

    looks_at(monkeypatch, ends_at_once)
    async with watching(database_url, watch_s=5.0) as worker:
        await until(worker, lambda _: len(order) == 5)
    assert order == [2, 4, 3, 1, 0], "4: nobody has ever looked"


async def kept_of(context: Context) -> kept.Kept:
    [(place,)] = await context.rows("select place from check_place where shard = 0")
    return msgspec.json.decode(place, type=kept.Kept)


@pytest.mark.parametrize("broken", [True, False])
async def test_what_is_told_is_kept_at_once(
    database_url: str, told: Context, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    """That rows break a law, and that none breaks it any more."""
    if broken:
        await told.rows("update account set credits_posted = credits_posted + 1 returning 1")
    await told.rows(INSERT, (0, digest_of_laws(), between(LONG_AGO, {} if broken else {"event_numbers": 2})))
    look, news = Round.look, False

    async def until_there_are_news(walk: Round, connection: psycopg.AsyncConnection[Any]) -> Look | None:
        nonlocal news
        if news:
            await stands_still(walk)
        found = await look(walk, connection)
        news = bool(found and found.wrong) if broken else bool(walk.ended)
        return found

    monkeypatch.setattr(kept, "KEEP_EVERY_S", math.inf)
    monkeypatch.setattr(Round, "look", until_there_are_news)
    async with watching(database_url) as worker, asyncio.timeout(30):
        await until(worker, lambda found: bool(violations(found)) is broken)
        while bool(sum((now := await kept_of(told)).finding.values()) + sum(now.wrong.values())) is not broken:
            pass
        before = violations(figures(worker))
    looks_at(monkeypatch, stands_still)
    async with watching(database_url) as worker:
        after = await until(worker, gathered)
    assert violations(after) == before
