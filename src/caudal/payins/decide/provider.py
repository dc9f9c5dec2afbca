"""What a provider says of a payment, as an answer, from a query or in a callback: one function for all three.

Its amounts are what has happened so far, so repetitions and reorderings change nothing, in this order:

    the payin is not known                             a discrepancy
    of another mode, account or provider, or order               a discrepancy
    a success after the end that is only told          a discrepancy; the provider is asked
    of an attempt before the one that is under way     as what comes after the end; the payin stays as it is
    a callback's decline before another provider       nothing: whoever asks the provider goes on from it
    paid with another amount                           booked as unapplied, a discrepancy
    paid, and the payin has ended without money        booked as unapplied, sent back, a discrepancy
    more of that is given back than is sent back       a discrepancy besides
    authorized, and the payin has ended unauthorized   given back at the provider, a discrepancy
    allowed by the table of states                     the payin moves on
    more is captured than captures took or ask for     a discrepancy besides
    ended without money, and the payin has its money   a discrepancy
    a second success, of another reference             a discrepancy
    more is given back than anybody asked for          a discrepancy
    nothing new, or older than what we know            nothing
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from caudal.connectors import CAPABILITIES, Declined, PaymentState
from caudal.kernel.commit import Decision, Due, View
from caudal.kernel.http import encode
from caudal.payins.decide.attempts import goes_on
from caudal.payins.decide.changing import Created, book_record, changed, expiry_of, offset_of, waiting_key
from caudal.payins.decide.known import late_deposit, unheard_of
from caudal.payins.decide.late import (
    earlier,
    given_back,
    is_booked,
    not_its_money,
    told_gone_back,
    told_of,
    unconfirmed,
)
from caudal.payins.decide.money import earned
from caudal.payins.model import Detail, Payin, body_of, without_personal_data
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.payins.states import Happening, Status, after

# How long a card's authorization is relied on; Visa and Mastercard give seven days for a payment that the payer makes.
AUTHORIZATION_LASTS: Final = timedelta(days=7)

_OF_STATE: Final = {
    "pending": Happening.ACCEPTED,
    "authorized": Happening.AUTHORIZED,
    "paid": Happening.ALL_RECEIVED,
    "declined": Happening.DECLINED,
    "expired": Happening.TIME_PASSED,
    "cancelled": Happening.CANCELLED,
}
_EVENT: Final = {
    Happening.ACCEPTED: "payin.pending",
    Happening.AUTHORIZED: "payin.authorized",
    Happening.DECLINED: "payin.declined",
    Happening.FAILED: "payin.failed",
    Happening.TIME_PASSED: "payin.expired",
    Happening.CANCELLED: "payin.cancelled",
}
_ENDED_WITHOUT_MONEY: Final = frozenset((Status.DECLINED, Status.FAILED, Status.EXPIRED, Status.CANCELLED))
_HAS_MONEY: Final = frozenset((Status.AUTHORIZED, Status.PAID))


def note(
    view: View,
    *,
    id: UUID,
    live: bool,
    provider: str,
    state: PaymentState,
    sealed: bytes,
    confirmed: bool,
    due: Due | None = None,
) -> Decision:
    """How the payment of a payin stands. `due` is the work that asked; `sealed` is an empty payer for a deposit.

    `confirmed`: it is what the provider answered when it was asked. A callback alone brings no ended payin to money.
    """
    done = () if due is None else (due,)
    payin = view.get(PAYINS, id)
    if payin is None:
        return told_of(view, int(live), provider, "unknown_payment", None, state, done)
    ended = () if payin.status is Status.SUBMITTING else done  # what is not about it is no outcome
    if payin.live != live or state.account != str(payin.book >> 1) or not payin.is_with(provider, state.key):
        return told_of(view, payin.book, provider, "other_account", payin, state, ended)
    if (state.amount_minor, state.currency) != (payin.amount_minor, payin.currency):
        return told_of(view, payin.book, provider, "other_amount", payin, state, ended)
    if payin.is_earlier(state.key):
        return earlier(view, payin, provider, state, sealed, confirmed=confirmed)
    if not confirmed and contradicts_end(payin, state) and not is_booked(view, payin, state):
        return unconfirmed(view, payin, provider, state, done)
    if not confirmed and goes_on(payin, state):
        return Decision(outcome=Created(payin, encode(body_of(payin))))
    decision = _judged(view, payin, provider, state, sealed, done)
    if not _takes_more(payin, state) and not _brings_refund(payin, state):
        return decision
    told = told_of(view, payin.book, provider, "other_amount", payin, state, ())
    return msgspec.structs.replace(decision, puts=(*decision.puts, *told.puts), events=(*decision.events, *told.events))


def _judged(
    view: View, payin: Payin, provider: str, state: PaymentState, sealed: bytes, done: tuple[Due, ...]
) -> Decision:
    """What is about this payin and its amount."""
    happening = _happening(payin, state)
    if happening is None:
        if state.status in ("declined", "expired", "cancelled") and payin.status in _HAS_MONEY:
            return told_of(view, payin.book, provider, "contradicts_final_state", payin, state, done)
        if _is_late_authorization(payin, state):
            return given_back(view, payin, provider, state, done)
        kind = unheard_of(view, payin, state)
        if kind is not None:
            return told_of(view, payin.book, provider, kind, payin, state, done)
        return Decision(outcome=Created(payin, encode(body_of(payin))), done=done)
    if happening in (Happening.ALL_RECEIVED, Happening.CAPTURED):
        strayed = view.get(DEPOSITS, late_deposit(payin.method, state.key)) is not None
        if state.captured_minor != payin.amount_minor or strayed:
            if state.refunded_minor:
                told = told_gone_back(view, provider, payin, state, done)
            else:
                told = told_of(view, payin.book, provider, "other_amount", payin, state, done)
            told = _strayed(view, payin, state, told)
            return not_its_money(view, payin, provider, state, sealed, told, kind="other_amount", returns=False)
        if payin.status in _ENDED_WITHOUT_MONEY and not _takes_late_money(view, payin):
            # What came after expiry waits for an operator, like any late deposit, and so does what can go to a bank
            # account only, which nobody has asked the payer for; the rest is sent back at once.
            returns = payin.status is not Status.EXPIRED and CAPABILITIES[payin.method].refund == "provider"
            told = told_of(view, payin.book, provider, "late_success", payin, state, done)
            return not_its_money(view, payin, provider, state, sealed, told, kind="late_success", returns=returns)
        return _received(view, payin, happening, state, done)
    return _moved(view, payin, happening, state, done)


def refuse(
    view: View,
    *,
    id: UUID,
    attempt: int,
    declined: Declined,
    failed: bool,
    until: datetime | None = None,
    due: Due | None = None,
) -> Decision:
    """The provider refuses the payment for good (`failed`: it never came to be). Anything but `submitting` stands, and
    so does what somebody has sent again behind `until`: the answer may be older."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted is refused"
    done = () if due is None else (due,)
    if payin.status is not Status.SUBMITTING or payin.attempt != attempt:
        return Decision(outcome=Created(payin, encode(body_of(payin))), done=() if payin.attempt != attempt else done)
    sent = payin.details().submission
    if until is not None and sent is not None and sent.until > until:
        return Decision(outcome=Created(payin, encode(body_of(payin))))
    return _moved(view, payin, Happening.FAILED if failed else Happening.DECLINED, declined, done)


