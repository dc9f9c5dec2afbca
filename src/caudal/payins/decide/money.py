"""The money of a payin in one place: what is earned is booked, its fee taken, its day and the statement kept."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from caudal import ledger, settlement
from caudal.catalogue import METHODS
from caudal.kernel.commit import Due, Event, Put, View
from caudal.merchants import FEE_PLANS, FeePlan, FeeRow, fee_minor, price_of
from caudal.payins import postings
from caudal.payins.model import Payin


class Earned(NamedTuple):
    """What was booked. `fee_minor` is the fee of this part; `day` when the money is available."""

    fee_minor: int
    day: date
    puts: tuple[Put, ...]
    due: tuple[Due, ...]
    events: tuple[Event, ...]


def posted(view: View, group: tuple[ledger.Transfer, ...]) -> ledger.Posted:
    """Books facts: the ledger may not refuse what has already happened."""
    outcome = ledger.post(view, group)
    assert isinstance(outcome, ledger.Posted), outcome
    return outcome


def family_of(payin: Payin) -> str:
    """The family that a fee plan prices."""
    return METHODS[payin.country, payin.method].family


def plan_of(view: View, payin: Payin) -> FeePlan | None:
    """The version of the plan that prices a payin, kept since its creation."""
    return view.get(FEE_PLANS, (payin.book, payin.fee_plan))


def line_of(view: View, payin: Payin) -> FeeRow:
    """The line of that plan for this payin."""
    return price_of(plan_of(view, payin), family_of(payin), payin.currency)


def earned(
    view: View,
    payin: Payin,
    *,
    amount_minor: int,
    total_minor: int,
    kind: Literal["payment", "capture"],
    subject: UUID,
    now: datetime,
) -> Earned:
    """Books a provider's promise to pay us `amount_minor`; `total_minor` is all that the payin has by then.

    The fee is that of the total less what was charged before, so that parts never cost more than the whole.
    """
    fee = fee_minor(plan_of(view, payin), family_of(payin), payin.currency, total_minor) - payin.fee_minor
    day = settlement.available_on(now, line_of(view, payin).settlement_days)
    movement = settlement.earned(
        view,
        id=subject,
        book=payin.book,
        currency=payin.currency,
        kind=kind,
        gross_minor=amount_minor,
        fee_minor=fee,
        subject=subject,
        subject_kind="payin" if kind == "payment" else "capture",
        payin=payin.id,
        day=day,
        at=now,
    )
    group = postings.captured(
        payin.book,
        payin.currency,
        subject,
        amount_minor=amount_minor,
        fee_from_pending_minor=movement.fee_from_pending_minor,
        fee_from_available_minor=movement.fee_from_available_minor,
    )
    booked = posted(view, group)
    return Earned(fee, day, (*ledger.puts(booked), *movement.puts), movement.due, ledger.events(booked))
