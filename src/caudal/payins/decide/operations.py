"""Captures, voids and refunds: what may be asked of a payin, and what comes of it.

Each is intended in one commit and settled in another, with the provider's call in between. A refund's money leaves the
merchant with the intent (a request, refused beyond the balance unless the merchant's setting allows it) and comes back
if the refund fails.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger, settlement
from caudal.connectors import CAPABILITIES, Declined, OperationState
from caudal.kernel.commit import Decision, Due, Event, Key, Put, View
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
    expiry_of,
    offset_of,
    waiting_key,
)
from caudal.payins.decide.discrepancies import odd
from caudal.payins.decide.money import earned, line_of, posted
from caudal.payins.model import (
    Kind,
    Operation,
    OperationDetail,
    Payin,
    RefusedOperation,
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
    operation = _operation(view, asked, payin, "capture", amount, OperationDetail(final=final, waiting=asked.waiting))
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
    operation = _operation(view, asked, payin, "void", rest_minor, OperationDetail(waiting=asked.waiting))
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
    day = payin.available_on or (view.at + offset_of(view, payin.book)).date()
    taken = _taken(view, asked, payin, amount, fee, day)
    if isinstance(taken, Refused):
        return taken
    split, booked = taken
    detail = OperationDetail(note=wanted.note, metadata=wanted.metadata, day=day, waiting=asked.waiting)
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
    view: View, asked: Intent, payin: Payin, amount_minor: int, fee_minor: int, day: date
) -> tuple[settlement.Split, ledger.Posted] | Refused:
    """The refund's money, on its way; beyond the balance only where the merchant's setting allows it."""
    beyond = book_record(view, payin.book).refunds_beyond_balance == "allow"
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
        day=day,
        at=view.at + offset_of(view, payin.book),
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


def settle(view: View, *, id: UUID, said: OperationState | Declined, due: Due | None = None) -> Decision:
    """What came of an operation. One that is settled, or still pending at the provider, stays as it is, and whoever
    asked for it is answered so; where the provider says now that it ended otherwise, that is a discrepancy. A void
    whose end contradicts the payin's money is one, too, and is settled all the same.
    """
    operation = view.get(OPERATIONS, id)
    assert operation is not None, "the caller has looked"
    payin = view.get(PAYINS, operation.payin)
    assert payin is not None, "an operation is of a payin"
    pending = isinstance(said, OperationState) and said.status == "pending"
    if operation.status != "pending" or pending:
        done = (due,) if due is not None and operation.status != "pending" else ()
        stands = Begun(operation, payin, _body(operation, payin))
        if isinstance(said, OperationState) and said.status not in ("pending", operation.status):
            return odd(view, payin.book, payin.method, "contradicts_final_state", payin.id, said, done, outcome=stands)
        return Decision(outcome=stands, done=done, finishes=_finishes(view, operation))
    succeeded = isinstance(said, OperationState) and said.status == "succeeded"
    detail = operation.details()
    new = msgspec.structs.replace(
        operation,
        version=operation.version + 1,
        status="succeeded" if succeeded else "failed",
        reason=None if succeeded else said.reason,
        detail=encode(msgspec.structs.replace(detail, waiting=None)),
        settled_at=view.at + offset_of(view, operation.book),
    )
    outcome = _SETTLE[operation.kind](view, new, payin, succeeded)
    told = Decision()
    if outcome.contradicts:
        evidence = said if isinstance(said, OperationState) else _refusal(operation, said)
        told = odd(view, payin.book, payin.method, "contradicts_final_state", payin.id, evidence, (), outcome=None)
    return Decision(
        outcome=Begun(new, outcome.payin, _body(new, outcome.payin)),
        puts=(Put(OPERATIONS, new), *outcome.puts, *told.puts),
        events=(*outcome.events, *told.events),
        done=(*outcome.done, *(() if due is None else (due,))),
        due=outcome.due,
        subject=operation.id,
        finishes=_finishes(view, operation),
    )


def _refusal(operation: Operation, said: Declined) -> RefusedOperation:
    """A refusal that says of what it is one."""
    key, payment_key = operation.id.hex, operation.payin.hex
    return RefusedOperation(
        key=key, payment_key=payment_key, kind=operation.kind, reason=said.reason, detail=said.detail
    )


def leave(view: View, *, id: UUID) -> Decision:
    """The request's deadline has come first: its key gets the operation as it is, pending most likely."""
    operation = view.get(OPERATIONS, id)
    assert operation is not None, "only what was begun is left"
    payin = view.get(PAYINS, operation.payin)
    assert payin is not None, "an operation is of a payin"
    stands = Begun(operation, payin, _body(operation, payin))
    return Decision(outcome=stands, finishes=_finishes(view, operation))


