"""What a provider says of a payment, as an answer, from a query or in a callback: one function for all three.

Its amounts are what has happened so far, so repetitions and reorderings change nothing, in this order:

    the payin is not known                             a discrepancy
    of another mode, account or provider, or order               a discrepancy
    a success after the end that is only told          a discrepancy; the provider is asked
    paid with another amount                           booked as unapplied, a discrepancy
    paid, and the payin has ended without money        booked as unapplied, sent back, a discrepancy
    authorized, and the payin has ended unauthorized   given back at the provider, a discrepancy
    allowed by the table of states                     the payin moves on
    more is captured than captures took or ask for     a discrepancy besides
    ended without money, and the payin has its money   a discrepancy
    nothing new, or older than what we know            nothing
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import CAPABILITIES, Declined, PaymentState
from caudal.kernel.commit import Decision, Due, Put, View
from caudal.kernel.http import encode
from caudal.payins import postings
from caudal.payins.decide.changing import (
    OPERATE,
    SUBMIT,
    Created,
    book_record,
    changed,
    expiry_of,
    offset_of,
    void_of,
    waiting_key,
)
from caudal.payins.decide.deposits import deposit_event
from caudal.payins.decide.discrepancies import derived, odd
from caudal.payins.decide.money import earned, posted
from caudal.payins.decide.returns import RETURN
from caudal.payins.model import (
    Deposit,
    Detail,
    DiscrepancyKind,
    Payin,
    body_of,
    without_personal_data,
)
from caudal.payins.rows import DEPOSITS, OPERATIONS, PAYINS
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
        return _odd(view, int(live), provider, "unknown_payment", None, state, done)
    ended = () if payin.status is Status.SUBMITTING else done  # what is not about it is no outcome
    if payin.live != live or state.account != str(payin.book >> 1) or not payin.is_with(provider, state.key):
        return _odd(view, payin.book, provider, "other_account", payin, state, ended)
    if (state.amount_minor, state.currency) != (payin.amount_minor, payin.currency):
        return _odd(view, payin.book, provider, "other_amount", payin, state, ended)
    if not confirmed and contradicts_end(payin, state) and not _is_booked(view, payin, state):
        return _unconfirmed(view, payin, provider, state, done)
    decision = _judged(view, payin, provider, state, sealed, done)
    if not _takes_more(payin, state):
        return decision
    told = _odd(view, payin.book, provider, "other_amount", payin, state, ())
    return msgspec.structs.replace(decision, puts=(*decision.puts, *told.puts), events=(*decision.events, *told.events))


def _judged(
    view: View, payin: Payin, provider: str, state: PaymentState, sealed: bytes, done: tuple[Due, ...]
) -> Decision:
    """What is about this payin and its amount."""
    happening = _happening(payin, state)
    if happening is None:
        if state.status in ("declined", "expired", "cancelled") and payin.status in _HAS_MONEY:
            return _odd(view, payin.book, provider, "contradicts_final_state", payin, state, done)
        if _is_late_authorization(payin, state):
            return _given_back(view, payin, provider, state, done)
        return Decision(outcome=Created(payin, encode(body_of(payin))), done=done)
    if happening in (Happening.ALL_RECEIVED, Happening.CAPTURED):
        strayed = view.get(DEPOSITS, late_deposit(payin.method, state.key)) is not None
        if state.captured_minor != payin.amount_minor or strayed:
            return _not_its_money(view, payin, provider, state, sealed, done, kind="other_amount", returns=False)
        if payin.status in _ENDED_WITHOUT_MONEY and not _takes_late_money(view, payin):
            # What came after expiry waits for an operator, like any late deposit, and so does what can go to a bank
            # account only, which nobody has asked the payer for; the rest is sent back at once.
            returns = payin.status is not Status.EXPIRED and CAPABILITIES[payin.method].refund == "provider"
            return _not_its_money(view, payin, provider, state, sealed, done, kind="late_success", returns=returns)
        return _received(view, payin, happening, state, done)
    return _moved(view, payin, happening, state, done)


def refuse(view: View, *, id: UUID, declined: Declined, failed: bool, due: Due | None = None) -> Decision:
    """The provider refuses the payment for good (`failed`: it never came to be). Anything but `submitting` stands."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted is refused"
    done = () if due is None else (due,)
    if payin.status is not Status.SUBMITTING:
        return Decision(outcome=Created(payin, encode(body_of(payin))), done=done)
    return _moved(view, payin, Happening.FAILED if failed else Happening.DECLINED, declined, done)


