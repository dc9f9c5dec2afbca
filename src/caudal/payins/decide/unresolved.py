"""What has no outcome yet: whether somebody may say that it happened, or that it did not."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.connectors import CAPABILITIES, OperationState, PaymentState
from caudal.kernel import ids
from caudal.kernel.commit import Decision, Due, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import AUDIT, AuditRecord, Operator, refuse_revoked
from caudal.payins.decide.changing import EXPIRE, OPERATE, SUBMIT
from caudal.payins.decide.disputes import SEND_EVIDENCE
from caudal.payins.decide.known import BY_HAND
from caudal.payins.decide.returns import RETURN, confirmed
from caudal.payins.model import Deposit, Operation, Payin, Settlement
from caudal.payins.rows import DEPOSITS, EVIDENCE, OPERATIONS, PAYINS
from caudal.payins.states import Status

# How long after a request's deadline nobody is expected to come back with an outcome.
MARGIN: Final = timedelta(seconds=3)


class ByHand(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says became of it, and why that is known."""

    operator: Operator
    subject: str
    happened: bool
    reason: str
    entry: UUID


def sent_until(row: object) -> datetime | None:
    """Until when, in real time, somebody may send a provider what this row is about, as far as that is known."""
    match row:
        case Payin():
            sent = row.details().submission
            return None if sent is None else sent.until
        case Operation():
            return row.details().sent_until
        case Deposit():
            return row.sent_until
    return None


def counts_from(row: object, payin: Payin | None) -> datetime | None:
    """From when on "not found" is an outcome, in real time: nobody sends it any more, and none can still appear.

    Of what is done with a payment it is none where the provider knows the same key again: it is ordered once more.
    """
    until = sent_until(row)
    abilities = None if payin is None else CAPABILITIES.get(payin.method)
    if until is None or abilities is None:
        return None
    may_come_to_nothing = row.status is Status.SUBMITTING if isinstance(row, Payin) else not abilities.deduplicates
    if not may_come_to_nothing:
        return None
    return until + timedelta(seconds=abilities.late_until_s) + MARGIN


def refuse_by_hand(view: View, due: Due, by: ByHand, version: int | None) -> Refused | None:
    """Why it may not be said: it has come to something, or may still. `version` is that of a deposit on its way back.

    Refuses: revoked keys, forbidden_transition.
    """
    refusal = refuse_revoked(view, by.operator.digest)
    if refusal is not None:
        return refusal
    if not _is_open(view, due, version):
        return Refused("forbidden_transition", "it has come to an outcome meanwhile")
    until = None if by.happened else counts_from(*_asked_for(view, due))
    if until is not None and view.clock < until:
        return Refused("forbidden_transition", f"the provider may still come to know it until {until:%H:%M:%S} UTC")
    return None


def _asked_for(view: View, due: Due) -> tuple[Payin | Operation | Deposit | None, Payin | None]:
    """What a provider was asked for, and its payin."""
    if due.kind == SUBMIT:
        payin = view.get(PAYINS, due.subject)
        return payin, payin
    row: Operation | Deposit | None = None
    if due.kind == OPERATE:
        row = view.get(OPERATIONS, due.subject)
    elif due.kind == RETURN:
        row = view.get(DEPOSITS, due.subject)
    if row is None or row.payin is None:
        return row, None
    return row, view.get(PAYINS, row.payin)


def _is_open(view: View, due: Due, version: int | None) -> bool:
    match due.kind:
        case k if k == SUBMIT:
            return _status(view.get(PAYINS, due.subject)) == "submitting"
        case k if k == EXPIRE:
            return _status(view.get(PAYINS, due.subject)) == "pending"
        case k if k == OPERATE:
            return _status(view.get(OPERATIONS, due.subject)) == "pending"
        case k if k == SEND_EVIDENCE:
            return _status(view.get(EVIDENCE, due.subject)) == "pending"
        case k if k == RETURN:
            deposit = view.get(DEPOSITS, due.subject)
            return deposit is not None and deposit.returning_version == version and deposit.returning_minor > 0
    return False


def _status(row: Any) -> str | None:
    return None if row is None else str(row.status)


def settled_by_hand(view: View, decision: Decision, by: ByHand) -> Decision:
    """The decision that an answer of the provider's would have led to, with its entry in the audit trail."""
    told = Settlement(id=by.subject, outcome="happened" if by.happened else "did_not_happen", reason=by.reason)
    audit = AuditRecord(
        id=by.entry,
        at=view.at,
        actor=ids.public("operator", by.operator.id),
        action="outcome.settled",
        subject=by.subject,
        detail=encode(told),
    )
    puts = (*decision.puts, Put(AUDIT, audit))
    return msgspec.structs.replace(decision, outcome=told, puts=puts, subject=None, finishes=None)


def return_by_hand(view: View, id: UUID, by: ByHand) -> Decision | Refused:
    """A return that has failed here was carried out after all: booked, with its entry in the audit trail.

    Refuses: revoked keys, not_found, forbidden_transition.
    """
    refusal = refuse_revoked(view, by.operator.digest)
    if refusal is not None:
        return refusal
    deposit = view.get(DEPOSITS, id)
    if deposit is None:
        return Refused("not_found", "there is no such deposit")
    decision = confirmed(view, deposit)
    if isinstance(decision, Refused):
        return decision
    return msgspec.structs.replace(settled_by_hand(view, decision, by), outcome=decision.outcome, subject=id)


def payment_by_hand(payin: Payin) -> PaymentState:
    """A payment that was made, as its provider would say it: authorized where it is captured by hand, else paid."""
    detail, card = payin.details(), CAPABILITIES[payin.method].card
    manual = detail.capture == "manual"
    return PaymentState(
        key=payin.key,
        account=str(payin.book >> 1),
        status="authorized" if manual else "paid",
        reference=detail.reference or BY_HAND,
        amount_minor=payin.amount_minor,
        currency=payin.currency,
        authorized_minor=payin.amount_minor if card else 0,
        captured_minor=0 if manual else payin.amount_minor,
        refunded_minor=0,
        reason=None,
        action=None,
        payer_page=None,
    )


def operation_by_hand(operation: Operation, payin: Payin) -> OperationState:
    """A capture, void or refund that was carried out, likewise."""
    return OperationState(
        key=operation.id.hex,
        payment_key=payin.asked(operation.details().attempt)[1],
        account=str(payin.book >> 1),
        kind=operation.kind,
        status="succeeded",
        reference=operation.id.hex,
        amount_minor=operation.amount_minor,
        currency=operation.currency,
        reason=None,
    )
