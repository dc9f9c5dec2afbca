"""The money of payins by bank transfer: decision → balanced postings; pure. docs/money.md draws the T-accounts."""

from __future__ import annotations

from uuid import UUID

from caudal.ledger import FACT, Purpose, Transfer, account_id, house_book, transfer_id


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


def received(
    book: int,
    currency: str,
    deposit: UUID,
    *,
    applied_minor: int,
    unapplied_minor: int,
    held_minor: int,
    fee_minor: int,
) -> tuple[Transfer, ...]:
    """A deposit: what it pays of a payin, what earlier deposits had held for it, the fee, and what is left over.

    All of it has already happened at the bank, so no limit refuses it.
    """
    group = _Group(book, currency, deposit)
    group.move(held_minor, Purpose.UNAPPLIED, Purpose.PENDING, "payin.held_applied")
    group.move(applied_minor, Purpose.BANK, Purpose.PENDING, "payin.received")
    group.move(fee_minor, Purpose.PENDING, Purpose.FEES, "payin.fee")
    group.move(unapplied_minor, Purpose.BANK, Purpose.UNAPPLIED, "deposit.unapplied")
    return tuple(group.transfers)


def return_requested(book: int, currency: str, subject: UUID, step: int, amount_minor: int) -> tuple[Transfer, ...]:
    """Money leaves `unapplied` for the bank to send back: a request, refused beyond the balance."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.UNAPPLIED, Purpose.CLEARING, "deposit.return_requested", fact=False)
    return tuple(group.transfers)


def return_confirmed(book: int, currency: str, subject: UUID, step: int, amount_minor: int) -> tuple[Transfer, ...]:
    """The bank has sent it back."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.CLEARING, Purpose.BANK, "deposit.returned")
    return tuple(group.transfers)


def return_failed(book: int, currency: str, subject: UUID, step: int, amount_minor: int) -> tuple[Transfer, ...]:
    """The bank will never send it back: the money is unapplied again."""
    group = _Group(book, currency, subject, step)
    group.move(amount_minor, Purpose.CLEARING, Purpose.UNAPPLIED, "deposit.return_failed")
    return tuple(group.transfers)


def accounts_of(book: int, currency: str) -> tuple[int, ...]:
    """Every account that a deposit to this book may touch."""
    mine = () if book >> 1 == 0 else (Purpose.PENDING, Purpose.UNAPPLIED)
    house = house_book(book)
    theirs = (Purpose.BANK, Purpose.FEES, Purpose.CLEARING, *(() if mine else (Purpose.UNAPPLIED,)))
    return (
        *(account_id(book, currency, purpose) for purpose in mine),
        *(account_id(house, currency, purpose) for purpose in theirs),
    )
