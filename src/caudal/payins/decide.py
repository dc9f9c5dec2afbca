"""The judgement of payins: (what is, what is asked) → decision or refusal. Pure: no clock, connection or chance."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import DepositReport, spei
from caudal.kernel import ids
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.merchants import (
    AUDIT,
    BOOKS,
    FEE_PLANS,
    AuditRecord,
    BookRecord,
    Operator,
    fee_minor,
    refuse_ended,
    refuse_revoked,
)
from caudal.payins import postings
from caudal.payins.model import Change, Deposit, DepositAccount, Detail, PayerSeal, Payin, body_of, deposit_body
from caudal.payins.rows import CHANGES, DEPOSIT_ACCOUNTS, DEPOSITS, PAYERS, PAYINS
from caudal.payins.states import Happening, Status, after

EXPIRE: Final = "payin.expire"
RETURN: Final = "deposit.return"
FAMILY: Final = "instant_transfer"
_NUMBERS: Final = 10**11


class Created(NamedTuple):
    """A new payin, and its body as the answer and the event have it."""

    payin: Payin
    body: bytes


def create(
    view: View,
    *,
    payin: Payin,
    detail: Detail,
    expires_in: timedelta | None,
    clabe_prefix: str,
    sealed: bytes | None,
    key_digest: bytes,
    payer_page: str | None,
) -> Decision | Refused:
    """A payin that waits for the payer. `expires_in` unless the merchant named the time."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    book = None if payin.book & 1 else view.get(BOOKS, payin.book)
    offset = timedelta(seconds=0 if book is None else book.clock_offset_s)
    now = view.at + offset
    expires_at = payin.expires_at if expires_in is None else now + expires_in
    if expires_at <= now:
        error = FieldError(field="/expires_at", code="in_the_past", detail="this time has passed")
        return Invalid("invalid_request", "the request has errors", errors=(error,))
    number = (view.next_event_seq * 2 + (payin.book & 1)) % _NUMBERS
    detail = msgspec.structs.replace(detail, clabe=spei.of_number(clabe_prefix, number))
    payin = msgspec.structs.replace(
        payin, deposit_number=number, detail=encode(detail), created_at=now, expires_at=expires_at
    )
    body = encode(body_of(payin, payer_page, detail))
    puts = [Put(PAYINS, payin), Put(DEPOSIT_ACCOUNTS, DepositAccount(number=number, payin=payin.id, book=payin.book))]
    if sealed is not None:
        puts.append(Put(PAYERS, PayerSeal(payin=payin.id, book=payin.book, sealed=sealed)))
    return Decision(
        outcome=Created(payin, body),
        puts=tuple(puts),
        events=(Event(type="payin.created", subject=payin.id, book=payin.book, data=body),),
        due=(Due(at=expires_at - offset, kind=EXPIRE, subject=payin.id, book=payin.book),),
        subject=payin.id,
    )


