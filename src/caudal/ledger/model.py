"""The nouns of the ledger: accounts, transfers, entries, and what a group of transfers came to.

Amounts and counters are integers in minor units; a bigint holds them. The semantics of transfers, pending transfers,
balancing and closing are the public ones of TigerBeetle (docs.tigerbeetle.com, "Reference"), to which `FACT` is added:
a fact has already happened outside, so no limit and no closure refuses it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

import msgspec

BIGINT_MAX: Final = 2**63 - 1
AMOUNT_MAX: Final = BIGINT_MAX  # on a posting transfer: all of what is pending; on a balancing one: all there is

# Flags of accounts.
DEBITS_MUST_NOT_EXCEED_CREDITS: Final = 1
CREDITS_MUST_NOT_EXCEED_DEBITS: Final = 2
CLOSED: Final = 4

# Flags of transfers.
FACT: Final = 1
BALANCING_DEBIT: Final = 2
BALANCING_CREDIT: Final = 4
CLOSING_DEBIT: Final = 8
CLOSING_CREDIT: Final = 16
BALANCING: Final = BALANCING_DEBIT | BALANCING_CREDIT
CLOSING: Final = CLOSING_DEBIT | CLOSING_CREDIT

DEBIT: Final = 1
CREDIT: Final = -1


class Kind(Enum):
    """What a transfer does. Only a pending one reserves; the last three resolve a pending one, once."""

    DIRECT = 1
    PENDING = 2
    POST = 3
    VOID = 4
    EXPIRE = 5


class PendingState(Enum):
    """How a pending transfer stands."""

    OPEN = 0
    POSTED = 3
    VOIDED = 4
    EXPIRED = 5


class Account(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An account after `version` entries. An account that has none yet is version 0 (see `chart.opened`)."""

    id: int
    version: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0
    flags: int = 0

    @property
    def credit_balance_minor(self) -> int:
        """What the account holds for its owner: posted credits less posted debits; negative when overdrawn."""
        return self.credits_posted - self.debits_posted

    @property
    def over_limit(self) -> bool:
        """Whether the account's limit is broken now, which only a fact can do."""
        return over_limit(
            self.flags, self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted
        )


class Transfer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One amount from a debit to a credit account. `fact` and the rest are bits of `flags`.

    `pending_id` names the pending transfer that a POST, VOID or EXPIRE resolves; there, accounts of 0 and an empty
    `code` stand for the pending transfer's own, an amount of `AMOUNT_MAX` posts all of it, 0 voids all of it.
    `subject` is the object it is about, `code` the verb (`payin.received`).
    """

    id: UUID
    debit_account: int
    credit_account: int
    amount_minor: int
    kind: Kind = Kind.DIRECT
    pending_id: UUID | None = None
    timeout_s: int = 0
    flags: int = 0
    subject: UUID | None = None
    code: str


class PendingTransfer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pending transfer and how it stands: version 1 while open, 2 once resolved."""

    id: UUID
    version: int
    state: PendingState
    debit_account: int
    credit_account: int
    amount_minor: int
    flags: int
    subject: UUID | None
    code: str
    expires_at: datetime | None
    posted_minor: int = 0


class Booked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A transfer as it was booked (true amount, accounts and code), its place in its group, and the batch's time."""

    transfer: Transfer
    position: int
    at: datetime


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One side of one transfer: the account's counters, flags and version right after it."""

    account_id: int
    version: int
    transfer_id: UUID
    side: int
    kind: Kind
    amount_minor: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    fact: bool
    flags: int