def _finishes(view: View, operation: Operation) -> Key | None:
    """The key of the request that waits for it, if one does."""
    waiting = operation.details().waiting
    return None if waiting is None else waiting_key(view, operation.book, waiting.key)


class _Settled(NamedTuple):
    payin: Payin
    puts: tuple[Put, ...] = ()
    events: tuple[Event, ...] = ()
    due: tuple[Due, ...] = ()
    done: tuple[Due, ...] = ()
    contradicts: bool = False


def _capture_settled(view: View, operation: Operation, payin: Payin, succeeded: bool) -> _Settled:
    detail = payin.details()
    detail = msgspec.structs.replace(detail, capturing_minor=detail.capturing_minor - operation.amount_minor)
    event = Event(
        type="capture.succeeded" if succeeded else "capture.failed",
        subject=operation.id,
        book=payin.book,
        data=encode(capture_body(operation)),
    )
    if not succeeded:
        # What was not taken may be asked for again.
        detail = msgspec.structs.replace(detail, closed=detail.closed and not operation.details().final)
        again = changed(view, payin, Happening.CAPTURE_FAILED, detail=detail)
        done, due = _rest_expiry(view, payin, again.payin) if payin.status is Status.PAID else ((), ())
        return _Settled(again.payin, again.puts, (event,), due, done)
    offset = offset_of(view, payin.book)
    total = payin.captured_minor + operation.amount_minor
    money = earned(
        view,
        payin,
        amount_minor=operation.amount_minor,
        total_minor=total,
        kind="capture",
        subject=operation.id,
        now=view.at + offset,
    )
    first = payin.status is not Status.PAID
    new = changed(
        view,
        payin,
        Happening.CAPTURED,
        "payin.paid" if first else "payin.captured",
        detail=detail,
        captured_minor=total,
        received_minor=payin.received_minor + operation.amount_minor,
        fee_minor=payin.fee_minor + money.fee_minor,
        paid_at=payin.paid_at or view.at + offset,
        available_on=money.day,
    )
    done, due = _rest_expiry(view, payin, new.payin)
    events = (event, *new.events, *money.events)
    return _Settled(new.payin, (*new.puts, *money.puts), events, (*money.due, *due), done)


def _rest_expiry(view: View, before: Payin, paid: Payin) -> tuple[tuple[Due, ...], tuple[Due, ...]]:
    """Work that goes, and work that comes, so that what is left of an authorization is given back in time."""
    expiry = (expiry_of(paid, offset_of(view, paid.book)),)
    if not paid.holds_rest(paid.details()):
        return expiry, ()
    stands = before.status is Status.AUTHORIZED or before.holds_rest(before.details())
    return ((), ()) if stands else (expiry, expiry)


