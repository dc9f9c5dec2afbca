"""API keys: modes, scopes, rotation, revocation, and no secret at rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from caudal.kernel.commit import Answer, Decision, Key, Lane, View
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, Invalid, Refused
from caudal.kernel.http import Request
from caudal.merchants import API_KEYS, CLI, Caller, authenticate, create_key, refuse_ended, rotate_key
from caudal.merchants.commands import KeyCache
from caudal.merchants.decide import RevokeKey
from caudal.merchants.model import Actor, digest_of
from tests.merchants.cast import Cast, Desk


def request(key: str | None, **headers: str) -> Request:
    sent = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    if key is not None:
        sent[b"authorization"] = f"Bearer {key}".encode()
    return Request(
        method="GET", path="/v1/payins", query=b"", headers=sent, body=b"", id="req_1", deadline=monotonic() + 60
    )


async def refusal(context: Context, key: str | None, scope: str | None = None, **headers: str) -> str:
    with pytest.raises(CaudalError) as caught:
        await authenticate(context, request(key, **headers), scope)
    return caught.value.code


def merchant_id(merchant: Cast) -> UUID:
    return UUID(merchant.id.removeprefix("mer_"))


async def test_a_key_says_who_calls(context: Context, ana: Cast) -> None:
    caller = await authenticate(context, request(ana.key), "payins:write")
    assert (caller.merchant, caller.slot, caller.book, caller.live) == (merchant_id(ana), 1, 2, False)
    assert (caller.fee_plan, caller.late_payments, caller.clock_offset_s) == (1, "accept", 0)
    assert caller.fees["instant_transfer", "MXN"].fixed_minor == 300
    assert caller.key_digest == digest_of(ana.key)


async def test_what_is_no_key_is_refused(context: Context, ana: Cast, olga_key: str) -> None:
    for text in (None, "", "x", ana.key[:-1], ana.key + "A", ana.key[:-1] + "é", olga_key, "sk_test_" + "A" * 43):
        assert await refusal(context, text) == "unauthenticated", text
    for header in ("Basic " + ana.key, ana.key, "Bearer", f"Bearer {ana.key} {ana.key}"):
        assert await refusal(context, None, authorization=header) == "unauthenticated"
    assert await authenticate(context, request(None, authorization=f"bearer  {ana.key} "), None)


async def test_a_live_key_opens_the_live_book_only(context: Context, ana: Cast) -> None:
    made = await create_key(context, CLI, merchant_id(ana), mode="live", name="live")
    assert made.secret is not None and made.secret.startswith("sk_live_")
    caller = await authenticate(context, request(made.secret), None)
    assert (caller.book, caller.live) == (3, True)


async def test_a_key_whose_text_and_row_disagree_on_the_mode_is_none(context: Context, ana: Cast) -> None:
    async with context.pool.connection() as connection:
        await connection.execute("update api_key set book = book + 1 where digest = %s", (digest_of(ana.key),))
    assert await refusal(context, ana.key) == "unauthenticated"


async def test_a_key_may_do_what_its_scopes_say(context: Context, olga: Desk, ana: Cast) -> None:
    reply = await olga.post(ana.path + "/keys", {"mode": "test", "scopes": ["payins:read"]})
    secret = reply.json["secret"]
    assert reply.json["scopes"] == ["payins:read"]
    assert await authenticate(context, request(secret), "payins:read")
    assert await refusal(context, secret, "payins:write") == "forbidden"


# Remembered for a second


async def test_a_key_is_remembered_for_a_second_and_no_longer(context: Context, ana: Cast) -> None:
    cache, now = context.once(KeyCache), 1000.0
    cache.now = lambda: now
    first = await authenticate(context, request(ana.key), None)
    async with context.pool.connection() as connection:
        await connection.execute("update api_key set revoked_at = now(), version = version + 1")
    now = 1000.4
    assert await authenticate(context, request(ana.key), None) is first
    now = 1001.0
    assert await refusal(context, ana.key) == "unauthenticated"


async def test_a_busy_key_is_read_again_before_it_is_forgotten(context: Context, ana: Cast) -> None:
    cache, now = context.once(KeyCache), 1000.0
    cache.now = lambda: now
    first = await authenticate(context, request(ana.key), None)
    now = 1000.6
    assert await authenticate(context, request(ana.key), None) is first
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == "key"))
    now = 1001.5
    again = await authenticate(context, request(ana.key), None)
    assert again is not first and again == first


async def test_an_unknown_key_is_remembered_too(context: Context, ana: Cast) -> None:
    cache, now = context.once(KeyCache), 1000.0
    cache.now = lambda: now
    async with context.pool.connection() as connection:
        await connection.execute("update api_key set revoked_at = now(), version = version + 1")
        assert await refusal(context, ana.key) == "unauthenticated"
        await connection.execute("update api_key set revoked_at = null, version = version + 1")
    assert await refusal(context, ana.key) == "unauthenticated"
    now = 1001.0
    assert await authenticate(context, request(ana.key), None)


async def test_requests_that_come_at_once_ask_once(
    context: Context, ana: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, rows = [], context.key_rows

    async def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return await rows(*arguments)

    monkeypatch.setattr(context, "key_rows", counted)
    callers = await asyncio.gather(*(authenticate(context, request(ana.key), None) for _ in range(50)))
    assert len(asked) == 1 and all(caller is callers[0] for caller in callers)


async def test_keys_that_are_asked_for_at_once_are_read_together_and_are_their_own(
    context: Context, olga: Desk, ana: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await olga.post(ana.path + "/keys", {"mode": mode}) for mode in ("test", "live") * 4]
    secrets = [reply.json["secret"] for reply in made]
    asked, rows = [], context.key_rows

    async def counted(*arguments: Any) -> Any:
        asked.append(arguments)
        return await rows(*arguments)

    monkeypatch.setattr(context, "key_rows", counted)
    callers, wrong = await asyncio.gather(
        asyncio.gather(*(authenticate(context, request(secret), None) for secret in secrets)),
        asyncio.gather(*(refusal(context, secret[:-1] + "_") for secret in secrets)),
    )
    assert [caller.live for caller in callers] == [secret.startswith("sk_live_") for secret in secrets]
    assert len({caller.key_digest for caller in callers}) == len(secrets)
    assert set(wrong) == {"unauthenticated"} and len(asked) == 1


async def test_a_database_that_does_not_answer_is_not_a_wrong_key(
    context: Context, ana: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> Any:
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(context, "key_rows", broken)
        assert await refusal(context, ana.key) == "database_unavailable"
    assert await authenticate(context, request(ana.key), None)


# In the batch


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's command does about the key that it came under."""

    caller: Caller
    key: Key
    recorded: bool = False
    lane: Lane = Lane.NORMAL

    @property
    def book(self) -> int:
        return self.caller.book

    def needs(self) -> Iterable[tuple[Any, Any]]:
        return ((API_KEYS, self.caller.key_digest),)

    def decide(self, view: View) -> Decision | Refused:
        return refuse_ended(view, self.caller.key_digest) or Decision(outcome="done")

    def render(self, outcome: Any | Refused) -> Answer:
        return Answer(401, b"refused") if isinstance(outcome, Refused) else Answer(200, b"done")


