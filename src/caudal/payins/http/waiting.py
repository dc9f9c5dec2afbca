"""What has no outcome: work that asks a provider and did not end at its first try, and the rows that it is about."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.payins import decide, store
from caudal.payins.http.seen import Seen
from caudal.payins.model import (
    Deposit,
    Discrepancy,
    Evidence,
    Operation,
    Payin,
    Unresolved,
    UnresolvedKind,
)
from caudal.payins.rows import DEPOSITS, DISCREPANCIES, DISPUTES, EVIDENCE, OPERATIONS, PAYINS

# The work that asks a provider, in the order of the list.
ASKING: Final = (
    decide.SUBMIT,
    decide.OPERATE,
    decide.RETURN,
    decide.EXPIRE,
    decide.SEND_EVIDENCE,
    decide.ASK,
)
_TABLES: Final[dict[str, Any]] = {
    decide.SUBMIT: PAYINS,
    decide.EXPIRE: PAYINS,
    decide.OPERATE: OPERATIONS,
    decide.RETURN: DEPOSITS,
    decide.SEND_EVIDENCE: EVIDENCE,
    decide.ASK: DISCREPANCIES,
}
_STEP: Final = 200
_YOUNG: Final = 500
_COUNTED: Final = 1_000
_OVERDUE_S: Final = 300


class Found(NamedTuple):
    """A piece of work with the row that it is about, that row's payin, and their shard; whom it asks, and the key by
    which that knows what it is asked for."""

    shard: int
    due: Due
    row: Any
    payin: Payin | None
    provider: str
    provider_key: str


async def all_of(context: Context, place: tuple[int, UUID], now: datetime) -> AsyncIterator[tuple[Due, Unresolved]]:
    """Everything behind a place, a step at a time."""
    first, after = place
    for kind in ASKING[first:]:
        async for one in _of_kind(context, kind, after, now):
            yield one
        after = store.FIRST


async def _of_kind(
    context: Context, kind: str, after: UUID, now: datetime
) -> AsyncGenerator[tuple[Due, Unresolved], None]:
    """Everything of a kind, in the order of what it is about."""
    while True:
        steps = {
            shard: await store.work_in_vain(context, shard, kind, after, _STEP) for shard in await context.every_shard()
        }
        whole = [step[-1].subject for step in steps.values() if len(step) == _STEP]
        until = min(whole, default=store.LAST)  # behind it a shard may have more that comes before what others have
        found = [
            one
            for shard, step in steps.items()
            for one in await found_of(context, shard, [due for due in step if due.subject <= until])
        ]
        for one in sorted(found, key=lambda one: one.due.subject):
            yield one.due, body_of(one, now)
        if not whole:
            return
        after = until


async def found_of(context: Context, shard: int, works: Sequence[Due]) -> list[Found]:
    """The rows that the work of a shard is about."""
    seen = Seen(await store.now(context))
    await seen.read(context, shard, [(_TABLES[due.kind], due.subject) for due in works])
    rows = [(due, seen.get(_TABLES[due.kind], due.subject)) for due in works]
    disputes = [(DISPUTES, row.dispute) for _, row in rows if isinstance(row, Evidence)]
    await seen.read(context, shard, disputes)
    payins = [(PAYINS, id) for _, row in rows if (id := _payin_of(row, seen)) is not None]
    await seen.read(context, shard, payins)
    cases = [
        (row, payin) for _, row in rows if isinstance(row, Discrepancy) and (payin := _payin(row, seen)) is not None
    ]
    await seen.read(context, shard, (need for row, payin in cases for need in decide.needs_of(row, payin.method)))
    return [
        Found(shard, due, row, _payin(row, seen), *_asked(due, row, _payin(row, seen), seen))
        for due, row in rows
        if row is not None
    ]


def _payin_of(row: Any, seen: Seen) -> UUID | None:
    if isinstance(row, Payin):
        return row.id
    about = seen.get(DISPUTES, row.dispute) if isinstance(row, Evidence) else row
    return None if about is None else about.payin


def _payin(row: Any, seen: Seen) -> Payin | None:
    id = _payin_of(row, seen)
    return None if id is None else seen.get(PAYINS, id)


# Whom it asks: what is told there when it is asked, and nothing else


def _asked(due: Due, row: Any, payin: Payin | None, seen: Seen) -> tuple[str, str]:
    """A provider, or the bank, and the key by which that knows what it is asked for."""
    if isinstance(row, Deposit):
        return row.provider, decide.return_key(row, row.returning_version)
    assert payin is not None, "every other work that asks is about a payin"
    match row:
        case Operation():
            return payin.asked(row.details().attempt)[0], row.id.hex
        case Evidence():
            dispute = seen.get(DISPUTES, row.dispute)
            assert dispute is not None, "its payin was found by it"
            return dispute.provider, row.id.hex
        case Discrepancy():
            return _asked_about(row, payin, seen)
    return payin.asked(decide.attempt_asked(payin, due.said))


def _asked_about(row: Discrepancy, payin: Payin, seen: Seen) -> tuple[str, str]:
    """As `calls.ask_about` asks: for the operation or the return that it is about, if we know it, else the payment."""
    said, known = decide.said_of(row.detail), decide.known_of(seen, row)
    if said.operation is not None and known.operation is not None:
        return payin.asked(known.operation.details().attempt)[0], said.operation
    of = decide.return_told_of(known, said)
    if said.operation is not None and of is not None:
        return of[0].provider, said.operation
    return payin.asked(said.attempt(payin))


def body_of(found: Found, now: datetime) -> Unresolved:
    """What is known of it."""
    due, row, payin = found.due, found.row, found.payin
    since = _since(row)
    amount, currency = getattr(row, "amount_minor", None), getattr(row, "currency", None)
    return Unresolved(
        id=ids.public(prefix_of(row), row.id),
        kind=_kind_of(due, row),
        mode="live" if due.book & 1 else "test",
        provider=found.provider,
        provider_key=found.provider_key,
        payin=None if payin is None else ids.public("payin", payin.id),
        status="returning" if isinstance(row, Deposit) else str(getattr(row, "status", "open")),
        amount=row.returning_minor if isinstance(row, Deposit) else amount,
        currency=currency,
        since=rfc3339(since),
        age_seconds=max(0, int((now - since) / timedelta(seconds=1))),
        times_asked=due.attempt,
        last_answer=due.said,
        next_ask_at=rfc3339(due.at),
    )


def _since(row: Any) -> datetime:
    """When it was submitted, in real time as far as that is kept."""
    sent = row.details().submission if isinstance(row, Payin) else None
    since: datetime = row.created_at if sent is None else min(row.created_at, sent.first_until)
    return since


def prefix_of(row: Any) -> str:
    match row:
        case Payin():
            return "payin"
        case Operation():
            return row.kind
        case Deposit():
            return "dep"
        case Evidence():
            return "evidence"
    return "disc"


def _kind_of(due: Due, row: Any) -> UnresolvedKind:
    if isinstance(row, Operation):
        return row.kind
    kinds: dict[str, UnresolvedKind] = {
        decide.SUBMIT: "payin",
        decide.EXPIRE: "expiry",
        decide.RETURN: "return",
        decide.SEND_EVIDENCE: "evidence",
        decide.ASK: "discrepancy",
    }
    return kinds[due.kind]


# How many, for whoever watches


class Overdue(msgspec.Struct, frozen=True):
    """How much has no outcome for longer than a while, `_COUNTED` of it at most, and since when the oldest has none."""

    count: int
    oldest_s: int


async def overdue(context: Context, older_than_s: int = _OVERDUE_S) -> Overdue:
    """What an operator should see to. Ids tell the time, so that behind many that are young there is hardly an old one:
    an outage's backlog is not walked.
    """
    now, ages = await store.now(context), list[int]()
    for kind in ASKING:
        young = 0
        async with aclosing(_of_kind(context, kind, store.FIRST, now)) as waiting:
            async for _, body in waiting:
                is_old = body.age_seconds >= older_than_s
                ages += [body.age_seconds] if is_old else []
                young += not is_old
                if young == _YOUNG or len(ages) == _COUNTED:
                    break
        if len(ages) == _COUNTED:
            break
    return Overdue(len(ages), max(ages, default=0))
