"""Captures, voids and refunds: what may be asked of a payin.

Each is intended in one commit and settled in another, with the provider's call in between. A refund's money leaves the
merchant with the intent (a request, refused beyond the balance unless the merchant's setting allows it) and comes back
if the refund fails.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger, settlement
from caudal.connectors import CAPABILITIES
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import FieldError, Refused
from caudal.kernel.http import encode
from caudal.merchants import refuse_ended
from caudal.payins import postings
from caudal.payins.decide.changing import (
    OPERATE,
    Changed,
    begun,
    book_record,
    changed,
    offset_of,
)
from caudal.payins.decide.money import line_of
from caudal.payins.model import (
    Kind,
    Operation,
    OperationDetail,
    Payin,
    Waiting,
    body_of,
    capture_body,
    refund_body,
)
from caudal.payins.rows import OPERATIONS, PAYINS
from caudal.payins.states import Happening, Status, after


class Begun(NamedTuple):
    """An operation with the payin it is about; `due` sweeps it up if nobody comes back with what came of it."""

    operation: Operation
    payin: Payin
    body: bytes
    due: Due | None = None


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What all three carry: the operation's id, who asks, and how long the request waits."""

    id: UUID
    payin: UUID
    book: int
    key_digest: bytes
    waiting: Waiting
    within: timedelta
    sweep_in: timedelta


def begin_capture(view: View, asked: Intent, *, amount_minor: int | None, final: bool) -> Decision | Refused:
    """Take what is authorized, all that is left unless an amount is named. Refuses: not_found, forbidden_transition,
    amount_too_large."""
    payin = _payin_of(view, asked)
    if isinstance(payin, Refused):
        return payin
    detail = payin.details()
    left = payin.authorized_minor - payin.captured_minor - detail.capturing_minor
    closed = detail.closed or detail.voiding or not left
    if after(payin.status, Happening.CAPTURE_REQUESTED) is None or detail.capture != "manual" or closed:
        return Refused("forbidden_transition", f"nothing of this payin waits to be captured (it is {payin.status})")
    if payin.expires_at <= view.at + offset_of(view, payin.book):
        return Refused("forbidden_transition", "the time for captures is over; what is left is being given back")
    amount = left if amount_minor is None else amount_minor
    if amount > left:
        return _too_large(f"{left} of the authorization is left to capture")
    new = msgspec.structs.replace(detail, capturing_minor=detail.capturing_minor + amount, closed=final)
    operation = _operation(view, asked, payin, "capture", amount, _detail(view, asked, final=final))
    # The payin's own row moves too: two captures at once share what is left of the authorization.
    return _begun(view, asked, operation, changed(view, payin, Happening.CAPTURE_REQUESTED, detail=new))


def begin_void(view: View, asked: Intent) -> Decision | Refused:
    """Give up a payin at its provider, or the rest of an authorization of which a part was captured.

    Refuses: not_found, forbidden_transition.
    """
    payin = _payin_of(view, asked)
    if isinstance(payin, Refused):
        return payin
    detail = payin.details()
    taken = payin.status is Status.PAID and not payin.holds_rest(detail)
    if after(payin.status, Happening.CANCEL_REQUESTED) is None or detail.capturing_minor or taken:
        return Refused("forbidden_transition", f"a payin that is {payin.status} cannot be cancelled")
    if detail.voiding:
        return Refused("forbidden_transition", "the payin is being cancelled")
    rest_minor = payin.authorized_minor - payin.captured_minor
    operation = _operation(view, asked, payin, "void", rest_minor, _detail(view, asked))
    new = msgspec.structs.replace(detail, voiding=True)
    # Nobody captures what is being given up, and the other way round.
    return _begun(view, asked, operation, changed(view, payin, Happening.CANCEL_REQUESTED, detail=new))


class RefundAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What of a refund is asked for. `sealed` is the payer's bank account, where it goes to one."""

    amount_minor: int | None
    note: str | None
    metadata: dict[str, str]
    sealed: bytes | None


