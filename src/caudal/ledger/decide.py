"""The judgement: a group of transfers on the accounts as they are becomes entries, or one refusal for the whole group.

Pure: the caller passes every account, pending transfer and earlier transfer that the group names, and the batch's time.
The rungs of `Refusal` are climbed in their order, transfer by transfer; the first that fails refuses the group.
A fact skips the rungs of closure and of limits. Resolving a pending transfer never meets a limit: its hold has met it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from caudal.ledger.ladder import find_pending, refuse_form, refuse_repeated, refuse_resolution, refuse_shape
from caudal.ledger.model import (
    AMOUNT_MAX,
    BALANCING,
    BALANCING_CREDIT,
    BALANCING_DEBIT,
    BIGINT_MAX,
    CLOSED,
    CLOSING,
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    CREDIT,
    CREDITS_MUST_NOT_EXCEED_DEBITS,
    DEBIT,
    DEBITS_MUST_NOT_EXCEED_CREDITS,
    FACT,
    Account,
    Booked,
    Entry,
    Kind,
    PendingState,
    PendingTransfer,
    Posted,
    Refusal,
    Refused,
    Transfer,
)

# A working account: the counters change while the group is decided, and become an `Account` once, at its end.
VERSION, DEBITS_PENDING, DEBITS_POSTED, CREDITS_PENDING, CREDITS_POSTED, FLAGS = range(6)
_CURRENCY_BITS: Final = 0x3FF << 6
_MODE_BIT: Final = 1 << 16
_STATE_AFTER: Final = {
    Kind.POST: PendingState.POSTED,
    Kind.VOID: PendingState.VOIDED,
    Kind.EXPIRE: PendingState.EXPIRED,
}


def decide_group(
    accounts: Mapping[int, Account],
    pendings: Mapping[UUID, PendingTransfer],
    known: Mapping[UUID, Transfer],
    group: Sequence[Transfer],
    at: datetime,
) -> Posted | Refused:
    """Book all the transfers of the group, in their order, or none of them. `at` is the batch's time."""
    assert group, "a group has at least one transfer"
    work = _Group(accounts, pendings, known, at)
    for index, transfer in enumerate(group):
        refusal = work.book(transfer, index)
        if refusal is not None:
            return Refused(index=index, refusal=refusal, size=len(group))
    return work.posted()