def cancel(view: View, *, id: UUID, book: int, key_digest: bytes) -> Decision | Refused:
    """The merchant gives a pending payin up. Money that comes all the same is unapplied."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    payin = view.get(PAYINS, id)
    if payin is None or payin.book != book:
        return Refused("not_found", "there is no such payin")
    if after(payin.status, Happening.CANCELLED) is None:
        return Refused("forbidden_transition", f"a payin that is {payin.status} cannot be cancelled")
    return _changed(view, payin, Happening.CANCELLED, reason="requested_by_merchant")


def expire(view: View, *, due: Due) -> Decision:
    """Time passed. The clock of a test book may have been moved."""
    payin, book = view.get(PAYINS, due.subject), view.get(BOOKS, due.book)
    assert payin is not None and book is not None, "due work names what there is"
    now = view.at + timedelta(seconds=book.clock_offset_s)
    if after(payin.status, Happening.TIME_PASSED) is None:
        return Decision(outcome=payin, done=(due,))
    if payin.expires_at > now:
        later = msgspec.structs.replace(due, at=payin.expires_at - timedelta(seconds=book.clock_offset_s), attempt=0)
        # Somebody else may have moved it there: the same work at the same time is one piece.
        return Decision(outcome=payin, done=(due, later), due=(later,))
    return _changed(view, payin, Happening.TIME_PASSED, reason="underpaid" if payin.received_minor else None, done=due)


def _changed(
    view: View, payin: Payin, happening: Happening, *, reason: str | None, done: Due | None = None
) -> Decision:
    status = after(payin.status, happening)
    assert status is not None, "the caller has asked the table"
    changed = msgspec.structs.replace(payin, version=payin.version + 1, status=status, reason=reason)
    body = encode(body_of(changed))
    return Decision(
        outcome=Created(changed, body),
        puts=(Put(PAYINS, changed), Put(CHANGES, _history(changed, happening, view.at))),
        events=(Event(type=f"payin.{status}", subject=payin.id, book=payin.book, data=body),),
        done=() if done is None else (done,),
        subject=payin.id,
    )


def _history(payin: Payin, happening: Happening, at: datetime) -> Change:
    return Change(
        payin=payin.id,
        number=payin.version,
        status=payin.status,
        reason=payin.reason,
        event=happening,
        received_minor=payin.received_minor,
        at=at,
    )


class Split(NamedTuple):
    """What a deposit is for: how much pays the payin now, how much is left over, and why."""

    applied_minor: int
    unapplied_minor: int
    happening: Happening | None
    reason: str | None


def split(payin: Payin | None, amount_minor: int, currency: str, late_payments: str) -> Split:
    """The treatment of a deposit (docs/money.md, "What a deposit is for"), in one documented order."""
    if payin is None:
        return Split(0, amount_minor, None, "unknown_account")
    if currency != payin.currency:
        return Split(0, amount_minor, None, "wrong_currency")
    if payin.status is Status.EXPIRED and late_payments != "accept":
        return Split(0, amount_minor, None, "late")
    if payin.status not in (Status.PENDING, Status.EXPIRED):
        return Split(0, amount_minor, None, "closed")
    missing = payin.amount_minor - payin.received_minor
    if amount_minor < missing:
        return Split(0, amount_minor, Happening.PART_RECEIVED, "partial")
    surplus = amount_minor - missing
    return Split(missing, surplus, Happening.ALL_RECEIVED, "surplus" if surplus else None)


def deposit(
    view: View, *, id: UUID, book: int, payin_id: UUID | None, fee_plan: int, report: DepositReport, sealed: bytes
) -> Decision | Refused:
    """Money has arrived: applied to its payin, held until the rest comes, or unapplied. Repetitions change nothing."""
    known = view.get(DEPOSITS, id)
    if known is not None:
        same = (known.account, known.currency, known.amount_minor)
        if same != (report.account, report.currency, report.amount_minor):
            return Refused("contradiction", "this tracking key was reported before with other content")
        return Decision(outcome=known)
    payin = None if payin_id is None else view.get(PAYINS, payin_id)
    settings = None if payin is None else view.get(BOOKS, book)
    part = split(payin, report.amount_minor, report.currency, "accept" if settings is None else settings.late_payments)
    new = Deposit(
        id=id,
        book=book,
        version=1,
        provider=report.provider,
        tracking_key=report.tracking_key,
        account=report.account,
        currency=report.currency,
        amount_minor=report.amount_minor,
        applied_minor=part.applied_minor,
        unapplied_minor=part.unapplied_minor,
        returning_minor=0,
        returned_minor=0,
        payin=payin_id,
        reason=part.reason,
        sealed=sealed,
        created_at=view.at,
    )
    if payin is None or settings is None or part.happening is None:
        return _unapplied(view, new)
    if part.happening is Happening.PART_RECEIVED:
        return _held(view, new, payin)
    return _paid(view, new, payin, settings, fee_plan)


def _unapplied(view: View, new: Deposit) -> Decision | Refused:
    posted = _posted(
        view,
        postings.received(
            new.book, new.currency, new.id, applied_minor=0, unapplied_minor=new.amount_minor, held_minor=0, fee_minor=0
        ),
    )
    return Decision(outcome=new, puts=(Put(DEPOSITS, new), *ledger.puts(posted)), events=(_deposit_event(new),))


def _held(view: View, new: Deposit, payin: Payin) -> Decision | Refused:
    detail = payin.details()
    changed = msgspec.structs.replace(
        payin,
        version=payin.version + 1,
        received_minor=payin.received_minor + new.amount_minor,
        detail=encode(msgspec.structs.replace(detail, deposits=(*detail.deposits, new.id))),
    )
    posted = _posted(
        view,
        postings.received(
            new.book, new.currency, new.id, applied_minor=0, unapplied_minor=new.amount_minor, held_minor=0, fee_minor=0
        ),
    )
    history = _history(changed, Happening.PART_RECEIVED, view.at)
    event = Event(type="payin.received", subject=payin.id, book=payin.book, data=encode(body_of(changed)))
    puts = (Put(PAYINS, changed), Put(CHANGES, history), Put(DEPOSITS, new), *ledger.puts(posted))
    return Decision(outcome=new, puts=puts, events=(event,))


def _paid(view: View, new: Deposit, payin: Payin, settings: BookRecord, fee_plan: int) -> Decision | Refused:
    plan = view.get(FEE_PLANS, (payin.book, fee_plan))
    assert plan is not None, "a plan that priced a payin is never removed"
    fee = fee_minor(plan, FAMILY, payin.currency, payin.amount_minor)
    offset = timedelta(seconds=settings.clock_offset_s)
    changed = _settled(payin, new, fee, view.at + offset)
    held = [_applied(deposit) for deposit in view.get_all(DEPOSITS, payin.details().deposits)]
    assert sum(d.amount_minor for d in held) == payin.received_minor, "held deposits make what was received"
    group = postings.received(
        new.book,
        new.currency,
        new.id,
        applied_minor=new.applied_minor,
        unapplied_minor=new.unapplied_minor,
        held_minor=payin.received_minor,
        fee_minor=fee,
    )
    events = [Event(type="payin.paid", subject=payin.id, book=payin.book, data=encode(body_of(changed)))]
    if new.unapplied_minor:
        events.append(_deposit_event(new))
    return Decision(
        outcome=new,
        puts=(
            Put(PAYINS, changed),
            Put(CHANGES, _history(changed, Happening.ALL_RECEIVED, view.at)),
            Put(DEPOSITS, new),
            *(Put(DEPOSITS, deposit) for deposit in held),
            *ledger.puts(_posted(view, group)),
        ),
        events=tuple(events),
        done=(Due(at=payin.expires_at - offset, kind=EXPIRE, subject=payin.id, book=payin.book),),
    )


def _settled(payin: Payin, new: Deposit, fee: int, paid_at: datetime) -> Payin:
    """The payin with all its money: the fee is charged now, once."""
    status = after(payin.status, Happening.ALL_RECEIVED)
    assert status is not None, "split() asked for a payin that can be paid"
    detail = payin.details()
    return msgspec.structs.replace(
        payin,
        version=payin.version + 1,
        status=status,
        reason="late" if payin.status is Status.EXPIRED else None,
        received_minor=payin.amount_minor,
        fee_minor=fee,
        detail=encode(msgspec.structs.replace(detail, deposits=(*detail.deposits, new.id))),
        paid_at=paid_at,
    )


def _applied(deposit: Deposit | None) -> Deposit:
    """A deposit that was held until the rest came."""
    assert deposit is not None, "a held deposit is never removed"
    return msgspec.structs.replace(
        deposit,
        version=deposit.version + 1,
        applied_minor=deposit.amount_minor,
        unapplied_minor=0,
        reason=None,
    )


def _deposit_event(deposit: Deposit, type: str = "deposit.unapplied") -> Event:
    return Event(type=type, subject=deposit.id, book=deposit.book, data=encode(deposit_body(deposit)))


def _posted(view: View, group: tuple[ledger.Transfer, ...]) -> ledger.Posted:
    """Books facts: the ledger may not refuse what has already happened."""
    outcome = ledger.post(view, group)
    assert isinstance(outcome, ledger.Posted), outcome
    return outcome


def request_return(view: View, *, id: UUID, operator: Operator, entry: UUID) -> Decision | Refused:
    """An operator sends unapplied money back to whoever paid it."""
    refusal = refuse_revoked(view, operator.digest)
    if refusal is not None:
        return refusal
    deposit = view.get(DEPOSITS, id)
    if deposit is None:
        return Refused("not_found", "there is no such deposit")
    payin = None if deposit.payin is None else view.get(PAYINS, deposit.payin)
    held = payin is not None and payin.status is not Status.PAID and id in payin.details().deposits
    if held and payin is not None and payin.status is Status.PENDING:
        return Refused("forbidden_transition", "the deposit still counts towards a pending payin; cancel that first")
    amount = deposit.unapplied_minor
    if amount == 0:
        return Refused("forbidden_transition", "nothing of this deposit is unapplied")
    posted = ledger.post(view, postings.return_requested(deposit.book, deposit.currency, id, deposit.version, amount))
    if isinstance(posted, ledger.Refused):
        return Refused("insufficient_funds", "the unapplied balance does not cover the return")
    changed = msgspec.structs.replace(
        deposit, version=deposit.version + 1, unapplied_minor=0, returning_minor=deposit.returning_minor + amount
    )
    event = _deposit_event(changed, "deposit.return_requested")
    audit = AuditRecord(
        id=entry,
        at=view.at,
        actor=ids.public("op", operator.id),
        action=event.type,
        subject=ids.public("dep", id),
        detail=event.data,
    )
    puts = [Put(DEPOSITS, changed), Put(AUDIT, audit), *ledger.puts(posted)]
    if held and payin is not None:
        detail = payin.details()
        left = tuple(other for other in detail.deposits if other != id)
        returned = msgspec.structs.replace(
            payin,
            version=payin.version + 1,
            received_minor=payin.received_minor - deposit.amount_minor,
            detail=encode(msgspec.structs.replace(detail, deposits=left)),
        )
        puts += [Put(PAYINS, returned), Put(CHANGES, _history(returned, Happening.PART_RETURNED, view.at))]
    return Decision(
        outcome=changed,
        puts=tuple(puts),
        events=(event,),
        due=(Due(at=view.at, kind=RETURN, subject=id, book=deposit.book),),
        subject=id,
    )


def settle_return(view: View, *, due: Due, version: int, done: bool) -> Decision:
    """The bank's answer to a return. A second one finds nothing left to settle, or the next return, not its own."""
    deposit = view.get(DEPOSITS, due.subject)
    assert deposit is not None, "due work names what there is"
    amount = deposit.returning_minor
    if amount == 0 or deposit.version != version:
        return Decision(outcome=deposit, done=(due,))
    group = postings.return_confirmed if done else postings.return_failed
    posted = _posted(view, group(deposit.book, deposit.currency, deposit.id, deposit.version, amount))
    changed = msgspec.structs.replace(
        deposit,
        version=deposit.version + 1,
        returning_minor=0,
        returned_minor=deposit.returned_minor + (amount if done else 0),
        unapplied_minor=deposit.unapplied_minor + (0 if done else amount),
        reason=deposit.reason if done else "return_refused",
    )
    type = "deposit.returned" if done else "deposit.return_failed"
    return Decision(
        outcome=changed,
        puts=(Put(DEPOSITS, changed), *ledger.puts(posted)),
        events=(_deposit_event(changed, type),),
        done=(due,),
    )


def advance_clock(view: View, *, book: int, seconds: int, key_digest: bytes) -> Decision | Refused:
    """Moves a test book's clock forward."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    record = view.get(BOOKS, book)
    assert record is not None and not book & 1, "only test books have a clock of their own"
    changed = msgspec.structs.replace(
        record, version=record.version + 1, clock_offset_s=record.clock_offset_s + seconds
    )
    return Decision(outcome=(changed, view.at + timedelta(seconds=changed.clock_offset_s)), puts=(Put(BOOKS, changed),))
