"""What would put a discrepancy right, from how everything stands now. Pure; docs/unknown-outcomes.md has the table.

What a provider only told is never acted on: it is asked first, and its answer is what a correction is made of.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import settlement
from caudal.connectors import BANK, CAPABILITIES
from caudal.kernel.errors import Refused
from caudal.ledger import Transfer, account_name, transfer_id
from caudal.merchants import fee_minor
from caudal.payins import postings
from caudal.payins.decide.discrepancies import may_have_gone_back
from caudal.payins.decide.known import Known, Said, agrees, days_of, said_of, surplus_deposit
from caudal.payins.decide.money import family_of, line_of, plan_of
from caudal.payins.decide.returns import FAILED, asked_by, gone_back_keys, order_end, ordered_minor
from caudal.payins.model import CorrectionKind, Deposit, Discrepancy, Operation, Payin, Posting, Proposal
from caudal.payins.states import Status

_ENDED: Final = frozenset((Status.DECLINED, Status.FAILED, Status.EXPIRED, Status.CANCELLED))
_CHANGED: Final = (
    "the payin has changed since the provider was asked: once what is under way is settled it is asked again"
)
_NO_COMMAND: Final = "no command puts this right: clear it with the provider"
_REFUSED_TWICE: Final = "the provider refused a second time: ask it how the payment stands, and what it still holds"


def proposals(found: Discrepancy, known: Known) -> tuple[Proposal, ...]:
    """What may be done about it; the first is recommended. Always at least one."""
    if found.resolved_at is not None:
        return _one(found, known, "none_needed", "it was looked after")
    said = said_of(found.detail)
    match said.about:
        case "deposit":
            return _one(found, known, "by_hand", "booked nowhere: ask the bank whether it is other money")
        case "dispute":
            return _one(found, known, "by_hand", _of_dispute(found, said))
    if known.bank is not None:
        return _about_return(found, known, said)
    if known.payin is None:
        why = "nothing here has this key: ask the provider whose payment it is, and to give back what it took"
        return _one(found, known, "by_hand", why)
    if said.about == "operation":
        return _about_operation(found, known, said, known.payin)
    return _about_payment(found, known, known.payin)


def _of_dispute(found: Discrepancy, said: Said) -> str:
    if found.kind == "other_amount":
        return "more is disputed than is left of the payin: show the bank what was given back, or ask what is meant"
    return f"this word ({said.status}) was booked nowhere: ask the provider how the dispute stands"


# A payment


def _about_payment(found: Discrepancy, known: Known, payin: Payin) -> tuple[Proposal, ...]:
    if known.beside is not None:
        given_back = found.kind == "other_amount" and said_of(found.detail).refunded_minor
        about = _about_given_back if given_back else _about_money
        return about(found, known, payin, known.beside)
    if found.kind == "late_success":
        return _about_hold(found, known)
    if known.surplus is not None and known.surplus.unapplied_minor:
        return _about_money(found, known, payin, known.surplus)
    if found.answer is None:
        return _one(found, known, "ask_again", "it was only told: the provider is asked how the payment stands")
    answer = said_of(found.answer)
    if answer.payin_version not in (None, payin.version):
        return _one(found, known, "ask_again", _CHANGED)
    if agrees(payin, answer, known.surplus):
        return _one(found, known, "none_needed", "the provider was asked, and says what our books say")
    if answer.key is not None and payin.is_earlier(answer.key):  # none of the payin's own money
        why = "an attempt before the payin's last has money there, otherwise than was asked: clear it with the provider"
        return _one(found, known, "by_hand", why)
    detail = payin.details()
    strayed = 0 if known.surplus is None else known.surplus.amount_minor
    refunded = answer.refunded_minor - payin.refunded_minor - strayed
    left = payin.received_minor - payin.refunded_minor - payin.disputed_minor
    if payin.status is Status.AUTHORIZED and answer.status in ("declined", "expired", "cancelled"):
        return _one(found, known, "end_authorization", "the provider says that nothing is held: the payin ends")
    if payin.status is Status.PAID and answer.status in ("declined", "expired", "cancelled") and left > 0:
        why = "the provider says that it has not taken the money: what is left of it leaves the merchant's balance"
        return _booked_back(found, known, payin, "reverse_capture", left, why)
    if payin.status is Status.PAID and 0 < refunded <= left:
        why = "the provider has given back what nobody asked for: it leaves the merchant's balance"
        return _booked_back(found, known, payin, "book_refund", refunded, why)
    surplus = (answer.captured_minor or 0) - payin.captured_minor - detail.capturing_minor - strayed
    if detail.capture == "manual" and payin.authorized_minor and surplus > 0 and known.surplus is not None:
        why = "more was captured than was asked for once more: clear it with the provider"
        return _one(found, known, "by_hand", why)
    if detail.capture == "manual" and payin.authorized_minor and surplus > 0:
        return _surplus(found, known, payin, surplus, "more was captured than was asked for: it goes back to the payer")
    return _one(found, known, "by_hand", _NO_COMMAND)


def _about_money(found: Discrepancy, known: Known, payin: Payin, deposit: Deposit) -> tuple[Proposal, ...]:
    """Money that its payin does not take is a deposit of its own."""
    if not deposit.unapplied_minor:
        why = "the money is on its way back" if deposit.returning_minor else "the money is back with its payer"
        return _one(found, known, "none_needed", why)
    if may_have_gone_back(known.view, gone_back_keys(deposit)):
        return _one(found, known, "by_hand", "its payer may have it already: the case that says so comes first")
    way = CAPABILITIES[payin.method].refund
    if way == "none":
        return _one(found, known, "by_hand", "the provider has no refunds: send it back by other means")
    back = postings.return_requested(
        deposit.book, deposit.currency, deposit.id, deposit.version, deposit.unapplied_minor
    ) + postings.return_confirmed(
        deposit.book, deposit.currency, deposit.id, deposit.version + 1, deposit.unapplied_minor, from_bank=False
    )
    returned = _proposal(
        found, known, "return_money", "the payer's money waits: it goes back", deposit.unapplied_minor, back
    )
    if way == "bank_account":
        returned = msgspec.structs.replace(returned, destination="needed")
    whole = deposit.unapplied_minor == deposit.amount_minor == payin.amount_minor
    # Of an attempt before the last it pays nothing: refunds would go to whoever carries the payin, and has no money.
    own = not payin.is_earlier(deposit.tracking_key)
    if payin.status is not Status.EXPIRED or found.kind != "late_success" or not whole or not own:
        return (returned,)
    late = late_earned(known, payin)
    group = postings.received(spent(deposit), held_minor=deposit.amount_minor, money=late.money)
    why = "or it pays the payin after all, where its merchant wants that"
    return returned, _proposal(found, known, "book_late_payment", why, deposit.amount_minor, group)


def _about_given_back(found: Discrepancy, known: Known, payin: Payin, deposit: Deposit) -> tuple[Proposal, ...]:
    """Of money that its payin does not take, the provider has given back more than we had it return."""
    if found.answer is None:
        return _one(found, known, "ask_again", "it was only told: the provider is asked how the payment stands")
    amount = said_of(found.answer).refunded_minor - deposit.returned_minor
    if amount <= 0:
        return _one(found, known, "none_needed", "the provider was asked, and says what our books say")
    if deposit.returning_minor:
        why = "the rest is on its way back: once that is settled the provider is asked again"
        return _one(found, known, "ask_again", why)
    if amount > deposit.unapplied_minor:
        return _one(found, known, "by_hand", "more is given back than was taken: clear it with the provider")
    group = postings.return_carried_out(
        payin.book, deposit.currency, deposit.id, deposit.version, amount, from_bank=False
    )
    why = "the provider has given it back: it is booked, and not sent again"
    return (_proposal(found, known, "book_return", why, amount, group),)


class Late(NamedTuple):
    """What a payin earns that is paid after its end."""

    fee_minor: int
    day: date
    money: settlement.Movement


def late_earned(known: Known, payin: Payin) -> Late:
    """What it would earn now."""
    fee = fee_minor(plan_of(known.view, payin), family_of(payin), payin.currency, payin.amount_minor)
    day = settlement.available_on(known.now, line_of(known.view, payin).settlement_days)
    money = settlement.earned(
        known.view,
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
        at=known.now,
    )
    return Late(fee, day, money)


def spent(deposit: Deposit) -> Deposit:
    """The deposit with nothing that comes new: all of it stands in the books already."""
    return msgspec.structs.replace(deposit, applied_minor=0, unapplied_minor=0)


def _about_hold(found: Discrepancy, known: Known) -> tuple[Proposal, ...]:
    """An authorization that came after the end is given up by a void."""
    if known.void is not None and known.void.status == "failed":
        if known.void.details().again:
            return _one(found, known, "by_hand", _REFUSED_TWICE)
        return _one(found, known, "void_again", "the provider has not let go of what it holds: it is asked again")
    return _one(found, known, "none_needed", "the provider is asked to let go of it, or has done so")


def _surplus(found: Discrepancy, known: Known, payin: Payin, amount: int, why: str) -> tuple[Proposal, ...]:
    id = surplus_deposit(payin.method, said_of(found.detail).payment)
    group = postings.late(payin.book, payin.currency, id, amount_minor=amount, returns=True)
    back = postings.return_confirmed(payin.book, payin.currency, id, 1, amount, from_bank=False)
    return (_proposal(found, known, "return_money", why, amount, group + back),)


def _booked_back(
    found: Discrepancy, known: Known, payin: Payin, correction: CorrectionKind, amount: int, why: str
) -> tuple[Proposal, ...]:
    """A refund that is booked without anybody being asked."""
    id = transfer_id(found.id, "refund")
    split = taken_back(known, payin, id, amount)
    taken = postings.refund_requested(payin.book, payin.currency, id, split, beyond_balance=True)
    done = postings.refund_confirmed(payin.book, payin.currency, id, amount, from_bank=False)
    return (_proposal(found, known, correction, why, amount, taken + done),)


def taken_back(known: Known, payin: Payin, id: UUID, amount_minor: int) -> settlement.Split:
    """What leaves the merchant's balance whatever stands on it: first what is not released yet."""
    split = settlement.taken(
        known.view,
        id=id,
        book=payin.book,
        currency=payin.currency,
        kind="refund",
        amount_minor=amount_minor,
        subject=id,
        subject_kind="refund",
        payin=payin.id,
        days=days_of(payin),
        at=known.now,
        beyond_balance=True,
    )
    assert not isinstance(split, Refused), "nothing limits what has happened"
    return split


