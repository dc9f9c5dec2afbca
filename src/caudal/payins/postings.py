"""The money of payins: decision → balanced postings; pure. docs/money.md draws the T-accounts."""

from __future__ import annotations

from uuid import UUID

from caudal.ledger import FACT, Purpose, Transfer, account_id, house_book, transfer_id
from caudal.payins.model import Deposit
from caudal.settlement import GivenBack, Movement, Split


class _Group:
    """Transfers of one subject, one atomic group; each id is derived from the subject, the code and the step."""

    def __init__(self, book: int, currency: str, subject: UUID, step: int = 0) -> None:
        self._book, self._currency, self._subject, self._step = book, currency, subject, step
        self.transfers: list[Transfer] = []

    def move(self, amount_minor: int, debit: Purpose, credit: Purpose, code: str, *, fact: bool = True) -> None:
        """One transfer, unless there is nothing to move."""
        if amount_minor:
            transfer = Transfer(
                id=transfer_id(self._subject, code, self._step),
                debit_account=self._account(debit),
                credit_account=self._account(credit),
                amount_minor=amount_minor,
                flags=FACT if fact else 0,
                subject=self._subject,
                code=code,
            )
            self.transfers.append(transfer)

    def _account(self, purpose: Purpose) -> int:
        house = self._book >> 1 == 0 or purpose > Purpose.UNAPPLIED
        return account_id(house_book(self._book) if house else self._book, self._currency, purpose)


def received(new: Deposit, *, held_minor: int, money: Movement) -> tuple[Transfer, ...]:
    """A deposit that completes its payin: what it pays, what earlier deposits had held, the fee, and what is left over.

    What of the fee the day's earnings do not cover comes from AVAILABLE. All of it has already happened at the bank, so
    no limit refuses it.
    """
    group = _Group(new.book, new.currency, new.id)
    group.move(held_minor, Purpose.UNAPPLIED, Purpose.PENDING, "payin.held_applied")
    group.move(new.applied_minor, Purpose.BANK, Purpose.PENDING, "payin.received")
    group.move(money.fee_from_pending_minor, Purpose.PENDING, Purpose.FEES, "payin.fee")
    group.move(money.fee_from_available_minor, Purpose.AVAILABLE, Purpose.FEES, "payin.fee_available")
    group.move(new.unapplied_minor, Purpose.BANK, Purpose.UNAPPLIED, "deposit.unapplied")
    return tuple(group.transfers)


def unapplied(book: int, currency: str, deposit: UUID, amount_minor: int) -> tuple[Transfer, ...]:
    """A deposit that pays nothing, or not yet. A fact."""
    group = _Group(book, currency, deposit)
    group.move(amount_minor, Purpose.BANK, Purpose.UNAPPLIED, "deposit.unapplied")
    return tuple(group.transfers)


def return_requested(book: int, currency: str, subject: UUID, step: int, amount_minor: int) -> tuple[Transfer, ...]:
    """Money leaves `unapplied` for the bank to send back: a request, refused beyond the balance."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.UNAPPLIED, Purpose.CLEARING, "deposit.return_requested", fact=False)
    return tuple(group.transfers)


def return_confirmed(
    book: int, currency: str, subject: UUID, step: int, amount_minor: int, *, from_bank: bool
) -> tuple[Transfer, ...]:
    """The bank, or the provider, has sent it back."""
    group = _Group(book, currency, subject, step)
    source = Purpose.BANK if from_bank else Purpose.PROVIDER_RECEIVABLE
    group.move(amount_minor, Purpose.CLEARING, source, "deposit.returned")
    return tuple(group.transfers)


def return_failed(book: int, currency: str, subject: UUID, step: int, amount_minor: int) -> tuple[Transfer, ...]:
    """The bank will never send it back: the money is unapplied again."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.CLEARING, Purpose.UNAPPLIED, "deposit.return_failed")
    return tuple(group.transfers)