def work(caller: Caller) -> Work:
    return Work(caller=caller, key=Key(book=caller.book, digest=uuid4().bytes, fingerprint=b"f"))


async def test_a_revoked_key_is_refused_at_once_whatever_is_remembered(context: Context, olga: Desk, ana: Cast) -> None:
    caller = await authenticate(context, request(ana.key), None)
    assert (await context.commit(0, work(caller))).outcome == "done"
    id = (await olga.get(ana.path + "/keys")).json["data"][0]["id"]
    revoked = await olga.post(f"/v1/operator/keys/{id}/revocations")
    assert revoked.status == 200 and revoked.json["revoked_at"] is not None
    assert await authenticate(context, request(ana.key), None) is caller  # remembered
    late = work(caller)
    assert isinstance((await context.commit(0, late)).outcome, Invalid)
    assert await context.row("select count(*) from key where digest = %s", (late.key.digest,)) == (0,)


async def test_a_revocation_counts_within_its_batch(context: Context, ana: Cast) -> None:
    caller = await authenticate(context, request(ana.key), None)
    shard, actor = context.shard(0), Actor(name="test")
    revocation = RevokeKey(merchant=caller.merchant, digest=caller.key_digest, actor=actor, entry=uuid4())
    commands, batches = (work(caller), revocation, work(caller)), shard.counts.batches
    before, _, after = await asyncio.gather(*(shard.submit(command, monotonic() + 60) for command in commands))
    assert shard.counts.batches == batches + 1
    assert before.outcome == "done" and isinstance(after.outcome, Invalid)


async def test_revoking_twice_changes_nothing(context: Context, olga: Desk, ana: Cast) -> None:
    id = (await olga.get(ana.path + "/keys")).json["data"][0]["id"]
    first = await olga.post(f"/v1/operator/keys/{id}/revocations")
    again = await olga.post(f"/v1/operator/keys/{id}/revocations")
    assert first.json == again.json
    assert await context.row("select count(*) from audit where action = 'api_key.revoked'") == (1,)


# Rotation