class Refusal(Enum):
    """Why a transfer is not booked, in the order in which it is checked: the first that applies is the answer."""

    LINKED_EVENT_FAILED = "linked_event_failed"
    RESERVED_FLAG = "reserved_flag"
    ID_MUST_NOT_BE_ZERO = "id_must_not_be_zero"
    ID_MUST_NOT_BE_MAX = "id_must_not_be_max"
    AMOUNT_OUT_OF_RANGE = "amount_out_of_range"
    TIMEOUT_OUT_OF_RANGE = "timeout_out_of_range"
    EXISTS_WITH_DIFFERENT_KIND = "exists_with_different_kind"
    EXISTS_WITH_DIFFERENT_FLAGS = "exists_with_different_flags"
    EXISTS_WITH_DIFFERENT_PENDING_ID = "exists_with_different_pending_id"
    EXISTS_WITH_DIFFERENT_TIMEOUT = "exists_with_different_timeout"
    EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT = "exists_with_different_debit_account"
    EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT = "exists_with_different_credit_account"
    EXISTS_WITH_DIFFERENT_AMOUNT = "exists_with_different_amount"
    EXISTS_WITH_DIFFERENT_SUBJECT = "exists_with_different_subject"
    EXISTS_WITH_DIFFERENT_CODE = "exists_with_different_code"
    EXISTS = "exists"
    FLAGS_ARE_MUTUALLY_EXCLUSIVE = "flags_are_mutually_exclusive"
    DEBIT_ACCOUNT_MUST_NOT_BE_ZERO = "debit_account_must_not_be_zero"
    CREDIT_ACCOUNT_MUST_NOT_BE_ZERO = "credit_account_must_not_be_zero"
    ACCOUNTS_MUST_BE_DIFFERENT = "accounts_must_be_different"
    PENDING_ID_MUST_BE_ABSENT = "pending_id_must_be_absent"
    PENDING_ID_MUST_BE_PRESENT = "pending_id_must_be_present"
    PENDING_ID_MUST_BE_DIFFERENT = "pending_id_must_be_different"
    TIMEOUT_RESERVED_FOR_PENDING_TRANSFER = "timeout_reserved_for_pending_transfer"
    CLOSING_TRANSFER_MUST_BE_PENDING = "closing_transfer_must_be_pending"
    CODE_MUST_NOT_BE_EMPTY = "code_must_not_be_empty"
    PENDING_TRANSFER_NOT_FOUND = "pending_transfer_not_found"
    PENDING_TRANSFER_NOT_PENDING = "pending_transfer_not_pending"
    PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT = "pending_transfer_has_different_debit_account"
    PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT = "pending_transfer_has_different_credit_account"
    PENDING_TRANSFER_HAS_DIFFERENT_CODE = "pending_transfer_has_different_code"
    EXCEEDS_PENDING_TRANSFER_AMOUNT = "exceeds_pending_transfer_amount"
    PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT = "pending_transfer_has_different_amount"
    PENDING_TRANSFER_ALREADY_POSTED = "pending_transfer_already_posted"
    PENDING_TRANSFER_ALREADY_VOIDED = "pending_transfer_already_voided"
    PENDING_TRANSFER_EXPIRED = "pending_transfer_expired"
    PENDING_TRANSFER_NOT_YET_EXPIRED = "pending_transfer_not_yet_expired"
    DEBIT_ACCOUNT_NOT_FOUND = "debit_account_not_found"
    CREDIT_ACCOUNT_NOT_FOUND = "credit_account_not_found"
    ACCOUNTS_MUST_HAVE_THE_SAME_CURRENCY = "accounts_must_have_the_same_currency"
    ACCOUNTS_MUST_HAVE_THE_SAME_MODE = "accounts_must_have_the_same_mode"
    DEBIT_ACCOUNT_ALREADY_CLOSED = "debit_account_already_closed"
    CREDIT_ACCOUNT_ALREADY_CLOSED = "credit_account_already_closed"
    OVERFLOWS_DEBITS_PENDING = "overflows_debits_pending"
    OVERFLOWS_CREDITS_PENDING = "overflows_credits_pending"
    OVERFLOWS_DEBITS_POSTED = "overflows_debits_posted"
    OVERFLOWS_CREDITS_POSTED = "overflows_credits_posted"
    OVERFLOWS_DEBITS = "overflows_debits"
    OVERFLOWS_CREDITS = "overflows_credits"
    OVERFLOWS_TIMEOUT = "overflows_timeout"
    EXCEEDS_CREDITS = "exceeds_credits"
    EXCEEDS_DEBITS = "exceeds_debits"


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is booked: what to write. Entries stand two to a transfer, the debit side first.

    `accounts` and `pendings` hold the values after the group. `limit_broken` names the accounts that a fact of this
    group pushed, or pushed further, beyond their limit and that are beyond it at the group's end.
    """

    transfers: tuple[Booked, ...]
    entries: tuple[Entry, ...]
    accounts: dict[int, Account]
    pendings: dict[UUID, PendingTransfer]
    limit_broken: tuple[int, ...] = ()


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A group of which nothing is booked: `refusal` is that of the transfer at `index`, the first that fails."""

    index: int
    refusal: Refusal
    size: int

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """One answer a transfer: its own for the one that failed, `LINKED_EVENT_FAILED` for all the others."""
        answers = [Refusal.LINKED_EVENT_FAILED] * self.size
        answers[self.index] = self.refusal
        return tuple(answers)


def over_limit(flags: int, debits_pending: int, debits_posted: int, credits_pending: int, credits_posted: int) -> bool:
    """Whether an account with these flags and counters (minor units) is beyond its limit, holds included."""
    if flags & DEBITS_MUST_NOT_EXCEED_CREDITS and debits_pending + debits_posted > credits_posted:
        return True
    return bool(flags & CREDITS_MUST_NOT_EXCEED_DEBITS and credits_pending + credits_posted > debits_posted)