class _Group:
    """What the group has come to so far."""

    __slots__ = ("accounts", "at", "entries", "known", "pendings", "pushed", "read", "resolved", "seen", "transfers")

    def __init__(
        self,
        accounts: Mapping[int, Account],
        pendings: Mapping[UUID, PendingTransfer],
        known: Mapping[UUID, Transfer],
        at: datetime,
    ) -> None:
        self.read, self.pendings, self.known, self.at = accounts, pendings, known, at
        self.accounts: dict[int, list[int]] = {}
        self.resolved: dict[UUID, PendingTransfer] = {}  # pending transfers that this group opened or resolved
        self.seen: dict[UUID, Transfer] = {}
        self.transfers: list[Booked] = []
        self.entries: list[Entry] = []
        self.pushed: list[int] = []  # accounts on whose limited side a fact was booked

    def book(self, transfer: Transfer, position: int) -> Refusal | None:
        """Book one transfer, or say why not."""
        refusal = refuse_shape(transfer)
        if refusal is not None:
            return refusal
        old = self.known.get(transfer.id) or self.seen.get(transfer.id)
        if old is not None:
            return refuse_repeated(transfer, old, self._pending(old.pending_id))
        refusal = refuse_form(transfer)
        if refusal is not None:
            return refusal
        kind = transfer.kind
        if kind is Kind.DIRECT or kind is Kind.PENDING:
            return self._book_new(transfer, position)
        return self._book_resolution(transfer, position)

    def _pending(self, id: UUID | None) -> PendingTransfer | None:
        return None if id is None else self.resolved.get(id) or self.pendings.get(id)

    def _account(self, id: int) -> list[int] | None:
        working = self.accounts.get(id)
        if working is None:
            read = self.read.get(id)
            if read is None:
                return None
            working = self.accounts[id] = [
                read.version,
                read.debits_pending,
                read.debits_posted,
                read.credits_pending,
                read.credits_posted,
                read.flags,
            ]
        return working

    def _book_new(self, transfer: Transfer, position: int) -> Refusal | None:
        debit_id, credit_id, flags = transfer.debit_account, transfer.credit_account, transfer.flags
        debit, credit = self._account(debit_id), self._account(credit_id)
        refusal = _refuse_accounts(debit_id, credit_id, debit, credit)
        if refusal is not None:
            return refusal
        assert debit is not None and credit is not None
        if not flags & FACT and (debit[FLAGS] | credit[FLAGS]) & CLOSED:
            return _closed(debit)
        pending = transfer.kind is Kind.PENDING
        amount = _balanced(transfer, debit, credit) if flags & BALANCING else transfer.amount_minor
        refusal = _refuse_overflow(amount, debit, credit, pending=pending)
        if refusal is not None:
            return refusal
        expires_at = None
        if transfer.timeout_s:
            try:
                expires_at = self.at + timedelta(seconds=transfer.timeout_s)
            except OverflowError:
                return Refusal.OVERFLOWS_TIMEOUT
        if flags & FACT:
            self._note_pushed(debit_id, credit_id, debit, credit)
        else:
            refusal = _refuse_limits(amount, debit, credit)
            if refusal is not None:
                return refusal
        if amount != transfer.amount_minor:
            transfer = _booked_as(transfer, debit_id, credit_id, amount, transfer.subject, transfer.code)
        if pending:
            debit[DEBITS_PENDING] += amount
            credit[CREDITS_PENDING] += amount
            self._open(transfer, debit, credit, expires_at)
        else:
            debit[DEBITS_POSTED] += amount
            credit[CREDITS_POSTED] += amount
        self._write(transfer, position, debit, credit)
        return None

    def _note_pushed(self, debit_id: int, credit_id: int, debit: list[int], credit: list[int]) -> None:
        if debit[FLAGS] & DEBITS_MUST_NOT_EXCEED_CREDITS:
            self.pushed.append(debit_id)
        if credit[FLAGS] & CREDITS_MUST_NOT_EXCEED_DEBITS:
            self.pushed.append(credit_id)

    def _open(self, transfer: Transfer, debit: list[int], credit: list[int], expires_at: datetime | None) -> None:
        if transfer.flags & CLOSING_DEBIT:
            debit[FLAGS] |= CLOSED
        if transfer.flags & CLOSING_CREDIT:
            credit[FLAGS] |= CLOSED
        self.resolved[transfer.id] = PendingTransfer(
            id=transfer.id,
            version=1,
            state=PendingState.OPEN,
            debit_account=transfer.debit_account,
            credit_account=transfer.credit_account,
            amount_minor=transfer.amount_minor,
            flags=transfer.flags,
            subject=transfer.subject,
            code=transfer.code,
            expires_at=expires_at,
        )

    def _book_resolution(self, transfer: Transfer, position: int) -> Refusal | None:
        assert transfer.pending_id is not None
        found = self.resolved.get(transfer.pending_id) or find_pending(transfer.pending_id, self.pendings, self.known)
        if isinstance(found, Refusal):
            in_group = transfer.pending_id in self.seen
            return Refusal.PENDING_TRANSFER_NOT_PENDING if in_group else found
        refusal = refuse_resolution(transfer, found, self.at)
        if refusal is not None:
            return refusal
        debit_id, credit_id = found.debit_account, found.credit_account
        debit, credit = self._account(debit_id), self._account(credit_id)
        refusal = _refuse_accounts(debit_id, credit_id, debit, credit)
        if refusal is not None:
            return refusal
        assert debit is not None and credit is not None
        kind, posted = transfer.kind, 0
        if kind is Kind.POST:
            # Posting what closes would leave nothing whose voiding could open again, for a fact as well.
            asks = not transfer.flags & FACT or found.flags & CLOSING
            if asks and (debit[FLAGS] | credit[FLAGS]) & CLOSED:
                return _closed(debit)
            posted = found.amount_minor if transfer.amount_minor == AMOUNT_MAX else transfer.amount_minor
        elif found.flags & CLOSING:
            debit[FLAGS] &= ~(CLOSED if found.flags & CLOSING_DEBIT else 0)
            credit[FLAGS] &= ~(CLOSED if found.flags & CLOSING_CREDIT else 0)
        debit[DEBITS_PENDING] -= found.amount_minor
        credit[CREDITS_PENDING] -= found.amount_minor
        debit[DEBITS_POSTED] += posted
        credit[CREDITS_POSTED] += posted
        self.resolved[found.id] = _resolved(found, _STATE_AFTER[kind], posted)
        amount = posted if kind is Kind.POST else found.amount_minor
        subject = transfer.subject or found.subject
        self._write(_booked_as(transfer, debit_id, credit_id, amount, subject, found.code), position, debit, credit)
        return None

    def _write(self, transfer: Transfer, position: int, debit: list[int], credit: list[int]) -> None:
        debit[VERSION] += 1
        credit[VERSION] += 1
        self.seen[transfer.id] = transfer
        self.transfers.append(Booked(transfer=transfer, position=position, at=self.at))
        self.entries.append(_entry(transfer.debit_account, debit, transfer, DEBIT))
        self.entries.append(_entry(transfer.credit_account, credit, transfer, CREDIT))

    def posted(self) -> Posted:
        """The group, booked."""
        accounts = {id: _account_of(id, working) for id, working in self.accounts.items()}
        broken = tuple(dict.fromkeys(id for id in self.pushed if accounts[id].over_limit)) if self.pushed else ()
        return Posted(
            transfers=tuple(self.transfers),
            entries=tuple(self.entries),
            accounts=accounts,
            pendings=self.resolved,
            limit_broken=broken,
        )


