"""What is known of a discrepancy: the provider's words, and what our books say of what they are about, now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import settlement
from caudal.connectors import BANK, PaymentState
from caudal.kernel.commit import Table, View
from caudal.ledger import transfer_id
from caudal.merchants import BOOKS, FEE_PLANS
from caudal.payins.decide.changing import offset_of, void_again
from caudal.payins.decide.discrepancies import derived
from caudal.payins.model import Deposit, Discrepancy, DiscrepancyKind, Operation, Payin, attempt_of, key_of
from caudal.payins.rows import DEPOSITS, OPERATIONS, PAYINS
from caudal.payins.states import Status

# The reference of a payment that an operator has settled, until its provider tells its own.
BY_HAND: Final = "settled by hand"


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What of a provider's words a proposal looks at, whatever they are about."""

    key: str | None = None
    payment_key: str | None = None
    kind: str | None = None
    status: str | None = None
    reference: str | None = None
    amount_minor: int = 0
    currency: str | None = None
    authorized_minor: int = 0
    captured_minor: int | None = None
    refunded_minor: int = 0
    tracking_key: str | None = None
    respond_by: str | None = None
    reason: str | None = None
    payin_version: int | None = None  # of an answer: that of the payin which it was about; 0 where that was changing

    @property
    def about(self) -> str:
        """What it is about."""
        if self.tracking_key is not None:
            return "deposit"
        if self.respond_by is not None:
            return "dispute"
        return "operation" if self.payment_key is not None else "payment"

    @property
    def payment(self) -> str:
        """By which the provider knows the payment that they are about, or whose operation."""
        return (self.payment_key if self.about == "operation" else self.key) or ""

    @property
    def operation(self) -> str | None:
        """By which the provider knows the capture, refund or return that it is asked for. About a void it is asked for
        the payment: None."""
        return self.key if self.about == "operation" and self.kind != "void" else None

    def attempt(self, payin: Payin) -> int | None:
        """Which attempt's payment they are about; None where this payin has none of that key: it is the last one's."""
        of = attempt_of(self.payment)
        return None if of is None or payin.provider(of[1]) is None else of[1]


class Known(NamedTuple):
    """What our books say of it now; `view` has the days on which its money is available, `now` by its book's clock."""

    view: View
    now: datetime
    payin: Payin | None
    operation: Operation | None
    late: Deposit | None
    surplus: Deposit | None
    void: Operation | None
    bank: Deposit | None  # whose return a bank has spoken of

    @property
    def beside(self) -> Deposit | None:
        """The deposit that holds what its payin did not take, and has not taken since."""
        return None if self.late is None or self.late.applied_minor else self.late


def late_deposit(method: str, key: str) -> UUID:
    """The id of the deposit that holds what a provider took with a payment that its payin does not take."""
    return derived(f"late\n{method}\n{key}")


def surplus_deposit(method: str, key: str) -> UUID:
    """The id of the deposit that holds what a provider has taken beyond what its payin takes."""
    return derived(f"surplus\n{method}\n{key}")


def deposits_beside(id: UUID, method: str, attempts: int) -> list[UUID]:
    """The ids of every deposit that may hold what providers took with a payin's attempts and it does not take."""
    keys = [key_of(id, number) for number in range(1, attempts + 1)]
    return [made(method, key) for key in keys for made in (late_deposit, surplus_deposit)]


def said_of(json: bytes) -> Said:
    """A provider's words as they are kept."""
    return msgspec.json.decode(json, type=Said)


def needs_of(found: Discrepancy, method: str | None) -> Iterable[tuple[Table[Any, Any], Any]]:
    """The rows that its proposals are made of, as far as they are known; `method` is its payin's, once that is read."""
    said = said_of(found.detail)
    if (returned := _returned_by_bank(found, said)) is not None:
        yield DEPOSITS, returned
    if found.payin is None:
        return
    yield PAYINS, found.payin
    yield BOOKS, found.book
    if said.about == "operation" and (id := _operation_of(said)) is not None:
        yield from ((OPERATIONS, id), (OPERATIONS, void_again(id)))
    of = attempt_of(said.payment)
    earlier = transfer_id(found.payin, "void", 0 if of is None else of[1])  # that of an attempt before the last
    for id in (transfer_id(found.payin, "void"), earlier):
        yield from ((OPERATIONS, id), (OPERATIONS, void_again(id)))
    if method is not None:
        for deposit in (late_deposit(method, said.payment), surplus_deposit(method, said.payment)):
            yield DEPOSITS, deposit