# A capture, a void, a refund


def _about_operation(found: Discrepancy, known: Known, said: Said, payin: Payin) -> tuple[Proposal, ...]:
    operation = known.operation
    if operation is None:
        return _about_return(found, known, said)
    if operation.payin != payin.id:
        return _one(found, known, "by_hand", "nothing here has this key: ask the provider what it did, and for whom")
    if operation.status == "pending" and found.kind == "other_amount" and found.answer is not None:
        why = "the provider has another amount of it: clear with it what was done, then settle ours by hand"
        return _one(found, known, "by_hand", why)
    if operation.status == "pending":
        return _one(found, known, "none_needed", "it is not settled yet: the provider is asked until it is")
    if operation.kind == "void":
        return _about_void(found, known, operation, payin)
    if found.answer is None:
        return _one(found, known, "ask_again", "it was only told: the provider is asked how the operation stands")
    answer, amount = said_of(found.answer), operation.amount_minor
    if (answer.status, answer.amount_minor) == (operation.status, amount) or answer.status is None:
        return _one(found, known, "none_needed", "the provider was asked, and says what our books say")
    left = payin.received_minor - payin.refunded_minor - payin.disputed_minor
    if answer.amount_minor == amount and (operation.kind, operation.status) == ("capture", "failed"):
        if known.surplus is not None:
            return _about_money(found, known, payin, known.surplus)
        return _surplus(found, known, payin, amount, "it was captured, and the merchant was told no: it goes back")
    if (operation.kind, operation.status) == ("refund", "failed"):
        return _about_refund(found, known, payin, operation, answer)
    if operation.kind == "capture" and answer.amount_minor == amount <= left:
        why = "it was not captured: it leaves the merchant's balance"
        return _booked_back(found, known, payin, "reverse_capture", amount, why)
    return _one(found, known, "by_hand", _NO_COMMAND)