def _refuse_accounts(
    debit_id: int, credit_id: int, debit: list[int] | None, credit: list[int] | None
) -> Refusal | None:
    if debit is None:
        return Refusal.DEBIT_ACCOUNT_NOT_FOUND
    if credit is None:
        return Refusal.CREDIT_ACCOUNT_NOT_FOUND
    difference = debit_id ^ credit_id
    if difference & _CURRENCY_BITS:
        return Refusal.ACCOUNTS_MUST_HAVE_THE_SAME_CURRENCY
    return Refusal.ACCOUNTS_MUST_HAVE_THE_SAME_MODE if difference & _MODE_BIT else None


def _closed(debit: list[int]) -> Refusal:
    return Refusal.DEBIT_ACCOUNT_ALREADY_CLOSED if debit[FLAGS] & CLOSED else Refusal.CREDIT_ACCOUNT_ALREADY_CLOSED


def _balanced(transfer: Transfer, debit: list[int], credit: list[int]) -> int:
    """The asked amount, or as much of it as the balancing side has left."""
    amount = transfer.amount_minor
    if transfer.flags & BALANCING_DEBIT:
        amount = min(amount, debit[CREDITS_POSTED] - debit[DEBITS_POSTED] - debit[DEBITS_PENDING])
    if transfer.flags & BALANCING_CREDIT:
        amount = min(amount, credit[DEBITS_POSTED] - credit[CREDITS_POSTED] - credit[CREDITS_PENDING])
    return max(amount, 0)


def _refuse_overflow(amount: int, debit: list[int], credit: list[int], *, pending: bool) -> Refusal | None:
    room = BIGINT_MAX - amount
    debits_pending, debits_posted = debit[DEBITS_PENDING], debit[DEBITS_POSTED]
    credits_pending, credits_posted = credit[CREDITS_PENDING], credit[CREDITS_POSTED]
    if debits_pending + debits_posted <= room and credits_pending + credits_posted <= room:
        return None
    if pending and debits_pending > room:
        return Refusal.OVERFLOWS_DEBITS_PENDING
    if pending and credits_pending > room:
        return Refusal.OVERFLOWS_CREDITS_PENDING
    if debits_posted > room:
        return Refusal.OVERFLOWS_DEBITS_POSTED
    if credits_posted > room:
        return Refusal.OVERFLOWS_CREDITS_POSTED
    return Refusal.OVERFLOWS_DEBITS if debits_pending + debits_posted > room else Refusal.OVERFLOWS_CREDITS


def _refuse_limits(amount: int, debit: list[int], credit: list[int]) -> Refusal | None:
    if (
        debit[FLAGS] & DEBITS_MUST_NOT_EXCEED_CREDITS
        and debit[DEBITS_PENDING] + debit[DEBITS_POSTED] + amount > debit[CREDITS_POSTED]
    ):
        return Refusal.EXCEEDS_CREDITS
    if (
        credit[FLAGS] & CREDITS_MUST_NOT_EXCEED_DEBITS
        and credit[CREDITS_PENDING] + credit[CREDITS_POSTED] + amount > credit[DEBITS_POSTED]
    ):
        return Refusal.EXCEEDS_DEBITS
    return None


def _booked_as(
    asked: Transfer, debit_account: int, credit_account: int, amount_minor: int, subject: UUID | None, code: str
) -> Transfer:
    return Transfer(
        id=asked.id,
        debit_account=debit_account,
        credit_account=credit_account,
        amount_minor=amount_minor,
        kind=asked.kind,
        pending_id=asked.pending_id,
        timeout_s=asked.timeout_s,
        flags=asked.flags,
        subject=subject,
        code=code,
    )


def _resolved(pending: PendingTransfer, state: PendingState, posted_minor: int) -> PendingTransfer:
    return PendingTransfer(
        id=pending.id,
        version=pending.version + 1,
        state=state,
        debit_account=pending.debit_account,
        credit_account=pending.credit_account,
        amount_minor=pending.amount_minor,
        flags=pending.flags,
        subject=pending.subject,
        code=pending.code,
        expires_at=pending.expires_at,
        posted_minor=posted_minor,
    )


def _entry(account_id: int, working: list[int], transfer: Transfer, side: int) -> Entry:
    version, debits_pending, debits_posted, credits_pending, credits_posted, flags = working
    return Entry(
        account_id=account_id,
        version=version,
        transfer_id=transfer.id,
        side=side,
        kind=transfer.kind,
        amount_minor=transfer.amount_minor,
        debits_pending=debits_pending,
        debits_posted=debits_posted,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        fact=bool(transfer.flags & FACT),
        flags=flags,
    )


def _account_of(id: int, working: list[int]) -> Account:
    version, debits_pending, debits_posted, credits_pending, credits_posted, flags = working
    return Account(
        id=id,
        version=version,
        debits_pending=debits_pending,
        debits_posted=debits_posted,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        flags=flags,
    )