def submit_again(view: View, *, id: UUID, within: timedelta) -> Decision:
    """The payment is about to be sent once more, `within` this time. The outcome is whether it still has to be."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted is submitted again"
    detail = payin.details()
    if payin.status is not Status.SUBMITTING or detail.submission is None:
        return Decision(outcome=False)
    submission = msgspec.structs.replace(detail.submission, until=max(detail.submission.until, view.at + within))
    new = msgspec.structs.replace(detail, submission=submission)
    return Decision(outcome=True, puts=changed(view, payin, Happening.SUBMITTED_AGAIN, detail=new).puts)


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


def contradicts_end(payin: Payin, state: PaymentState) -> bool:
    """Whether this is a success of a payin that has ended without money."""
    succeeded = _happening(payin, state) in (Happening.ALL_RECEIVED, Happening.CAPTURED)
    return payin.status in _ENDED_WITHOUT_MONEY and (succeeded or _is_late_authorization(payin, state))


def _is_booked(view: View, payin: Payin, state: PaymentState) -> bool:
    """Whether its money is a deposit already: the same word again says nothing new."""
    known = view.get(DEPOSITS, late_deposit(payin.method, state.key)) if state.status == "paid" else None
    return known is not None and known.amount_minor == state.captured_minor


def _unconfirmed(view: View, payin: Payin, provider: str, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """What was told is kept as it was told; the worker asks the provider, whose answer is what counts."""
    told = _odd(view, payin.book, provider, "contradicts_final_state", payin, state, done)
    ask = Due(at=view.clock, kind=SUBMIT, subject=payin.id, book=payin.book)
    return msgspec.structs.replace(told, due=(ask,))


def _is_late_authorization(payin: Payin, state: PaymentState) -> bool:
    """One that comes after the end; where it was known before, or we gave it up, it is only an old message."""
    unknown = payin.status in (Status.DECLINED, Status.FAILED, Status.EXPIRED) and not payin.authorized_minor
    return unknown and state.status == "authorized"


def _given_back(view: View, payin: Payin, provider: str, state: PaymentState, done: tuple[Due, ...]) -> Decision:
    """The payer's money is held for a payin that has ended: the worker has the provider let go of it."""
    told = _odd(view, payin.book, provider, "late_success", payin, state, done)
    void = void_of(payin, state.authorized_minor, view.at + offset_of(view, payin.book))
    if view.get(OPERATIONS, void.id) is not None:
        return told
    due = Due(at=view.clock, kind=OPERATE, subject=void.id, book=payin.book)
    return msgspec.structs.replace(told, puts=(*told.puts, Put(OPERATIONS, void)), due=(due,))


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
        outcome=Created(new.payin, new.body),
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
        outcome=Created(new.payin, new.body),
        puts=(*new.puts, *money.puts),
        events=(*new.events, *money.events),
        done=(*done, *((expiry_of(payin, offset),) if was_waiting else ())),
        due=money.due,
        subject=payin.id,
        finishes=finishes,
    )


def _not_its_money(
    view: View,
    payin: Payin,
    provider: str,
    state: PaymentState,
    sealed: bytes,
    done: tuple[Due, ...],
    *,
    kind: Literal["late_success", "other_amount"],
    returns: bool,
) -> Decision:
    """Money that the payin does not take is the payer's: a deposit that pays nothing, sent back if it `returns`."""
    id, amount = late_deposit(payin.method, state.key), state.captured_minor
    known = view.get(DEPOSITS, id)
    if known is not None:
        if known.amount_minor != amount:
            return _odd(view, payin.book, provider, "other_amount", payin, state, done)
        return Decision(outcome=Created(payin, encode(body_of(payin))), done=done)
    told = _strayed(view, payin, state, _odd(view, payin.book, provider, kind, payin, state, done))
    if not amount:
        return told
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
        reason=kind if kind == "other_amount" else "late" if payin.status is Status.EXPIRED else "closed",
        sealed=sealed,
        created_at=view.at,
    )
    group = postings.late(payin.book, payin.currency, id, amount_minor=amount, returns=returns)
    event = deposit_event(new, "deposit.return_requested" if returns else "deposit.unapplied")
    return msgspec.structs.replace(
        told,
        puts=(*told.puts, Put(DEPOSITS, new), *ledger.puts(posted(view, group))),
        events=(*told.events, event),
        due=(*told.due, *((Due(at=view.clock, kind=RETURN, subject=id, book=payin.book),) if returns else ())),
    )


def _strayed(view: View, payin: Payin, state: PaymentState, odd: Decision) -> Decision:
    """The discrepancy; and a payin that was just submitted waits from now on, for a payer or for its end."""
    if payin.status is not Status.SUBMITTING:
        return odd
    moved = _moved(view, payin, Happening.ACCEPTED, state, odd.done)
    return msgspec.structs.replace(moved, puts=(*moved.puts, *odd.puts), events=(*moved.events, *odd.events))


def late_deposit(method: str, key: str) -> UUID:
    """The id of the deposit that holds what a provider took with a payment that its payin does not take."""
    return derived(f"late\n{method}\n{key}")


def _odd(
    view: View,
    book: int,
    provider: str,
    kind: DiscrepancyKind,
    payin: Payin | None,
    state: PaymentState,
    done: tuple[Due, ...],
) -> Decision:
    subject = None if payin is None else payin.id
    return odd(view, book, provider, kind, subject, state, done, outcome=_shown(payin))


def _shown(payin: Payin | None) -> Created | None:
    return None if payin is None else Created(payin, encode(body_of(payin)))