def _about_refund(
    found: Discrepancy, known: Known, payin: Payin, operation: Operation, answer: Said
) -> tuple[Proposal, ...]:
    """The provider has carried out a refund that we hold for failed. What the payment says may have been booked since:
    all that was given back decides."""
    surplus, amount = known.surplus, operation.amount_minor
    if answer.payin_version != payin.version or (surplus is not None and surplus.returning_minor):
        return _one(found, known, "ask_again", _CHANGED)
    unbooked = answer.refunded_minor - payin.refunded_minor - (0 if surplus is None else surplus.returned_minor)
    if unbooked <= 0:
        return _one(found, known, "none_needed", "our books have all that the provider has given back")
    left = payin.received_minor - payin.refunded_minor - payin.disputed_minor
    if answer.amount_minor == amount <= min(left, unbooked):
        why = "the payer was given it after all: it leaves the merchant's balance"
        return _booked_back(found, known, payin, "book_refund", amount, why)
    return _one(found, known, "by_hand", _NO_COMMAND)


def _about_void(found: Discrepancy, known: Known, operation: Operation, payin: Payin) -> tuple[Proposal, ...]:
    if operation.status == "succeeded" and said_of(found.detail).status == "succeeded":
        if found.answer is None:
            return _one(found, known, "ask_again", "the provider gave up what is paid: it is asked how that stands")
        return _about_payment(found, known, payin)
    latest = known.void if known.void is not None and known.void.created_at > operation.created_at else operation
    if latest.status == "pending":
        return _one(found, known, "none_needed", "the provider is asked to let go of it")
    if latest.status == "succeeded" and latest is not operation:
        return _one(found, known, "none_needed", "the provider has let go of it since")
    if latest.details().again:
        return _one(found, known, "by_hand", _REFUSED_TWICE)
    own = operation.details().attempt is None  # an attempt before the last goes on nowhere
    if (own and payin.status is Status.AUTHORIZED) or not operation.amount_minor:
        return _one(found, known, "by_hand", "the payin goes on here: clear with the provider whether it does there")
    return _one(found, known, "void_again", "what is held for the payer is asked to be let go of, once more")