def known_of(view: View, found: Discrepancy) -> Known:
    """Those rows."""
    returned = _returned_by_bank(found, said_of(found.detail))
    bank = None if returned is None else view.get(DEPOSITS, returned)
    if found.payin is None:
        return Known(view, view.at, None, None, None, None, None, bank)
    payin = view.get(PAYINS, found.payin)
    assert payin is not None, "a payin is never removed"
    needs = list(needs_of(found, payin.method))
    keys = {table: [key for of, key in needs if of is table and key != returned] for table in (OPERATIONS, DEPOSITS)}
    late, surplus = view.get_all(DEPOSITS, keys[DEPOSITS])
    *told, last, last_again, earlier, earlier_again = view.get_all(OPERATIONS, keys[OPERATIONS])
    operation, again = told if told else (None, None)
    is_earlier = payin.is_earlier(said_of(found.detail).payment)
    void = again or ((earlier_again or earlier) if is_earlier else (last_again or last))
    now = view.at + offset_of(view, payin.book)
    return Known(view, now, payin, operation, late, surplus, void, bank)


def _returned_by_bank(found: Discrepancy, said: Said) -> UUID | None:
    """The deposit whose return a bank has spoken of: the order's key begins with its id."""
    id, _, version = (said.key or "").partition("-")
    if found.provider != BANK or not version:
        return None
    try:
        return UUID(hex=id)
    except ValueError:
        return None


def _operation_of(said: Said) -> UUID | None:
    try:
        return UUID(hex=said.key or "")
    except ValueError:
        return None


def more_needs_of(payin: Payin) -> Iterable[tuple[Table[Any, Any], Any]]:
    """What those that move its money look at besides."""
    yield FEE_PLANS, (payin.book, payin.fee_plan)
    for day in days_of(payin):
        yield from settlement.needs(payin.book, payin.currency, day)


def days_of(payin: Payin) -> tuple[date, ...]:
    """The days on which its money is available."""
    days = payin.details().days
    return days or (() if payin.available_on is None else (payin.available_on,))


def agrees(payin: Payin, answer: Said, surplus: Deposit | None) -> bool:
    """Whether what a provider answered is what our books say; nothing of the payin was under way then."""
    if answer.key is not None and payin.is_earlier(answer.key):
        return answer.status not in ("paid", "authorized")  # an attempt that came to nothing before another one began
    if answer.key is not None and (answer.amount_minor, answer.currency) != (payin.amount_minor, payin.currency):
        return False
    strayed, returned = (0, 0) if surplus is None else (surplus.amount_minor, surplus.returned_minor)
    own, refunded = payin.details().reference, answer.refunded_minor - payin.refunded_minor
    if refunded > strayed or own not in (None, BY_HAND, answer.reference):
        return False
    match payin.status:
        case Status.PAID:
            taken = (answer.captured_minor or 0) - strayed
            return answer.status == "paid" and taken == payin.received_minor and refunded >= returned
        case Status.AUTHORIZED:
            return answer.status == "authorized"
        case Status.PENDING | Status.SUBMITTING:
            return answer.status == "pending"
    return answer.status not in ("paid", "authorized")


def unheard_of(view: View, payin: Payin, state: PaymentState) -> DiscrepancyKind | None:
    """What an older or repeated word says besides: a success of another reference, or more given back than asked."""
    own = payin.details().reference
    if (
        payin.status in (Status.AUTHORIZED, Status.PAID)
        and state.status in ("authorized", "paid")
        and own not in (None, BY_HAND, state.reference)
    ):
        return "other_reference"
    if payin.status is not Status.PAID or state.refunded_minor <= payin.refunded_minor:
        return None
    surplus = view.get(DEPOSITS, surplus_deposit(payin.method, state.key))
    strayed = 0 if surplus is None else surplus.amount_minor
    return "other_amount" if state.refunded_minor > payin.refunded_minor + strayed else None