class ViewAt(msgspec.Struct):
    """A view with a time of its own."""

    at: Any
    row: Any
    next_event_seq: int = 1

    @property
    def clock(self) -> Any:
        return self.at

    def get(self, table: Any, key: Any) -> Any:
        return self.row

    def get_all(self, table: Any, keys: Any) -> Any:
        return [self.row for _ in keys]


async def test_a_rotated_key_counts_until_the_overlap_has_passed(context: Context, ana: Cast) -> None:
    old = (await context.rows("select id from api_key"))[0][0]
    made = await rotate_key(context, CLI, old, 60)
    assert made.secret is not None and made.secret.startswith("sk_test_")
    assert await authenticate(context, request(ana.key), None)
    new = await authenticate(context, request(made.secret), None)
    assert new.book == 2
    statement, parameters = API_KEYS.reading(0, [digest_of(ana.key)])
    _, record = API_KEYS.load((await context.rows(statement, parameters))[0])
    assert record.ends_at is not None
    for moved_s, ended in ((-1, False), (0, True), (1, True)):
        view = ViewAt(at=record.ends_at + timedelta(seconds=moved_s), row=record)
        assert (refuse_ended(view, record.digest) is not None) is ended
    assert refuse_ended(ViewAt(at=record.ends_at, row=None), record.digest) is not None


async def test_a_rotation_without_overlap_ends_the_old_key(context: Context, olga: Desk, ana: Cast) -> None:
    id = (await olga.get(ana.path + "/keys")).json["data"][0]["id"]
    rotated = await olga.post(f"/v1/operator/keys/{id}/rotations", {"overlap_s": 0})
    assert (rotated.status, rotated.json["mode"], rotated.json["name"]) == (201, "test", "first key")
    assert await refusal(context, ana.key) == "unauthenticated"
    again = await olga.post(f"/v1/operator/keys/{id}/rotations", {"overlap_s": 0})
    assert (again.status, again.code) == (409, "forbidden_transition")
    listed = (await olga.get(ana.path + "/keys")).json["data"]
    assert [key["id"] for key in listed] == [rotated.json["id"], id]


# No secret at rest


async def test_a_secret_is_answered_once_and_is_nowhere_in_the_database(
    context: Context, olga: Desk, ana: Cast
) -> None:
    body = {"mode": "test", "name": "shop"}
    first = await olga.post(ana.path + "/keys", body, idempotency_key="once")
    secret = first.json["secret"]
    again = await olga.post(ana.path + "/keys", body, idempotency_key="once")
    assert (again.status, again.headers[b"idempotent-replayed"]) == (201, b"true")
    assert again.json == {**first.json, "secret": None}
    rotated = await olga.post(f"/v1/operator/keys/{first.json['id']}/rotations", {"overlap_s": 9}, idempotency_key="r")
    replayed = await olga.post(f"/v1/operator/keys/{first.json['id']}/rotations", {"overlap_s": 9}, idempotency_key="r")
    assert replayed.json == {**rotated.json, "secret": None}
    assert await context.row("select count(*) from api_key") == (3,)
    assert await context.row("select count(*) from directory where kind = 'api_key'") == (3,)
    assert await _tables_with(context, ana.id.removeprefix("mer_")) != []  # the search finds what is there
    for found in (secret, rotated.json["secret"], ana.key):
        assert not await _tables_with(context, found)


async def _tables_with(context: Context, secret: str) -> list[str]:
    """Tables that have the secret's random part anywhere, as text or in bytes."""
    part, found = secret[-24:], []
    tables = "select relname::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    for (table,) in await context.rows(tables):
        rows = await context.rows(f"select t::text from {table} t")
        texts = [row[0] for row in rows]
        if any(part in text or part.encode().hex() in text for text in texts):
            found.append(table)
    return found


async def test_events_of_a_key_stand_in_the_houses_book_of_its_mode(context: Context, olga: Desk, ana: Cast) -> None:
    for mode in ("test", "live"):
        made = await olga.post(ana.path + "/keys", {"mode": mode})
        rotated = await olga.post(f"/v1/operator/keys/{made.json['id']}/rotations", {"overlap_s": 60})
        await olga.post(f"/v1/operator/keys/{rotated.json['id']}/revocations")
    told = await context.rows(
        "select type, book, convert_from(data, 'utf8')::json ->> 'mode' from event where type like %s order by seq",
        ("api_key.%",),
    )
    kinds = ("api_key.created", "api_key.rotated", "api_key.revoked")
    assert told[-6:] == [(kind, book, mode) for book, mode in ((0, "test"), (1, "live")) for kind in kinds]
    assert await context.rows("select distinct book from event where type not like %s", ("api_key.%",)) == [(0,)]