# A return of money that no payin takes


def return_told_of(known: Known, said: Said) -> tuple[Deposit, int] | None:
    """The deposit whose return it is that a provider has spoken of, and the version that asked for it."""
    for deposit in (known.late, known.surplus, known.bank):
        version = None if deposit is None else asked_by(deposit, said.key)
        if deposit is not None and version is not None:
            return deposit, version
    return None


def _about_return(found: Discrepancy, known: Known, said: Said) -> tuple[Proposal, ...]:
    of = return_told_of(known, said)
    if of is None:
        return _one(found, known, "by_hand", "nothing here has this key: ask the provider what it did, and for whom")
    deposit, end = of[0], order_end(*of)
    if found.kind == "contradicts_final_state" and (said.status or "failed") == end:
        return _one(found, known, "none_needed", "it is booked since: our books say what was told")
    if found.kind == "other_amount" and end == "pending":
        return _one(found, known, "none_needed", "it is not settled yet: the provider is asked until it is")
    if found.answer is None:
        return _one(found, known, "ask_again", "it was only told: the provider is asked how the return stands")
    answer = said_of(found.answer)
    status = answer.status or "failed"  # never heard of, or refused
    fits = (answer.amount_minor, answer.currency) == (ordered_minor(deposit), deposit.currency)
    if status == end and (fits or status != "succeeded"):
        return _one(found, known, "none_needed", "the provider was asked, and says what our books say")
    if status == "pending":
        return _one(found, known, "ask_again", "it has no outcome at the provider yet")
    if status == "succeeded" and fits and deposit.unapplied_minor and deposit.reason in FAILED:
        group = postings.return_carried_out(
            deposit.book,
            deposit.currency,
            deposit.id,
            deposit.version,
            deposit.unapplied_minor,
            from_bank=deposit.provider == BANK,
        )
        why = "it was given back after all: it is booked, and not sent again"
        return (_proposal(found, known, "book_return", why, deposit.unapplied_minor, group),)
    return _one(found, known, "by_hand", _why_by_hand(deposit, end, status))


def _why_by_hand(deposit: Deposit, end: str | None, status: str) -> str:
    """Of a return that no command puts right."""
    if end is None:
        return "one of its orders was carried out, and nobody knows which: clear what the payer has, and what twice"
    if status != "succeeded":
        return "it was not given back there: clear with the provider whether it will be"
    if deposit.returning_minor:
        return "the money is on its way once more, and waits: settle that return as unresolved, and this can be booked"
    return "here its money has gone another way since, or is another amount: clear what the payer has, and what twice"


# Their form


def _one(found: Discrepancy, known: Known, correction: CorrectionKind, why: str) -> tuple[Proposal, ...]:
    return (_proposal(found, known, correction, why),)


def _proposal(
    found: Discrepancy,
    known: Known,
    correction: CorrectionKind,
    because: str,
    amount: int | None = None,
    group: tuple[Transfer, ...] = (),
) -> Proposal:
    of = known.bank or known.payin
    currency = None if of is None or amount is None else of.currency
    return Proposal(
        correction=correction,
        because=because,
        amount=amount,
        currency=currency,
        postings=tuple(_posting(transfer) for transfer in group),
        facts=_facts(found, known),
    )


def _posting(transfer: Transfer) -> Posting:
    debit, credit = (account_name(id).purpose.name.lower() for id in (transfer.debit_account, transfer.credit_account))
    return Posting(code=transfer.code, debit=debit, credit=credit, amount=transfer.amount_minor)


def _facts(found: Discrepancy, known: Known) -> str:
    """The versions that it is made of, so that another decision on any of them shows."""
    versions = [f"{name}{row.version}" for name, row in zip("podsvb", known[2:], strict=True) if row is not None]
    return ".".join((f"c{found.version}", *versions))