def leave(view: View, *, id: UUID) -> Decision:
    """The request's deadline has come first: its key gets the payin as it is, `submitting` most likely."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted is left"
    detail = payin.details()
    finishes = None if detail.waiting is None else waiting_key(view, payin.book, detail.waiting.key)
    return Decision(outcome=Created(payin, encode(body_of(payin, detail=detail))), finishes=finishes)


def _happening(payin: Payin, state: PaymentState) -> Happening | None:
    """What this state means for the payin as it is; None when it is nothing new."""
    happening = _OF_STATE[state.status]
    ended = payin.status in _ENDED_WITHOUT_MONEY
    if happening is Happening.ALL_RECEIVED and _is_by_capture(payin):
        happening = Happening.AUTHORIZED  # what was captured is booked by the capture itself
    if happening is Happening.ALL_RECEIVED and payin.status is Status.AUTHORIZED:
        happening = Happening.CAPTURED
    if happening in (Happening.TIME_PASSED, Happening.CANCELLED) and payin.status is Status.SUBMITTING:
        happening = Happening.FAILED
    if happening is Happening.ALL_RECEIVED and ended:
        return happening
    return happening if after(payin.status, happening) is not None else None


def _is_by_capture(payin: Payin) -> bool:
    """Whether money is booked by captures alone: not where it ended before there was anything to capture."""
    never = payin.status in _ENDED_WITHOUT_MONEY and not payin.authorized_minor
    return payin.details().capture == "manual" and not never


def _takes_more(payin: Payin, state: PaymentState) -> bool:
    """Whether the provider has captured what nobody has asked for."""
    return _is_by_capture(payin) and state.captured_minor > payin.captured_minor + payin.details().capturing_minor


def _brings_refund(payin: Payin, state: PaymentState) -> bool:
    """Whether money of which we hear for the first time is partly given back already, which nobody has asked for."""
    if state.refunded_minor <= payin.refunded_minor or state.status != "paid":
        return False
    return payin.status in (Status.SUBMITTING, Status.PENDING, Status.AUTHORIZED)


def contradicts_end(payin: Payin, state: PaymentState) -> bool:
    """Whether this is a success of a payin, or of an attempt, that has ended without money."""
    if payin.is_earlier(state.key):
        return state.status in ("authorized", "paid")
    succeeded = _happening(payin, state) in (Happening.ALL_RECEIVED, Happening.CAPTURED)
    return payin.status in _ENDED_WITHOUT_MONEY and (succeeded or _is_late_authorization(payin, state))


def _is_late_authorization(payin: Payin, state: PaymentState) -> bool:
    """One that comes after the end; where it was known before, or we gave it up, it is only an old message."""
    unknown = payin.status in (Status.DECLINED, Status.FAILED, Status.EXPIRED) and not payin.authorized_minor
    return unknown and state.status == "authorized"


def _takes_late_money(view: View, payin: Payin) -> bool:
    return payin.status is Status.EXPIRED and book_record(view, payin.book).late_payments == "accept"


def _moved(
    view: View, payin: Payin, happening: Happening, said: PaymentState | Declined, done: tuple[Due, ...]
) -> Decision:
    """The payin moves on without money."""
    detail, offset = payin.details(), offset_of(view, payin.book)
    finishes = None if detail.waiting is None else waiting_key(view, payin.book, detail.waiting.key)
    fields: dict[str, object] = {"reason": said.reason}
    if happening is Happening.CANCELLED and detail.voiding:
        fields["reason"] = "requested_by_merchant"
    if isinstance(said, PaymentState):
        detail = _learned(detail, said)
    if happening is Happening.AUTHORIZED and isinstance(said, PaymentState):
        fields |= {
            "authorized_minor": said.authorized_minor,
            "expires_at": view.at + offset + AUTHORIZATION_LASTS,
        }
    new = changed(view, payin, happening, _EVENT[happening], detail=detail, **fields)
    ends = after(new.payin.status, Happening.TIME_PASSED) is None
    was_waiting = after(payin.status, Happening.TIME_PASSED) is not None
    return Decision(
        outcome=Created(new.payin, new.body, payin.status),
        puts=new.puts,
        events=new.events,
        done=(*done, *((expiry_of(payin, offset),) if was_waiting else ())),
        due=() if ends else (expiry_of(new.payin, offset),),
        subject=payin.id,
        finishes=finishes,
    )


def _learned(detail: Detail, state: PaymentState) -> Detail:
    return msgspec.structs.replace(
        detail,
        waiting=None,
        reference=state.reference,
        action=without_personal_data(state.action),
        payer_page=state.payer_page,
    )


def _received(view: View, payin: Payin, happening: Happening, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """The provider has the whole amount for us: it owes it, the fee is taken, the rest is the merchant's."""
    detail, offset = _learned(payin.details(), state), offset_of(view, payin.book)
    waiting = payin.details().waiting
    finishes = None if waiting is None else waiting_key(view, payin.book, waiting.key)
    now, amount = view.at + offset, payin.amount_minor
    money = earned(view, payin, amount_minor=amount, total_minor=amount, kind="payment", subject=payin.id, now=now)
    new = changed(
        view,
        payin,
        happening,
        "payin.paid",
        detail=detail,
        reason="late" if payin.status is Status.EXPIRED else None,
        received_minor=amount,
        authorized_minor=state.authorized_minor,
        captured_minor=state.captured_minor if state.authorized_minor else 0,
        fee_minor=money.fee_minor,
        paid_at=now,
        available_on=money.day,
    )
    was_waiting = after(payin.status, Happening.TIME_PASSED) is not None
    return Decision(
        outcome=Created(new.payin, new.body, payin.status),
        puts=(*new.puts, *money.puts),
        events=(*new.events, *money.events),
        done=(*done, *((expiry_of(payin, offset),) if was_waiting else ())),
        due=money.due,
        subject=payin.id,
        finishes=finishes,
    )


def _strayed(view: View, payin: Payin, state: PaymentState, odd: Decision) -> Decision:
    """The discrepancy; and a payin that was just submitted waits from now on, for a payer or for its end."""
    if payin.status is not Status.SUBMITTING:
        return odd
    moved = _moved(view, payin, Happening.ACCEPTED, state, odd.done)
    return msgspec.structs.replace(moved, puts=(*moved.puts, *odd.puts), events=(*moved.events, *odd.events))