def return_carried_out(
    book: int, currency: str, subject: UUID, step: int, amount_minor: int, *, from_bank: bool
) -> tuple[Transfer, ...]:
    """A return that had failed here has reached the payer after all: the whole way at once. Facts."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.UNAPPLIED, Purpose.CLEARING, "deposit.return_requested")
    return tuple(group.transfers) + return_confirmed(book, currency, subject, step, amount_minor, from_bank=from_bank)


def captured(
    book: int,
    currency: str,
    subject: UUID,
    *,
    amount_minor: int,
    fee_from_pending_minor: int,
    fee_from_available_minor: int,
) -> tuple[Transfer, ...]:
    """A provider has taken money for us and owes it; the fee is taken. Facts."""
    group = _Group(book, currency, subject)
    group.move(amount_minor, Purpose.PROVIDER_RECEIVABLE, Purpose.PENDING, "payin.captured")
    group.move(fee_from_pending_minor, Purpose.PENDING, Purpose.FEES, "payin.fee")
    group.move(fee_from_available_minor, Purpose.AVAILABLE, Purpose.FEES, "payin.fee_available")
    return tuple(group.transfers)


def late(book: int, currency: str, deposit: UUID, *, amount_minor: int, returns: bool) -> tuple[Transfer, ...]:
    """A provider has taken money for a payin that has ended: the payer's, on its way back where it `returns`. Facts."""
    group = _Group(book, currency, deposit)
    group.move(amount_minor, Purpose.PROVIDER_RECEIVABLE, Purpose.UNAPPLIED, "deposit.unapplied")
    if returns:
        group.move(amount_minor, Purpose.UNAPPLIED, Purpose.CLEARING, "deposit.return_requested")
    return tuple(group.transfers)


def refund_requested(
    book: int, currency: str, refund: UUID, split: Split, *, beyond_balance: bool
) -> tuple[Transfer, ...]:
    """The merchant gives money back and pays the refund's fee: a request, unless it may go beyond the balance."""
    group, fact = _Group(book, currency, refund), beyond_balance
    group.move(split.from_pending_minor, Purpose.PENDING, Purpose.CLEARING, "refund.requested_pending", fact=fact)
    group.move(split.from_available_minor, Purpose.AVAILABLE, Purpose.CLEARING, "refund.requested", fact=fact)
    group.move(split.fee_from_pending_minor, Purpose.PENDING, Purpose.FEES, "refund.fee_pending", fact=fact)
    group.move(split.fee_from_available_minor, Purpose.AVAILABLE, Purpose.FEES, "refund.fee", fact=fact)
    return tuple(group.transfers)


def refund_confirmed(
    book: int, currency: str, refund: UUID, amount_minor: int, *, from_bank: bool
) -> tuple[Transfer, ...]:
    """The payer has the money: the provider owes us less, or it has left our bank account. A fact."""
    group = _Group(book, currency, refund)
    source = Purpose.BANK if from_bank else Purpose.PROVIDER_RECEIVABLE
    group.move(amount_minor, Purpose.CLEARING, source, "refund.succeeded")
    return tuple(group.transfers)


def refund_failed(book: int, currency: str, refund: UUID, back: GivenBack) -> tuple[Transfer, ...]:
    """The payer cannot be given the money: it and the fee are the merchant's again. Facts."""
    group = _Group(book, currency, refund)
    group.move(back.to_pending_minor, Purpose.CLEARING, Purpose.PENDING, "refund.failed_pending")
    group.move(back.to_available_minor, Purpose.CLEARING, Purpose.AVAILABLE, "refund.failed")
    group.move(back.fee_to_pending_minor, Purpose.FEES, Purpose.PENDING, "refund.fee_back_pending")
    group.move(back.fee_to_available_minor, Purpose.FEES, Purpose.AVAILABLE, "refund.fee_back")
    return tuple(group.transfers)


def dispute_opened(book: int, currency: str, dispute: UUID, split: Split) -> tuple[Transfer, ...]:
    """What a payer wants back, and the fee, are held: the balance may go negative. Facts."""
    group = _Group(book, currency, dispute)
    group.move(split.from_pending_minor, Purpose.PENDING, Purpose.DISPUTED, "dispute.held_pending")
    group.move(split.from_available_minor, Purpose.AVAILABLE, Purpose.DISPUTED, "dispute.held")
    return tuple(group.transfers)