def _void_settled(view: View, operation: Operation, payin: Payin, succeeded: bool) -> _Settled:
    """What was given up is over. A void that failed changes nothing, and may be asked for again while the payin lasts;
    after that the payer's money stays held, which a person has to hear of."""
    if succeeded and payin.status is Status.PAID:
        return _rest_released(view, payin)
    happening = Happening.CANCELLED if succeeded else Happening.CANCEL_FAILED
    if after(payin.status, happening) is None:
        held = not succeeded and operation.amount_minor > 0 and payin.status is not Status.CANCELLED
        return _Settled(payin, contradicts=held)
    if not succeeded:
        detail = msgspec.structs.replace(payin.details(), voiding=False)
        stays = changed(view, payin, happening, detail=detail)
        over = payin.expires_at <= view.at + offset_of(view, payin.book)
        return _Settled(stays.payin, stays.puts, contradicts=over and payin.holds_rest(detail))
    new = changed(view, payin, Happening.CANCELLED, "payin.cancelled", reason="requested_by_merchant")
    return _Settled(new.payin, new.puts, new.events, done=(expiry_of(payin, offset_of(view, payin.book)),))


def _rest_released(view: View, payin: Payin) -> _Settled:
    """The rest of an authorization is its payer's again; where none was left, the provider gave up what is paid."""
    detail = payin.details()
    if not payin.holds_rest(detail):
        return _Settled(payin, contradicts=True)
    detail = msgspec.structs.replace(detail, closed=True, voiding=False)
    new = changed(view, payin, Happening.REST_RELEASED, detail=detail)
    return _Settled(new.payin, new.puts, done=(expiry_of(payin, offset_of(view, payin.book)),))


def _refund_settled(view: View, operation: Operation, payin: Payin, succeeded: bool) -> _Settled:
    event = Event(
        type="refund.succeeded" if succeeded else "refund.failed",
        subject=operation.id,
        book=payin.book,
        data=encode(refund_body(operation)),
    )
    if succeeded:
        from_bank = payin.method not in CAPABILITIES
        group = postings.refund_confirmed(
            payin.book, payin.currency, operation.id, operation.amount_minor, from_bank=from_bank
        )
        return _Settled(payin, ledger.puts(posted(view, group)), (event,))
    now = view.at + offset_of(view, payin.book)
    back = settlement.given_back(
        view,
        id=ledger.transfer_id(operation.id, "statement.refund_failure"),
        book=payin.book,
        currency=payin.currency,
        kind="refund_failure",
        amount_minor=operation.amount_minor,
        fee_minor=operation.fee_minor,
        from_pending_minor=operation.from_pending_minor,
        subject=operation.id,
        subject_kind="refund",
        payin=payin.id,
        day=operation.details().day or now.date(),
        at=now,
    )
    group = postings.refund_failed(payin.book, payin.currency, operation.id, back)
    new = changed(
        view,
        payin,
        Happening.REFUND_FAILED,
        refunded_minor=payin.refunded_minor - operation.amount_minor,
    )
    return _Settled(new.payin, (*new.puts, *ledger.puts(posted(view, group)), *back.puts), (event,), due=back.due)


_SETTLE = {"capture": _capture_settled, "void": _void_settled, "refund": _refund_settled}


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


def _operation(
    view: View, asked: Intent, payin: Payin, kind: Kind, amount_minor: int, detail: OperationDetail
) -> Operation:
    return begun(payin, asked.id, kind, amount_minor, view.at + offset_of(view, payin.book), detail)


def _begun(view: View, asked: Intent, operation: Operation, new: Changed) -> Decision:
    due = _sweep(view, operation, asked.sweep_in)
    return Decision(
        outcome=Begun(operation, new.payin, _body(operation, new.payin), due),
        puts=(Put(OPERATIONS, operation), *new.puts),
        due=(due,),
        subject=new.payin.id if operation.kind == "void" else operation.id,  # what the key's answer is about
        pending_until=view.at + asked.within,
    )


def _sweep(view: View, operation: Operation, sweep_in: timedelta) -> Due:
    return Due(at=view.clock + sweep_in, kind=OPERATE, subject=operation.id, book=operation.book)


def _body(operation: Operation, payin: Payin) -> bytes:
    """What the API answers with: a capture or a refund itself; of a void the payin."""
    match operation.kind:
        case "refund":
            return encode(refund_body(operation))
        case "capture":
            return encode(capture_body(operation))
        case "void":
            return encode(body_of(payin))
