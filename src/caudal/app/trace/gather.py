"""Reads everything that is known of one payment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.contracts.envelope import PREFIXES, seq_of_event
from caudal.kernel import ids, sqlfile
from caudal.kernel.context import Context
from caudal.payins import JOBS, deposits_beside

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
_LOOKED_AT: Final = 4_096  # so many events or postings has one moment at most: a batch is far smaller
_OWNERS: Final = {
    "capture": "owner_of_operation",
    "void": "owner_of_operation",
    "refund": "owner_of_operation",
    "dep": "owner_of_deposit",
    "dispute": "owner_of_dispute",
    "disc": "owner_of_discrepancy",
    "evidence": "owner_of_evidence",
}
# What an id without its prefix may be, as logs, traces and tables have it; `capture` stands for every operation.
_BARE: Final = ("payin", "capture", "dep", "dispute", "disc", "evidence", "delivery")

Row = tuple[Any, ...]


class Asked(msgspec.Struct, frozen=True):
    """An attempt as it is kept with a payin."""

    provider: str
    begun_at: datetime
    rule: str = "default"
    why: str = ""
    ended: str | None = None
    reason: str | None = None
    ended_at: datetime | None = None


class Detail(msgspec.Struct, frozen=True):
    """What is wanted of the part of a payin that is kept as JSON."""

    deposits: tuple[UUID, ...] = ()
    reference: str | None = None
    attempts: tuple[Asked, ...] = ()


class PayinRow(NamedTuple):
    """A payin and whose it is; times of its own clock, amounts in minor units."""

    book: int
    status: str
    reason: str | None
    method: str
    country: str
    currency: str
    amount: int
    received: int
    fee: int
    authorized: int
    captured: int
    refunded: int
    disputed: int
    reference: str | None
    kept: bytes | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    available_on: date | None
    merchant: UUID
    clock_offset_s: int
    read_at: datetime


class Story(NamedTuple):
    """The rows, each kind in its order, named as the statement that reads them."""

    id: UUID
    payin: PayinRow
    detail: Detail
    rows: dict[str, list[Row]]
    webhook_days: int


def readings_of(text: str) -> list[str]:
    """The public ids that a text may mean: itself, or with every prefix what is 32 digits or a UUID."""
    try:
        return [ids.public(prefix, UUID(text)) for prefix in _BARE]
    except ValueError:
        return [text]


async def payin_of(context: Context, shard: int, text: str) -> UUID | None:
    """The payin that an id is about: its own, or that of whatever else has one."""
    prefix = text.rpartition("_")[0]
    if prefix == "evt":
        seq = seq_of_event(text)
        return None if seq is None else await _of_subject(context, shard, "subject_of_event", seq=seq)
    id = ids.parse(prefix, text)
    if prefix == "delivery" and id is not None:
        return await _of_subject(context, shard, "subject_of_delivery", id=id)
    if id is None or prefix == "payin":
        return id
    owner = await _rows(context, _OWNERS[prefix], shard=shard, id=id) if prefix in _OWNERS else []
    return owner[0][0] if owner else None


async def _of_subject(context: Context, shard: int, name: str, **asked: Any) -> UUID | None:
    """The payin of what an event, or its delivery, tells of."""
    found = await _rows(context, name, shard=shard, **asked)
    if not found:
        return None
    type, subject = found[0]
    prefix = PREFIXES.get(type.partition(".")[0], "")
    return await payin_of(context, shard, ids.public(prefix, subject)) if prefix else None


async def story_of(context: Context, shard: int, id: UUID) -> Story | None:
    """All rows about a payin, or None where there is no such payin."""
    found = await _rows(context, "payin", shard=shard, id=id)
    if not found:
        return None
    payin = PayinRow(*found[0])
    detail = Detail() if payin.kept is None else msgspec.json.decode(payin.kept, type=Detail)
    rows = {
        name: await _rows(context, name, shard=shard, id=id)
        for name in ("changes", "operations", "disputes", "discrepancies")
    }
    beside = deposits_beside(id, payin.method, max(1, len(detail.attempts)))
    rows["deposits"] = await _rows(context, "deposits", shard=shard, ids=[*detail.deposits, *beside])
    rows["evidence"] = await _rows(context, "evidence", shard=shard, disputes=[row[0] for row in rows["disputes"]])
    subjects = [id, *(row[0] for name, found in rows.items() if name != "changes" for row in found)]
    rows["tried"] = await _rows(context, "tried", shard=shard, kinds=list(JOBS), ids=subjects)
    moments = _moments(payin, rows)
    rows["batches"] = await _rows(context, "batches", shard=shard, moments=moments)
    numbered = {"shard": shard, "moments": moments, "subjects": subjects, "looked_at": _LOOKED_AT}
    rows["events"] = await _rows(context, "events", **numbered)
    rows["transfers"] = await _rows(context, "transfers", **numbered)
    rows["deliveries"] = await _deliveries(context, shard, payin.book, rows["events"], subjects)
    deliveries = [row[0] for row in rows["deliveries"]]
    rows["attempts"] = await _rows(context, "attempts", shard=shard, deliveries=deliveries)
    return Story(id, payin, detail, rows, context.settings.webhook_days)


async def _deliveries(context: Context, shard: int, book: int, events: list[Row], subjects: list[UUID]) -> list[Row]:
    moments = sorted({at for _, at, *_ in events})
    return await _rows(context, "deliveries", shard=shard, book=book, moments=moments, subjects=subjects)


def _moments(payin: PayinRow, rows: dict[str, list[Row]]) -> list[datetime]:
    """When something was written about a payin, as far as its rows say; both by its own clock and without it."""
    own: set[datetime] = {payin.created_at}
    own |= _times(rows, "changes", 5) | _times(rows, "operations", 6, 7) | _times(rows, "deposits", 9)
    own |= _times(rows, "disputes", 8, 9) | _times(rows, "evidence", 6, 7) | _times(rows, "discrepancies", 3, 4)
    ahead = timedelta(seconds=payin.clock_offset_s)
    return sorted(own | {at - ahead for at in own})


def _times(rows: dict[str, list[Row]], name: str, *columns: int) -> set[datetime]:
    return {row[column] for row in rows[name] for column in columns if row[column] is not None}


async def _rows(context: Context, name: str, **parameters: Any) -> list[Row]:
    if any(isinstance(value, Iterable) and not isinstance(value, str) and not value for value in parameters.values()):
        return []  # nothing can be equal to one of none
    return await context.named_rows(SQL[name], parameters)
