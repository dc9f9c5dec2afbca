"""The rungs that need no balance: is the transfer well formed, is it new, may it resolve what it names?

Each function returns the first refusal that applies, in the order of `Refusal`, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from caudal.ledger.model import (
    AMOUNT_MAX,
    BALANCING,
    BIGINT_MAX,
    CLOSING,
    FACT,
    Kind,
    PendingState,
    PendingTransfer,
    Refusal,
    Transfer,
)

_ID_MAX: Final = 2**128 - 1
_TIMEOUT_MAX_S: Final = 2**31 - 1
_ALL_FLAGS: Final = FACT | BALANCING | CLOSING
_RESOLVED: Final = {
    PendingState.POSTED: Refusal.PENDING_TRANSFER_ALREADY_POSTED,
    PendingState.VOIDED: Refusal.PENDING_TRANSFER_ALREADY_VOIDED,
    PendingState.EXPIRED: Refusal.PENDING_TRANSFER_EXPIRED,
}
_Differs = Callable[[Transfer, Transfer], bool]
_EXISTS: Final[tuple[tuple[_Differs, Refusal], ...]] = (
    (lambda asked, old: asked.kind is not old.kind, Refusal.EXISTS_WITH_DIFFERENT_KIND),
    (lambda asked, old: asked.flags != old.flags, Refusal.EXISTS_WITH_DIFFERENT_FLAGS),
    (lambda asked, old: asked.pending_id != old.pending_id, Refusal.EXISTS_WITH_DIFFERENT_PENDING_ID),
    (lambda asked, old: asked.timeout_s != old.timeout_s, Refusal.EXISTS_WITH_DIFFERENT_TIMEOUT),
    (
        lambda asked, old: asked.debit_account not in _allowed(asked, 0, old.debit_account),
        Refusal.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT,
    ),
    (
        lambda asked, old: asked.credit_account not in _allowed(asked, 0, old.credit_account),
        Refusal.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT,
    ),
)


def resolves(kind: Kind) -> bool:
    """Whether a transfer of this kind resolves a pending one."""
    return kind is not Kind.DIRECT and kind is not Kind.PENDING


def refuse_shape(transfer: Transfer) -> Refusal | None:
    """What no state of the ledger could make right and no repetition excuses."""
    if transfer.flags & ~_ALL_FLAGS:
        return Refusal.RESERVED_FLAG
    if not 0 < transfer.id.int < _ID_MAX:
        return Refusal.ID_MUST_NOT_BE_MAX if transfer.id.int else Refusal.ID_MUST_NOT_BE_ZERO
    if not 0 <= transfer.amount_minor <= BIGINT_MAX:
        return Refusal.AMOUNT_OUT_OF_RANGE
    if not 0 <= transfer.timeout_s <= _TIMEOUT_MAX_S:
        return Refusal.TIMEOUT_OUT_OF_RANGE
    return None


def refuse_repeated(asked: Transfer, old: Transfer, pending: PendingTransfer | None) -> Refusal:
    """A transfer with this id is there already; `pending` is what that one resolved, if it did and is at hand."""
    for differs, refusal in _EXISTS:
        if differs(asked, old):
            return refusal
    if _amount_differs(asked, old, pending):
        return Refusal.EXISTS_WITH_DIFFERENT_AMOUNT
    if asked.subject != old.subject and not (asked.subject is None and resolves(asked.kind)):
        return Refusal.EXISTS_WITH_DIFFERENT_SUBJECT
    if asked.code != old.code and not (asked.code == "" and resolves(asked.kind)):
        return Refusal.EXISTS_WITH_DIFFERENT_CODE
    return Refusal.EXISTS


def _allowed(asked: Transfer, placeholder: int, old: int) -> tuple[int, ...]:
    return (placeholder, old) if resolves(asked.kind) else (old,)


def _amount_differs(asked: Transfer, old: Transfer, pending: PendingTransfer | None) -> bool:
    if asked.flags & BALANCING:  # asked for at most this much
        return old.amount_minor > asked.amount_minor
    if asked.kind is Kind.POST and asked.amount_minor == AMOUNT_MAX:
        return pending is not None and old.amount_minor != pending.amount_minor
    if asked.amount_minor == 0 and (asked.kind is Kind.VOID or asked.kind is Kind.EXPIRE):
        return False
    return asked.amount_minor != old.amount_minor


def refuse_form(transfer: Transfer) -> Refusal | None:
    """Fields that contradict each other."""
    kind = transfer.kind
    if kind is Kind.DIRECT or kind is Kind.PENDING:
        if transfer.flags & CLOSING and transfer.flags & FACT:
            return Refusal.FLAGS_ARE_MUTUALLY_EXCLUSIVE  # who closes asks: a fact would meet no closed account
        if transfer.debit_account == 0:
            return Refusal.DEBIT_ACCOUNT_MUST_NOT_BE_ZERO
        if transfer.credit_account == 0:
            return Refusal.CREDIT_ACCOUNT_MUST_NOT_BE_ZERO
        if transfer.debit_account == transfer.credit_account:
            return Refusal.ACCOUNTS_MUST_BE_DIFFERENT
        if transfer.pending_id is not None:
            return Refusal.PENDING_ID_MUST_BE_ABSENT
        if transfer.timeout_s and kind is Kind.DIRECT:
            return Refusal.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER
        if transfer.flags & CLOSING and kind is Kind.DIRECT:
            return Refusal.CLOSING_TRANSFER_MUST_BE_PENDING
        return None if transfer.code else Refusal.CODE_MUST_NOT_BE_EMPTY
    if transfer.flags & (BALANCING | CLOSING):
        return Refusal.FLAGS_ARE_MUTUALLY_EXCLUSIVE
    if transfer.pending_id is None:
        return Refusal.PENDING_ID_MUST_BE_PRESENT
    if transfer.pending_id == transfer.id:
        return Refusal.PENDING_ID_MUST_BE_DIFFERENT
    return Refusal.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER if transfer.timeout_s else None


def refuse_resolution(transfer: Transfer, pending: PendingTransfer, at: datetime) -> Refusal | None:
    """Whether `transfer` may post, void or expire `pending` at this time (that of the batch)."""
    if transfer.debit_account not in (0, pending.debit_account):
        return Refusal.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT
    if transfer.credit_account not in (0, pending.credit_account):
        return Refusal.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT
    if transfer.code not in ("", pending.code):
        return Refusal.PENDING_TRANSFER_HAS_DIFFERENT_CODE
    posts_all = transfer.kind is Kind.POST and transfer.amount_minor == AMOUNT_MAX
    if transfer.amount_minor > pending.amount_minor and not posts_all:
        return Refusal.EXCEEDS_PENDING_TRANSFER_AMOUNT
    if transfer.kind is not Kind.POST and transfer.amount_minor not in (0, pending.amount_minor):
        return Refusal.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT
    if pending.state is not PendingState.OPEN:
        return _RESOLVED[pending.state]
    due = pending.expires_at is not None and at >= pending.expires_at
    if transfer.kind is Kind.EXPIRE:
        return None if due else Refusal.PENDING_TRANSFER_NOT_YET_EXPIRED
    return Refusal.PENDING_TRANSFER_EXPIRED if due else None


def find_pending(
    id: UUID, pendings: Mapping[UUID, PendingTransfer], known: Mapping[UUID, Transfer]
) -> PendingTransfer | Refusal:
    """The pending transfer of this id, or why there is none to resolve."""
    found = pendings.get(id)
    if found is not None:
        return found
    return Refusal.PENDING_TRANSFER_NOT_PENDING if id in known else Refusal.PENDING_TRANSFER_NOT_FOUND
