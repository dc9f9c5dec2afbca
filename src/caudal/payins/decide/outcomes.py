"""What comes of captures, voids and refunds: settled once, or left when a request can wait no longer."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger, settlement
from caudal.connectors import CAPABILITIES, Declined, OperationState
from caudal.kernel.commit import Decision, Due, Event, Key, Put, View
from caudal.kernel.http import encode
from caudal.payins import postings
from caudal.payins.decide.changing import changed, expiry_of, offset_of, waiting_key
from caudal.payins.decide.discrepancies import held_of, odd
from caudal.payins.decide.money import earned, posted
from caudal.payins.decide.operations import Begun, body_of_begun
from caudal.payins.model import DiscrepancyKind, Operation, Payin, RefusedOperation, capture_body, refund_body
from caudal.payins.rows import OPERATIONS, PAYINS
from caudal.payins.states import Happening, Status, after

_RELEASED: Final = "payin.rest_released"


def settle(view: View, *, id: UUID, said: OperationState | Declined, due: Due | None = None) -> Decision:
    """What came of an operation. One that is settled, or still pending at the provider, stays as it is, and whoever
    asked for it is answered so. Another amount than ours settles nothing and is a discrepancy, and so is another end
    than the one that it was settled with. A void whose end contradicts the payin's money is one, too, and is settled
    all the same.
    """
    operation = view.get(OPERATIONS, id)
    assert operation is not None, "the caller has looked"
    payin = view.get(PAYINS, operation.payin)
    assert payin is not None, "an operation is of a payin"
    detail = operation.details()
    if isinstance(said, OperationState) and _is_otherwise(operation, said):
        stands = Begun(operation, payin, body_of_begun(operation, payin))
        return _odd(view, operation, payin, said, (), outcome=stands, kind="other_amount")
    pending = isinstance(said, OperationState) and said.status == "pending"
    if operation.status != "pending" or pending:
        done = (due,) if due is not None and operation.status != "pending" else ()
        stands = Begun(operation, payin, body_of_begun(operation, payin))
        if isinstance(said, OperationState) and said.status not in ("pending", operation.status):
            return _odd(view, operation, payin, said, done, outcome=stands)
        return Decision(outcome=stands, done=done, finishes=_finishes(view, operation))
    succeeded = isinstance(said, OperationState) and said.status == "succeeded"
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
        evidence = said if isinstance(said, OperationState) else _refusal(operation, payin, said)
        told = _odd(view, operation, payin, evidence, (), outcome=None)
    return Decision(
        outcome=Begun(new, outcome.payin, body_of_begun(new, outcome.payin)),
        puts=(Put(OPERATIONS, new), *outcome.puts, *told.puts),
        events=(*outcome.events, *told.events),
        done=(*outcome.done, *(() if due is None else (due,))),
        due=outcome.due,
        subject=operation.id,
        finishes=_finishes(view, operation),
    )


def _is_otherwise(operation: Operation, said: OperationState) -> bool:
    """Whether it is of another amount than ours; how much a void gives up, its provider alone knows."""
    ours = (operation.amount_minor, operation.currency)
    return operation.kind != "void" and (said.amount_minor, said.currency) != ours


def _odd(
    view: View,
    operation: Operation,
    payin: Payin,
    said: OperationState | RefusedOperation,
    done: tuple[Due, ...],
    *,
    outcome: object,
    kind: DiscrepancyKind = "contradicts_final_state",
) -> Decision:
    held, (who, _) = held_of(payin, operation=operation), payin.asked(operation.details().attempt)
    return odd(view, payin.book, who, kind, said, done, held=held, payin=payin.id, outcome=outcome)


def _refusal(operation: Operation, payin: Payin, said: Declined) -> RefusedOperation:
    """A refusal that says of what it is one."""
    key, payment_key = operation.id.hex, payin.asked(operation.details().attempt)[1]
    return RefusedOperation(
        key=key, payment_key=payment_key, kind=operation.kind, reason=said.reason, detail=said.detail
    )


def leave(view: View, *, id: UUID) -> Decision:
    """The request's deadline has come first: its key gets the operation as it is, pending most likely."""
    operation = view.get(OPERATIONS, id)
    assert operation is not None, "only what was begun is left"
    payin = view.get(PAYINS, operation.payin)
    assert payin is not None, "an operation is of a payin"
    stands = Begun(operation, payin, body_of_begun(operation, payin))
    return Decision(outcome=stands, finishes=_finishes(view, operation))


def send(view: View, *, id: UUID, within: timedelta) -> Decision:
    """It is about to be ordered for the first time, `within` this time. The outcome is whether it still has to be."""
    operation = view.get(OPERATIONS, id)
    assert operation is not None, "only what was begun is sent"
    detail = operation.details()
    if operation.status != "pending" or detail.sent_until is not None:
        return Decision(outcome=False)
    sent = encode(msgspec.structs.replace(detail, sent_until=view.clock + within))
    new = msgspec.structs.replace(operation, version=operation.version + 1, detail=sent)
    return Decision(outcome=True, puts=(Put(OPERATIONS, new),))


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
    if money.day not in detail.days:
        detail = msgspec.structs.replace(detail, days=tuple(sorted((*detail.days, money.day))))
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
    if operation.details().final and payin.authorized_minor - total > detail.capturing_minor:
        events += (Event(type=_RELEASED, subject=payin.id, book=payin.book, data=new.body),)
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
    if operation.details().attempt is not None:  # of a payment that carries no payin
        return _Settled(payin, contradicts=not succeeded)
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
    new = changed(view, payin, Happening.REST_RELEASED, _RELEASED, detail=detail)
    return _Settled(new.payin, new.puts, new.events, done=(expiry_of(payin, offset_of(view, payin.book)),))


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
        parts=operation.details().parts,
        subject=operation.id,
        subject_kind="refund",
        payin=payin.id,
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
