"""One function per named query: what is read outside of a batch, and the two reference tables, written before use.

Every call may raise Retry (database_unavailable) through `answered`, or psycopg.Error without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from caudal.contracts.merchants import LatePayments, RefundsBeyondBalance
from caudal.contracts.pages import LOOKED_AT, Looked
from caudal.kernel.commit import Row
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.kernel.ids import SLOT_MAX, slot_of, uuid7
from caudal.merchants.model import (
    HOUSE_SHARD,
    ApiKeyRecord,
    AuditRecord,
    Caller,
    MerchantDetail,
    Operator,
    OperatorRecord,
)
from caudal.merchants.rows import SQL, api_key_of, fees_in, merchant_of, operator_of

T = TypeVar("T")

_PLACE_ATTEMPTS: Final = 100
_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)


class Place(NamedTuple):
    """Where a merchant is."""

    merchant: UUID
    slot: int
    shard: int


class KeyPlace(NamedTuple):
    """Where an API key is: facts that never change, so that they may be read before the lock."""

    place: Place
    digest: bytes
    book: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list: so many rows, older than `after` or newer than `before`."""

    limit: int = 20
    after: UUID | None = None
    before: UUID | None = None


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the audit trail."""

    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    since: datetime | None = None

    @property
    def narrows(self) -> bool:
        """Whether it may leave few of many."""
        return self != AuditFilter()


# Who calls


async def callers(context: Context, digests: Sequence[bytes]) -> dict[bytes, Caller]:
    """Whose keys these are, by their digests; of those that count."""
    return {row[0]: _caller_of(*row) for row in await context.key_rows(SQL["callers"], (list(digests),))}


def _caller_of(
    digest: bytes,
    slot: int,
    shard: int,
    merchant: UUID,
    book: int,
    scopes: list[str],
    late_payments: LatePayments,
    refunds_beyond_balance: RefundsBeyondBalance,
    clock_offset_s: int,
    fee_plan: int,
    routing_profile: UUID | None,
    *fees: Any,
) -> Caller:
    return Caller(
        merchant=merchant,
        slot=slot,
        book=book,
        live=bool(book & 1),
        shard=shard,
        key_digest=bytes(digest),
        scopes=frozenset(scopes),
        fee_plan=fee_plan,
        fees=fees_in(*fees),
        late_payments=late_payments,
        refunds_beyond_balance=refunds_beyond_balance,
        clock_offset_s=clock_offset_s,
        routing_profile=routing_profile,
    )


async def operator(context: Context, digest: bytes) -> Operator | None:
    """Whose operator key this is, if it counts."""
    rows = await context.key_rows(SQL["operator"], (digest,))
    if not rows:
        return None
    [(id, name, found, shard)] = rows
    return Operator(id=id, name=name, digest=bytes(found), shard=shard)


# Where things are


async def place_merchant(context: Context, shard: int) -> Place:
    """Takes a slot for a new merchant, whose id carries it. One that is then not used stays empty for ever."""
    for _ in range(_PLACE_ATTEMPTS):
        row = await context.row(SQL["next_slot"])
        assert row is not None and row[0] <= SLOT_MAX, "there are slots left"
        place = Place(uuid7(row[0]), row[0], shard)
        if await context.row(SQL["place_merchant"], (place.slot, place.merchant, shard)) is not None:
            return place
    raise Retry("try_again", "every slot that was asked for was taken; nothing was written")


class Places:
    """Which shard a slot is on, as far as this process has asked: it never changes."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shards: dict[int, int] = {}

    async def shard_of(self, slot: int) -> int | None:
        """The shard, or None where the slot is nobody's."""
        found = self._shards.get(slot)
        if found is None:
            row = await self._context.row(SQL["placement_of_slot"], (slot,))
            if row is None:
                return None
            found = self._shards[slot] = row[1]
        return found


async def shard_of(context: Context, id: UUID) -> int:
    """The shard of an object whose id carries its merchant's slot; the house's, where it is nobody's."""
    found = await context.once(Places).shard_of(slot_of(id))
    return HOUSE_SHARD if found is None else found


async def emptiest_shard(context: Context) -> int:
    """The shard with fewest merchants."""
    row = await context.row(SQL["emptiest_shard"])
    assert row is not None, "there is a shard"
    shard: int = row[0]
    return shard


