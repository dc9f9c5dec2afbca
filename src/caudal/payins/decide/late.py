"""Money that a payin does not take: of one that has ended, of an attempt before the last, of another amount.

It is the payer's. What the provider holds is let go of, what it took is booked as a deposit that pays nothing and goes
back by a command; a person hears of both.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import CAPABILITIES, PaymentState
from caudal.kernel.commit import Decision, Due, Put, View
from caudal.kernel.http import encode
from caudal.payins import postings
from caudal.payins.decide.changing import OPERATE, Created, offset_of, void_of
from caudal.payins.decide.deposits import deposit_event
from caudal.payins.decide.discrepancies import ASK, detail_of, held_of, next_gone_back, odd
from caudal.payins.decide.known import late_deposit
from caudal.payins.decide.money import posted
from caudal.payins.decide.returns import RETURN
from caudal.payins.model import Deposit, DiscrepancyKind, Payin, body_of
from caudal.payins.rows import DEPOSITS, OPERATIONS
from caudal.payins.states import Status

Misfit = Literal["late_success", "other_amount"]

# How long after its deadline nobody is expected to come back with an attempt's outcome.
PATIENCE: Final = timedelta(seconds=3)


def earlier(
    view: View, payin: Payin, provider: str, state: PaymentState, sealed: bytes, *, confirmed: bool
) -> Decision:
    """What is said of an attempt that came to nothing before another one began. The payin stays as it is.

    Money that is held or taken all the same goes back; the rest is an old message, or one that came by another way.
    """
    booked = is_booked(view, payin, state)
    if state.status not in ("authorized", "paid"):
        return Decision(outcome=shown(payin))
    if not confirmed and not booked:
        return unconfirmed(view, payin, provider, state, ())
    if state.status == "authorized":
        return given_back(view, payin, provider, state, ())
    told = told_of(view, payin.book, provider, "late_success", payin, state, ())
    returns = CAPABILITIES[payin.method].refund == "provider"
    return not_its_money(view, payin, provider, state, sealed, told, kind="late_success", returns=returns)


def is_booked(view: View, payin: Payin, state: PaymentState) -> bool:
    """Whether its money is a deposit already: the same word again says nothing new."""
    known = view.get(DEPOSITS, late_deposit(payin.method, state.key)) if state.status == "paid" else None
    return known is not None and known.amount_minor == state.captured_minor


def unconfirmed(view: View, payin: Payin, provider: str, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """What was told is kept as it was told; the worker asks the provider, whose answer is what counts.

    While an attempt is under way, it comes when nobody is expected to record that one's outcome any more.
    """
    told = told_of(view, payin.book, provider, "contradicts_final_state", payin, state, done)
    sent = payin.details().submission
    at = view.clock if payin.status is not Status.SUBMITTING or sent is None else max(view.clock, sent.until + PATIENCE)
    ask = tuple(Due(at=at, kind=ASK, subject=event.subject, book=payin.book) for event in told.events)
    return msgspec.structs.replace(told, due=ask)


def given_back(view: View, payin: Payin, provider: str, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """The payer's money is held for a payin that has ended: the worker has the provider let go of it."""
    told = told_of(view, payin.book, provider, "late_success", payin, state, done)
    void = void_of(payin, state.authorized_minor, view.at + offset_of(view, payin.book), state.key)
    if view.get(OPERATIONS, void.id) is not None:
        return told
    due = Due(at=view.clock, kind=OPERATE, subject=void.id, book=payin.book)
    return msgspec.structs.replace(told, puts=(*told.puts, Put(OPERATIONS, void)), due=(due,))


def not_its_money(
    view: View,
    payin: Payin,
    provider: str,
    state: PaymentState,
    sealed: bytes,
    told: Decision,
    *,
    kind: Misfit,
    returns: bool,
) -> Decision:
    """Money that the payin does not take is the payer's: a deposit that pays nothing, sent back if it `returns`.

    `told` writes down for a person what `kind` it is.
    """
    id, amount = late_deposit(payin.method, state.key), state.captured_minor
    known = view.get(DEPOSITS, id)
    if known is not None:
        return _again(view, payin, provider, state, known, told.done)
    if not amount:
        return told
    returns = returns and not state.refunded_minor  # how much is left to go back then is a person's to find out
    if state.refunded_minor and kind != "other_amount":
        told = _besides(told, told_gone_back(view, provider, payin, state, ()))
    why = kind if kind == "other_amount" else "late" if payin.status is Status.EXPIRED else "closed"
    new = Deposit(
        id=id,
        book=payin.book,
        version=1,
        provider=provider,
        tracking_key=state.key,
        account=state.account,
        currency=payin.currency,
        amount_minor=amount,
        applied_minor=0,
        unapplied_minor=0 if returns else amount,
        returning_minor=amount if returns else 0,
        returned_minor=0,
        payin=payin.id,
        reason=why,
        sealed=sealed,
        created_at=view.at,
    )
    group = postings.late(payin.book, payin.currency, id, amount_minor=amount, returns=returns)
    event = deposit_event(new, "deposit.return_requested" if returns else "deposit.unapplied")
    due = (Due(at=view.clock, kind=RETURN, subject=id, book=payin.book),) if returns else ()
    puts = (Put(DEPOSITS, new), *ledger.puts(posted(view, group)))
    return _besides(told, Decision(puts=puts, events=(event,), due=due))


def _again(
    view: View, payin: Payin, provider: str, state: PaymentState, known: Deposit, done: tuple[Due, ...]
) -> Decision:
    """What is said of such money once it is a deposit."""
    if state.refunded_minor > known.returned_minor + known.returning_minor:
        return told_gone_back(view, provider, payin, state, done)
    if known.amount_minor != state.captured_minor:
        return told_of(view, payin.book, provider, "other_amount", payin, state, done)
    return Decision(outcome=shown(payin), done=done)


def _besides(told: Decision, more: Decision) -> Decision:
    return msgspec.structs.replace(
        told, puts=told.puts + more.puts, events=told.events + more.events, due=told.due + more.due
    )


def told_of(
    view: View,
    book: int,
    provider: str,
    kind: DiscrepancyKind,
    payin: Payin | None,
    state: PaymentState,
    done: tuple[Due, ...],
    *,
    id: UUID | None = None,
) -> Decision:
    of, outcome = None if payin is None else payin.id, shown(payin)
    return odd(view, book, provider, kind, state, done, held=held_of(payin), payin=of, outcome=outcome, id=id)


def told_gone_back(view: View, provider: str, payin: Payin, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """More of money that the payin does not take is back with its payer than was sent: the rest waits for a person."""
    detail = detail_of(state)
    id = next_gone_back(view, state.key, lambda case: case.detail == detail)
    if id is None:
        return Decision(outcome=shown(payin), done=done)
    return told_of(view, payin.book, provider, "other_amount", payin, state, done, id=id)


def shown(payin: Payin | None) -> Created | None:
    return None if payin is None else Created(payin, encode(body_of(payin)))