def dispute_lost(book: int, currency: str, dispute: UUID, amount_minor: int, fee_minor: int) -> tuple[Transfer, ...]:
    """The payer gets what was held: the provider owes us less; the fee is ours. Facts."""
    group = _Group(book, currency, dispute)
    group.move(amount_minor, Purpose.DISPUTED, Purpose.PROVIDER_RECEIVABLE, "dispute.lost")
    group.move(fee_minor, Purpose.DISPUTED, Purpose.FEES, "dispute.fee")
    return tuple(group.transfers)


def dispute_reversed(
    book: int, currency: str, dispute: UUID, amount_minor: int, fee_minor: int
) -> tuple[Transfer, ...]:
    """What had expired was won after all: what was given up is held again, for a moment. Facts."""
    group = _Group(book, currency, dispute)
    group.move(amount_minor, Purpose.PROVIDER_RECEIVABLE, Purpose.DISPUTED, "dispute.reversed")
    group.move(fee_minor, Purpose.FEES, Purpose.DISPUTED, "dispute.fee_reversed")
    return tuple(group.transfers)


def dispute_won(book: int, currency: str, dispute: UUID, back: GivenBack) -> tuple[Transfer, ...]:
    """What was held, the fee with it, is the merchant's again. Facts."""
    group = _Group(book, currency, dispute)
    group.move(back.to_pending_minor, Purpose.DISPUTED, Purpose.PENDING, "dispute.won_pending")
    group.move(back.to_available_minor, Purpose.DISPUTED, Purpose.AVAILABLE, "dispute.won")
    return tuple(group.transfers)


def accounts_of(book: int, currency: str) -> tuple[int, ...]:
    """Every account that a deposit to this book may touch."""
    mine = () if book >> 1 == 0 else (Purpose.PENDING, Purpose.AVAILABLE, Purpose.UNAPPLIED)
    house = house_book(book)
    theirs = (Purpose.BANK, Purpose.FEES, Purpose.CLEARING, *(() if mine else (Purpose.UNAPPLIED,)))
    return (
        *(account_id(book, currency, purpose) for purpose in mine),
        *(account_id(house, currency, purpose) for purpose in theirs),
    )


def accounts_with_provider(book: int, currency: str) -> tuple[int, ...]:
    """Every account that a payment through a provider may touch."""
    mine, house = (Purpose.PENDING, Purpose.AVAILABLE), house_book(book)
    theirs = (Purpose.PROVIDER_RECEIVABLE, Purpose.FEES)
    return (
        *(account_id(book, currency, purpose) for purpose in mine),
        *(account_id(house, currency, purpose) for purpose in theirs),
    )


def accounts_of_late(book: int, currency: str) -> tuple[int, ...]:
    """Every account that money for a payin that has ended may touch."""
    theirs = (Purpose.PROVIDER_RECEIVABLE, Purpose.CLEARING)
    mine, house = account_id(book, currency, Purpose.UNAPPLIED), house_book(book)
    return mine, *(account_id(house, currency, purpose) for purpose in theirs)


def accounts_of_return(book: int, currency: str) -> tuple[int, ...]:
    """Every account that money on its way back may touch, through a bank or a provider."""
    return *accounts_of_late(book, currency), account_id(house_book(book), currency, Purpose.BANK)


def accounts_of_refund(book: int, currency: str) -> tuple[int, ...]:
    """Every account that a refund may touch."""
    mine, house = (Purpose.PENDING, Purpose.AVAILABLE), house_book(book)
    theirs = (Purpose.CLEARING, Purpose.FEES, Purpose.BANK, Purpose.PROVIDER_RECEIVABLE)
    return (
        *(account_id(book, currency, purpose) for purpose in mine),
        *(account_id(house, currency, purpose) for purpose in theirs),
    )


def accounts_of_dispute(book: int, currency: str) -> tuple[int, ...]:
    """Every account that a dispute may touch."""
    return (*accounts_with_provider(book, currency), account_id(book, currency, Purpose.DISPUTED))
