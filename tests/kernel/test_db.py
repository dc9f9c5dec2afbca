"""Columns as PostgreSQL's binary arrays, and the sessions of writers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from caudal.kernel import db

TIMES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 30), timezones=st.just(UTC))
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))

# kind, how it is packed, its type, what it holds
KINDS: list[tuple[str, Callable[[Any], db.Array], str, st.SearchStrategy[Any]]] = [
    ("bigints", db.bigints, "bigint", st.integers(-(2**63), 2**63 - 1)),
    ("integers", db.integers, "integer", st.integers(-(2**31), 2**31 - 1)),
    ("booleans", db.booleans, "boolean", st.booleans()),
    ("uuids", db.uuids, "uuid", st.uuids()),
    ("byteas", db.byteas, "bytea", st.binary(max_size=40)),
    ("texts", db.texts, "text", TEXTS),
    ("timestamps", db.timestamps, "timestamptz", TIMES),
]


@pytest.fixture
async def connection(server_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await db.connect(server_url) as opened:
        yield opened


async def sent(connection: psycopg.AsyncConnection[Any], type: str, column: db.Array) -> list[Any]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(f"select v from unnest(%s::{type}[]) with ordinality u(v, n) order by n".encode(), (column,))
    return [row[0] for row in await cursor.fetchall()]


@pytest.mark.parametrize(("kind", "pack", "type", "values"), KINDS, ids=[row[0] for row in KINDS])
async def test_a_column_arrives_as_it_was_packed(
    connection: psycopg.AsyncConnection[Any], kind: str, pack: Any, type: str, values: st.SearchStrategy[Any]
) -> None:
    drawn: list[list[Any]] = [[], [None], [None] * 3]

    @given(st.lists(st.none() | values, max_size=20))
    def draw(column: list[Any]) -> None:
        drawn.append(column)
        drawn.extend([column[:1] * 3, [*column, *column[:1]]])  # one value throughout, and the same at both ends

    await asyncio.to_thread(draw)
    for column in drawn:
        assert await sent(connection, type, pack(column)) == column


async def test_a_time_of_any_zone_is_the_same_instant(connection: psycopg.AsyncConnection[Any]) -> None:
    at = datetime(2026, 11, 23, 4, 0, 0, 123456, tzinfo=timezone(timedelta(hours=-6)))
    [back] = await sent(connection, "timestamptz", db.timestamps([at]))
    assert back == at and back.utcoffset() == timedelta(0)


TOO_MUCH = [
    (db.bigints, [2**63], struct.error),
    (db.bigints, [None, -(2**63) - 1], struct.error),
    (db.integers, [2**31], struct.error),
    (db.uuids, ["x"], AttributeError),
    (db.texts, ["\ud800"], UnicodeEncodeError),
    (db.timestamps, [datetime(2026, 11, 23)], TypeError),
]


@pytest.mark.parametrize(("pack", "values", "error"), TOO_MUCH)
def test_a_value_that_does_not_fit_is_an_error_before_it_is_sent(
    pack: Any, values: Sequence[Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        pack(values)


async def test_a_nul_in_a_text_is_refused_by_the_server(connection: psycopg.AsyncConnection[Any]) -> None:
    with pytest.raises(psycopg.errors.CharacterNotInRepertoire):
        await sent(connection, "text", db.texts(["a\x00b"]))


ENDS_ITSELF = {"idle_in_transaction_session_timeout": "1s", "lock_timeout": "2s", "transaction_timeout": "5s"}


async def test_a_session_ends_itself_rather_than_hold_a_shard(connection: psycopg.AsyncConnection[Any]) -> None:
    for name, value in ENDS_ITSELF.items():
        row = await (await connection.execute("select current_setting(%s)", (name,))).fetchone()
        assert row == (value,)


async def test_a_writer_goes_to_a_primary_only_and_notices_a_dead_peer(server_url: str) -> None:
    parameters = psycopg.conninfo.conninfo_to_dict(db.conninfo(server_url))
    assert parameters["target_session_attrs"] == "read-write"
    assert parameters["keepalives"] == "1" and parameters["tcp_user_timeout"] == "8000"


def test_ids_are_packed_as_their_sixteen_bytes() -> None:
    id = UUID(int=7)
    assert db.uuids([id]).data.endswith(b"\x00\x00\x00\x10" + id.bytes)


async def test_options_of_the_address_stay_and_ours_come_last(server_url: str) -> None:
    address = make_conninfo(server_url, options="-c search_path=elsewhere -c lock_timeout=9s")
    async with await db.connect(address, statement_timeout="7s") as opened:
        names = ("search_path", "lock_timeout", "statement_timeout")
        shown = [await (await opened.execute(f"show {name}".encode())).fetchone() for name in names]
    assert shown == [("elsewhere",), ("2s",), ("7s",)]