def begin_refund(view: View, asked: Intent, wanted: RefundAsked) -> Decision | Refused:
    """Give money back, all that is left unless an amount is named. Refuses: not_found, forbidden_transition,
    amount_too_large, insufficient_funds, not_refundable."""
    payin = _payin_of(view, asked)
    if isinstance(payin, Refused):
        return payin
    if after(payin.status, Happening.REFUND_REQUESTED) is None:
        return Refused("forbidden_transition", f"a payin that is {payin.status} has nothing to refund")
    if payin.method in CAPABILITIES and CAPABILITIES[payin.method].refund == "none":
        return Refused("not_refundable", f"{payin.method} has no refunds")
    left = payin.received_minor - payin.refunded_minor - payin.disputed_minor
    amount = left if wanted.amount_minor is None else wanted.amount_minor
    if amount > left or left <= 0:
        return _too_large(f"{max(left, 0)} of the payin is left to refund")
    fee = line_of(view, payin).refund_fixed_minor
    taken = _taken(view, asked, payin, amount, fee)
    if isinstance(taken, Refused):
        return taken
    split, booked = taken
    detail = _detail(view, asked, note=wanted.note, metadata=wanted.metadata, parts=split.parts)
    operation = msgspec.structs.replace(
        _operation(view, asked, payin, "refund", amount, detail),
        fee_minor=fee,
        from_pending_minor=split.pending_minor,
        from_available_minor=amount + fee - split.pending_minor,
        sealed=wanted.sealed,
    )
    new = changed(view, payin, Happening.REFUND_REQUESTED, refunded_minor=payin.refunded_minor + amount)
    body = encode(refund_body(operation))
    created = Event(type="refund.created", subject=operation.id, book=payin.book, data=body)
    due = _sweep(view, operation, asked.sweep_in)
    return Decision(
        outcome=Begun(operation, new.payin, body, due),
        puts=(*new.puts, Put(OPERATIONS, operation), *ledger.puts(booked), *split.puts),
        events=(created, *ledger.events(booked)),
        due=(due,),
        subject=operation.id,
        pending_until=view.at + asked.within,
    )


def _taken(
    view: View, asked: Intent, payin: Payin, amount_minor: int, fee_minor: int
) -> tuple[settlement.Split, ledger.Posted] | Refused:
    """The refund's money, on its way; beyond the balance only where the merchant's setting allows it."""
    beyond = book_record(view, payin.book).refunds_beyond_balance == "allow"
    now = view.at + offset_of(view, payin.book)
    split = settlement.taken(
        view,
        id=asked.id,
        book=payin.book,
        currency=payin.currency,
        kind="refund",
        amount_minor=amount_minor,
        fee_minor=fee_minor,
        subject=asked.id,
        subject_kind="refund",
        payin=payin.id,
        days=payin.details().days or (payin.available_on or now.date(),),
        at=now,
        beyond_balance=beyond,
    )
    if isinstance(split, Refused):
        return split
    booked = ledger.post(
        view, postings.refund_requested(payin.book, payin.currency, asked.id, split, beyond_balance=beyond)
    )
    if isinstance(booked, ledger.Refused):
        return Refused("insufficient_funds", "the balance does not cover the refund and its fee")
    return split, booked


def _payin_of(view: View, asked: Intent) -> Payin | Refused:
    refusal = refuse_ended(view, asked.key_digest)
    if refusal is not None:
        return refusal
    payin = view.get(PAYINS, asked.payin)
    if payin is None or payin.book != asked.book:
        return Refused("not_found", "there is no such payin")
    return payin


def _too_large(detail: str) -> Refused:
    return Refused("amount_too_large", detail, errors=(FieldError(field="/amount", code="too_large", detail=detail),))


def _detail(view: View, asked: Intent, **fields: Any) -> OperationDetail:
    return OperationDetail(waiting=asked.waiting, sent_until=view.clock + asked.within, **fields)


def _operation(
    view: View, asked: Intent, payin: Payin, kind: Kind, amount_minor: int, detail: OperationDetail
) -> Operation:
    return begun(payin, asked.id, kind, amount_minor, view.at + offset_of(view, payin.book), detail)


def _begun(view: View, asked: Intent, operation: Operation, new: Changed) -> Decision:
    due = _sweep(view, operation, asked.sweep_in)
    return Decision(
        outcome=Begun(operation, new.payin, body_of_begun(operation, new.payin), due),
        puts=(Put(OPERATIONS, operation), *new.puts),
        due=(due,),
        subject=new.payin.id if operation.kind == "void" else operation.id,  # what the key's answer is about
        pending_until=view.at + asked.within,
    )


def _sweep(view: View, operation: Operation, sweep_in: timedelta) -> Due:
    return Due(at=view.clock + sweep_in, kind=OPERATE, subject=operation.id, book=operation.book)


def body_of_begun(operation: Operation, payin: Payin) -> bytes:
    """What the API answers with: a capture or a refund itself; of a void the payin."""
    match operation.kind:
        case "refund":
            return encode(refund_body(operation))
        case "capture":
            return encode(capture_body(operation))
        case "void":
            return encode(body_of(payin))
