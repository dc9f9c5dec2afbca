"""What every decision on a payin shares: the change, its line of history, its event, the key that waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.kernel.commit import KEYS, Due, Event, Key, Put, View
from caudal.kernel.http import encode
from caudal.ledger import transfer_id
from caudal.merchants import BOOKS, BookRecord
from caudal.payins.model import Change, Detail, Kind, Operation, OperationDetail, Payin, attempt_of, body_of
from caudal.payins.rows import CHANGES, PAYINS
from caudal.payins.states import Happening, Status, after

EXPIRE: Final = "payin.expire"
SUBMIT: Final = "payin.submit"
OPERATE: Final = "payin.operate"


class Created(NamedTuple):
    """A payin, and its body as the answer and the event have it; `was` is the state that it left by what was said."""

    payin: Payin
    body: bytes
    was: Status | None = None


class Changed(NamedTuple):
    """A changed payin with the rows and the event that go with it."""

    payin: Payin
    body: bytes
    puts: tuple[Put, ...]
    events: tuple[Event, ...]


def changed(
    view: View,
    payin: Payin,
    happening: Happening,
    event: str | None = None,
    *,
    detail: Detail | None = None,
    **fields: Any,
) -> Changed:
    """The payin after a happening that the table allows, one version on; whoever listens hears of it as `event`."""
    status = after(payin.status, happening)
    assert status is not None, f"the caller has asked the table: {happening} of a payin that is {payin.status}"
    if detail is not None:
        fields["detail"] = encode(detail)
    new = msgspec.structs.replace(payin, version=payin.version + 1, status=status, **fields)
    body = encode(body_of(new, detail=detail))
    puts = (Put(PAYINS, new), Put(CHANGES, history(new, happening, view.at)))
    events = () if event is None else (Event(type=event, subject=payin.id, book=payin.book, data=body),)
    return Changed(new, body, puts, events)


def history(payin: Payin, happening: Happening, at: datetime) -> Change:
    """The line of history of a payin that has just changed."""
    return Change(
        payin=payin.id,
        number=payin.version,
        status=payin.status,
        reason=payin.reason,
        event=happening,
        received_minor=payin.received_minor,
        at=at,
    )


def offset_of(view: View, book: int) -> timedelta:
    """How far the clock of a test book was moved; nothing for a live one, whose row need not be read."""
    record = None if book & 1 else view.get(BOOKS, book)
    return timedelta(seconds=0 if record is None else record.clock_offset_s)


def book_record(view: View, book: int) -> BookRecord:
    """A book's settings."""
    record = view.get(BOOKS, book)
    assert record is not None, "a book that has a payin is never removed"
    return record


def waiting_key(view: View, book: int, digest: bytes) -> Key:
    """The key of a request that waits, read so that it can be finished with this decision."""
    key = Key(book=book, digest=digest, fingerprint=b"")
    view.get(KEYS, key.place)
    return key


def begun(
    payin: Payin, id: UUID, kind: Kind, amount_minor: int, at: datetime, detail: OperationDetail | None = None
) -> Operation:
    """A capture, a void or a refund that is not settled yet."""
    return Operation(
        id=id,
        book=payin.book,
        payin=payin.id,
        version=1,
        kind=kind,
        status="pending",
        reason=None,
        currency=payin.currency,
        amount_minor=amount_minor,
        fee_minor=0,
        from_pending_minor=0,
        from_available_minor=0,
        detail=None if detail is None else encode(detail),
        sealed=None,
        created_at=at,
        settled_at=None,
    )


def void_of(payin: Payin, amount_minor: int, at: datetime, key: str | None = None) -> Operation:
    """What gives an authorization back that nobody wants any more; the worker asks the provider for it.

    `key` is by which the provider knows the payment, where that may be an attempt before the last.
    """
    if key is None or not payin.is_earlier(key):
        return begun(payin, transfer_id(payin.id, "void"), "void", amount_minor, at)
    of = attempt_of(key)
    assert of is not None, "it is of this payin"
    detail = OperationDetail(attempt=of[1])
    return begun(payin, transfer_id(payin.id, "void", of[1]), "void", amount_minor, at, detail)


def void_again(failed: UUID) -> UUID:
    """The id of the void by which an operator has the same asked for once more, whichever case says that it failed."""
    return transfer_id(failed, "void")


def expiry_of(payin: Payin, offset: timedelta) -> Due:
    """The due work that lets a payin expire."""
    return Due(at=payin.expires_at - offset, kind=EXPIRE, subject=payin.id, book=payin.book)
