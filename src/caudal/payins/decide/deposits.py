"""Deposits: what money that has arrived on a CLABE is for."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger, settlement
from caudal.connectors import DepositReport
from caudal.kernel.commit import Decision, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import fee_minor
from caudal.payins import postings
from caudal.payins.decide.changing import book_record, changed, expiry_of, offset_of
from caudal.payins.decide.money import family_of, line_of, plan_of, posted
from caudal.payins.model import Deposit, Payin, deposit_body
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.payins.states import Happening, Status


class Split(NamedTuple):
    """What a deposit is for: how much pays the payin now, how much is left over, and why."""

    applied_minor: int
    unapplied_minor: int
    happening: Happening | None
    reason: str | None


def split(payin: Payin | None, amount_minor: int, currency: str, late_payments: str, now: datetime) -> Split:
    """The treatment of a deposit (docs/money.md, "What a deposit is for"), in one documented order.

    `now` is the time of booking, by the payin's own clock.
    """
    if payin is None:
        return Split(0, amount_minor, None, "unknown_account")
    if currency != payin.currency:
        return Split(0, amount_minor, None, "wrong_currency")
    if _is_late(payin, now) and late_payments != "accept":
        return Split(0, amount_minor, None, "late")
    if payin.status not in (Status.PENDING, Status.EXPIRED):
        return Split(0, amount_minor, None, "closed")
    missing = payin.amount_minor - payin.received_minor
    if amount_minor < missing:
        return Split(0, amount_minor, Happening.PART_RECEIVED, "partial")
    surplus = amount_minor - missing
    return Split(missing, surplus, Happening.ALL_RECEIVED, "surplus" if surplus else None)


def _is_late(payin: Payin, now: datetime) -> bool:
    """Whether its time is over, also when nobody has come yet to let it expire."""
    return payin.status is Status.EXPIRED or (payin.status is Status.PENDING and payin.expires_at <= now)


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
    late_payments = "accept" if payin is None else book_record(view, book).late_payments
    now = view.at if payin is None else view.at + offset_of(view, book)
    part = split(payin, report.amount_minor, report.currency, late_payments, now)
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
        paid_at=report.paid_at,
    )
    if payin is None or part.happening is None:
        return _unapplied(view, new)
    if part.happening is Happening.PART_RECEIVED:
        return _held(view, new, payin)
    return _paid(view, new, payin)


def _unapplied(view: View, new: Deposit) -> Decision | Refused:
    group = postings.unapplied(new.book, new.currency, new.id, new.amount_minor)
    puts = (Put(DEPOSITS, new), *ledger.puts(posted(view, group)))
    return Decision(outcome=new, puts=puts, events=(deposit_event(new),))


def _held(view: View, new: Deposit, payin: Payin) -> Decision | Refused:
    detail = payin.details()
    group = postings.unapplied(new.book, new.currency, new.id, new.amount_minor)
    moved = changed(
        view,
        payin,
        Happening.PART_RECEIVED,
        "payin.received",
        detail=msgspec.structs.replace(detail, deposits=(*detail.deposits, new.id)),
        received_minor=payin.received_minor + new.amount_minor,
    )
    puts = (*moved.puts, Put(DEPOSITS, new), *ledger.puts(posted(view, group)))
    return Decision(outcome=new, puts=puts, events=moved.events)


def _paid(view: View, new: Deposit, payin: Payin) -> Decision | Refused:
    """The payin has all its money: the fee is charged now, once, and the merchant's part waits for its day."""
    fee = fee_minor(plan_of(view, payin), family_of(payin), payin.currency, payin.amount_minor)
    offset, detail = offset_of(view, payin.book), payin.details()
    now = view.at + offset
    day = settlement.available_on(now, line_of(view, payin).settlement_days)
    money = settlement.earned(
        view,
        id=payin.id,
        book=payin.book,
        currency=payin.currency,
        kind="payment",
        gross_minor=payin.amount_minor,
        fee_minor=fee,
        subject=payin.id,
        subject_kind="payin",
        payin=payin.id,
        day=day,
        at=now,
    )
    moved = changed(
        view,
        payin,
        Happening.ALL_RECEIVED,
        "payin.paid",
        detail=msgspec.structs.replace(detail, deposits=(*detail.deposits, new.id)),
        reason="late" if _is_late(payin, now) else None,
        received_minor=payin.amount_minor,
        fee_minor=fee,
        paid_at=now,
        available_on=day,
    )
    held = [_applied(deposit) for deposit in view.get_all(DEPOSITS, detail.deposits)]
    assert sum(d.amount_minor for d in held) == payin.received_minor, "held deposits make what was received"
    group = postings.received(new, held_minor=payin.received_minor, money=money)
    booked = posted(view, group)
    puts = (*moved.puts, Put(DEPOSITS, new), *(Put(DEPOSITS, deposit) for deposit in held))
    events = (*moved.events, *((deposit_event(new),) if new.unapplied_minor else ()), *ledger.events(booked))
    return Decision(
        outcome=new,
        puts=(*puts, *ledger.puts(booked), *money.puts),
        events=events,
        done=(expiry_of(payin, offset),),
        due=money.due,
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


def deposit_event(deposit: Deposit, type: str = "deposit.unapplied") -> Event:
    """What happened to a deposit, for whoever listens."""
    return Event(type=type, subject=deposit.id, book=deposit.book, data=encode(deposit_body(deposit)))