async def claimed(context: Context, kind: str, digest: bytes, shard: int) -> int:
    """The shard on which something is that has no slot: the first one that was named, for ever."""
    await enter_digest(context, kind, digest, 0, shard)
    row = await context.row(SQL["shard_of_digest"], (kind, digest))
    assert row is not None, "it has just been entered"
    found: int = row[0]
    return found


async def place_of(context: Context, merchant: UUID) -> Place | None:
    """Where a merchant is, by its id."""
    slot = slot_of(merchant)
    row = await context.row(SQL["placement_of_slot"], (slot,))
    return None if row is None or row[0] != merchant else Place(merchant, slot, row[1])


async def place_of_key(context: Context, key: UUID) -> KeyPlace | None:
    """Where an API key is, by its id."""
    slot = slot_of(key)
    row = await context.row(SQL["placement_of_slot"], (slot,))
    if row is None:
        return None
    place = Place(row[0], slot, row[1])
    found = await context.row(SQL["key_by_id"], (place.shard, slot * 2, slot * 2 + 1, key))
    return None if found is None else KeyPlace(place, bytes(found[0]), found[1])


async def enter_digest(context: Context, kind: str, digest: bytes, slot: int, shard: int) -> None:
    """Says where a digest leads. Until the row that it leads to is committed, it leads nowhere."""
    async with context.connection() as connection:
        await connection.execute(SQL["enter_digest"], (kind, digest, slot, shard))


# Lists: newest first, and one row more than the page has, the oldest or (before a place) the newest, if there are more


async def list_merchants(context: Context, window: Window, id: UUID | None = None) -> list[MerchantDetail]:
    """Merchants; or the one with this id."""
    rows = await _window_of(context, SQL["merchants"], window, {"id": id})
    return [_detail(row) for row in rows]


def _detail(row: Row) -> MerchantDetail:
    late_payments, refunds_beyond_balance, fee_plan, shard, *columns = row[7:]
    return MerchantDetail(
        merchant=merchant_of(row[:7]),
        late_payments=late_payments,
        refunds_beyond_balance=refunds_beyond_balance,
        fee_plan=fee_plan,
        fees=fees_in(*columns),
        shard=shard,
    )


async def list_keys(context: Context, place: Place, window: Window) -> list[ApiKeyRecord]:
    """A merchant's keys of both modes."""
    rows = await _window_of(context, SQL["keys_of_merchant"], window, {"shard": place.shard, "slot": place.slot})
    return [api_key_of(row) for row in rows]


async def list_audit(context: Context, chosen: AuditFilter, window: Window) -> Looked[AuditRecord]:
    """Entries of the audit trail; with a filter, those among the next LOOKED_AT."""
    back = window.before is not None
    way, place, end = ("newer", window.before, _LAST) if back else ("older", window.after or _LAST, _FIRST)
    asked = {**msgspec.structs.asdict(chosen), "place": place, "end": end, "limit": window.limit + 1}
    looked: tuple[datetime, UUID] | None = None
    if chosen.narrows:
        found = await context.named_rows(SQL[f"audit_looked_{way}"], {"place": place, "looked_at": LOOKED_AT})
        looked = next(((at, id) for at, id in found), None)
        asked["end"] = end if looked is None else looked[1]
    rows = await context.named_rows(SQL[f"audit_{way}"], asked)
    entries = [
        AuditRecord(id=id, at=at, actor=actor, action=action, subject=subject, detail=bytes(detail))
        for id, at, actor, action, subject, detail in rows
    ]
    return Looked(entries[::-1] if back else entries, looked)


async def list_operators(context: Context) -> list[tuple[OperatorRecord, int]]:
    """Every operator with the shard that it is on, oldest first."""
    return [(operator_of(row[:7]), row[7]) for row in await context.rows(SQL["operators"])]


async def _window_of(
    context: Context, query: LiteralString, window: Window, chosen: Mapping[str, object]
) -> Sequence[Row]:
    asked = {**chosen, "after": window.after, "before": window.before, "limit": window.limit + 1}
    rows = await context.named_rows(query, asked)
    return rows if window.before is None else rows[::-1]
