"""The rules of the ledger once more, for the machine: every refusal a predicate, all in the order of the ladder.

Written for plainness: each predicate is asked of the whole state, none relies on the ones before it having failed to
apply, except that it may be meaningless (an account that is not there), which counts as "does not apply".
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from caudal.ledger import AMOUNT_MAX, Kind, Refusal, Transfer

LIMITED_DEBITS, LIMITED_CREDITS, CLOSED = 1, 2, 4
FACT, BALANCING_DEBIT, BALANCING_CREDIT, CLOSING_DEBIT, CLOSING_CREDIT = 1, 2, 4, 8, 16
NEW = (Kind.DIRECT, Kind.PENDING)


class Sums:
    """An account: what is held and what is posted on each side."""

    def __init__(self, flags: int) -> None:
        self.held = {"debit": 0, "credit": 0}
        self.posted = {"debit": 0, "credit": 0}
        self.flags = flags

    def copy(self) -> Sums:
        other = Sums(self.flags)
        other.held, other.posted = dict(self.held), dict(self.posted)
        return other


class Plain:
    """Accounts, booked transfers and the fates of pending ones."""

    def __init__(self, accounts: dict[int, int]) -> None:
        self.accounts = {id: Sums(flags) for id, flags in accounts.items()}
        self.booked: dict[int, Transfer] = {}
        self.fate: dict[int, tuple[str, datetime | None]] = {}

    def group(self, transfers: list[Transfer], at: datetime) -> list[Refusal] | None:
        """None when all are booked, else one refusal each."""
        saved = {id: sums.copy() for id, sums in self.accounts.items()}, dict(self.booked), dict(self.fate)
        for index, transfer in enumerate(transfers):
            refusal = self._first(transfer, at)
            if refusal is None:
                self._book(transfer, at)
                continue
            self.accounts, self.booked, self.fate = saved
            answers = [Refusal.LINKED_EVENT_FAILED] * len(transfers)
            answers[index] = refusal
            return answers
        return None

    def _first(self, t: Transfer, at: datetime) -> Refusal | None:
        for refusal, applies in _RUNGS.items():
            if applies(self, t, at):
                return refusal
        return None

    def pending(self, t: Transfer) -> Transfer | None:
        found = self.booked.get(t.pending_id.int) if t.pending_id else None
        return found if found is not None and found.kind is Kind.PENDING else None

    def sides(self, t: Transfer) -> tuple[Sums | None, Sums | None]:
        p = self.pending(t) or t
        return self.accounts.get(p.debit_account), self.accounts.get(p.credit_account)

    def amount(self, t: Transfer) -> int:
        debit, credit = self.sides(t)
        amount, p = t.amount_minor, self.pending(t)
        if p is not None and t.kind not in NEW:
            whole = (t.kind is Kind.POST and amount == AMOUNT_MAX) or t.kind is not Kind.POST
            return p.amount_minor if whole else amount
        if t.flags & BALANCING_DEBIT and debit:
            amount = min(amount, max(0, debit.posted["credit"] - debit.posted["debit"] - debit.held["debit"]))
        if t.flags & BALANCING_CREDIT and credit:
            amount = min(amount, max(0, credit.posted["debit"] - credit.posted["credit"] - credit.held["credit"]))
        return amount

    def _book(self, t: Transfer, at: datetime) -> None:
        amount, p = self.amount(t), self.pending(t)
        debit, credit = self.sides(t)
        assert debit and credit
        for sums, side in ((debit, "debit"), (credit, "credit")):
            if p is not None:
                sums.held[side] -= p.amount_minor
            if t.kind in (Kind.DIRECT, Kind.POST):
                sums.posted[side] += amount
            if t.kind is Kind.PENDING:
                sums.held[side] += amount
        closing = p.flags if p and t.kind in (Kind.VOID, Kind.EXPIRE) else t.flags if t.kind is Kind.PENDING else 0
        for sums, bit in ((debit, CLOSING_DEBIT), (credit, CLOSING_CREDIT)):
            if closing & bit:
                sums.flags = sums.flags | CLOSED if t.kind is Kind.PENDING else sums.flags & ~CLOSED
        if t.kind is Kind.PENDING:
            self.fate[t.id.int] = ("open", at + timedelta(seconds=t.timeout_s) if t.timeout_s else None)
        if p is not None:
            self.fate[p.id.int] = (t.kind.name.lower(), None)
        source = p or t
        self.booked[t.id.int] = Transfer(
            id=t.id,
            debit_account=source.debit_account,
            credit_account=source.credit_account,
            amount_minor=amount,
            kind=t.kind,
            pending_id=t.pending_id,
            timeout_s=t.timeout_s,
            flags=t.flags,
            subject=t.subject or source.subject,
            code=source.code,
        )


def _old(model: Plain, t: Transfer) -> Transfer | None:
    return model.booked.get(t.id.int)


def _differs(field: str, *placeholders: object) -> Callable[[Plain, Transfer, datetime], bool]:
    def applies(model: Plain, t: Transfer, at: datetime) -> bool:
        old, asked = _old(model, t), getattr(t, field)
        if old is None or (t.kind not in NEW and asked in placeholders):
            return False
        return bool(asked != getattr(old, field))

    return applies


def _other_amount(model: Plain, t: Transfer, at: datetime) -> bool:
    old = _old(model, t)
    if old is None:
        return False
    if t.flags & (BALANCING_DEBIT | BALANCING_CREDIT):
        return t.amount_minor < old.amount_minor
    resolved = t.pending_id and model.booked.get(t.pending_id.int)
    whole = (t.kind is Kind.POST and t.amount_minor == AMOUNT_MAX) or (
        t.kind not in (*NEW, Kind.POST) and not t.amount_minor
    )
    return old.amount_minor != (resolved.amount_minor if whole and resolved else t.amount_minor)


def _fate(*fates: str) -> Callable[[Plain, Transfer, datetime], bool]:
    return lambda m, t, at: t.pending_id is not None and m.fate.get(t.pending_id.int, ("", None))[0] in fates


def _is_over(m: Plain, t: Transfer, at: datetime) -> bool:
    expires = m.fate[t.pending_id.int][1] if t.pending_id and t.pending_id.int in m.fate else None
    return expires is not None and at >= expires


def _beyond(m: Plain, t: Transfer, side: int, limit: int) -> bool:
    sums, name, other = m.sides(t)[side], ("debit", "credit")[side], ("credit", "debit")[side]
    if sums is None or t.flags & FACT or t.kind not in NEW or not sums.flags & limit:
        return False
    return sums.held[name] + sums.posted[name] + m.amount(t) > sums.posted[other]


def _closed(m: Plain, t: Transfer, side: int) -> bool:
    sums = m.sides(t)[side]
    closes = t.kind is Kind.POST and (m.pending(t) or t).flags >= CLOSING_DEBIT
    asks = closes or not t.flags & FACT
    return bool(sums and sums.flags & CLOSED and asks and t.kind not in (Kind.VOID, Kind.EXPIRE))


_RUNGS: dict[Refusal, Callable[[Plain, Transfer, datetime], bool]] = {
    Refusal.EXISTS_WITH_DIFFERENT_KIND: _differs("kind"),
    Refusal.EXISTS_WITH_DIFFERENT_FLAGS: _differs("flags"),
    Refusal.EXISTS_WITH_DIFFERENT_PENDING_ID: _differs("pending_id"),
    Refusal.EXISTS_WITH_DIFFERENT_TIMEOUT: _differs("timeout_s"),
    Refusal.EXISTS_WITH_DIFFERENT_DEBIT_ACCOUNT: _differs("debit_account", 0),
    Refusal.EXISTS_WITH_DIFFERENT_CREDIT_ACCOUNT: _differs("credit_account", 0),
    Refusal.EXISTS_WITH_DIFFERENT_AMOUNT: _other_amount,
    Refusal.EXISTS_WITH_DIFFERENT_CODE: _differs("code", ""),
    Refusal.EXISTS: lambda m, t, at: _old(m, t) is not None,
    Refusal.FLAGS_ARE_MUTUALLY_EXCLUSIVE: lambda m, t, at: (
        bool(t.flags & ~FACT) if t.kind not in NEW else t.flags & FACT > 0 and t.flags >= CLOSING_DEBIT
    ),
    Refusal.DEBIT_ACCOUNT_MUST_NOT_BE_ZERO: lambda m, t, at: t.kind in NEW and not t.debit_account,
    Refusal.CREDIT_ACCOUNT_MUST_NOT_BE_ZERO: lambda m, t, at: t.kind in NEW and not t.credit_account,
    Refusal.ACCOUNTS_MUST_BE_DIFFERENT: lambda m, t, at: t.kind in NEW and t.debit_account == t.credit_account,
    Refusal.PENDING_ID_MUST_BE_ABSENT: lambda m, t, at: t.kind in NEW and t.pending_id is not None,
    Refusal.PENDING_ID_MUST_BE_DIFFERENT: lambda m, t, at: t.pending_id == t.id,
    Refusal.TIMEOUT_RESERVED_FOR_PENDING_TRANSFER: lambda m, t, at: t.timeout_s > 0 and t.kind is not Kind.PENDING,
    Refusal.CLOSING_TRANSFER_MUST_BE_PENDING: lambda m, t, at: t.kind is Kind.DIRECT and t.flags >= CLOSING_DEBIT,
    Refusal.PENDING_TRANSFER_NOT_FOUND: lambda m, t, at: (
        t.kind not in NEW and t.pending_id is not None and t.pending_id.int not in m.booked
    ),
    Refusal.PENDING_TRANSFER_NOT_PENDING: lambda m, t, at: t.kind not in NEW and m.pending(t) is None,
    Refusal.PENDING_TRANSFER_HAS_DIFFERENT_DEBIT_ACCOUNT: lambda m, t, at: (
        t.kind not in NEW and t.debit_account not in (0, (m.pending(t) or t).debit_account)
    ),
    Refusal.PENDING_TRANSFER_HAS_DIFFERENT_CREDIT_ACCOUNT: lambda m, t, at: (
        t.kind not in NEW and t.credit_account not in (0, (m.pending(t) or t).credit_account)
    ),
    Refusal.PENDING_TRANSFER_HAS_DIFFERENT_CODE: lambda m, t, at: (
        t.kind not in NEW and t.code not in ("", (m.pending(t) or t).code)
    ),
    Refusal.EXCEEDS_PENDING_TRANSFER_AMOUNT: lambda m, t, at: (
        t.kind not in NEW
        and not (t.kind is Kind.POST and t.amount_minor == AMOUNT_MAX)
        and t.amount_minor > (m.pending(t) or t).amount_minor
    ),
    Refusal.PENDING_TRANSFER_HAS_DIFFERENT_AMOUNT: lambda m, t, at: (
        t.kind in (Kind.VOID, Kind.EXPIRE) and t.amount_minor not in (0, (m.pending(t) or t).amount_minor)
    ),
    Refusal.PENDING_TRANSFER_ALREADY_POSTED: _fate("post"),
    Refusal.PENDING_TRANSFER_ALREADY_VOIDED: _fate("void"),
    Refusal.PENDING_TRANSFER_EXPIRED: lambda m, t, at: (
        _fate("expire")(m, t, at) or (t.kind in (Kind.POST, Kind.VOID) and _is_over(m, t, at))
    ),
    Refusal.PENDING_TRANSFER_NOT_YET_EXPIRED: lambda m, t, at: t.kind is Kind.EXPIRE and not _is_over(m, t, at),
    Refusal.DEBIT_ACCOUNT_ALREADY_CLOSED: lambda m, t, at: _closed(m, t, 0),
    Refusal.CREDIT_ACCOUNT_ALREADY_CLOSED: lambda m, t, at: _closed(m, t, 1),
    Refusal.EXCEEDS_CREDITS: lambda m, t, at: _beyond(m, t, 0, LIMITED_DEBITS),
    Refusal.EXCEEDS_DEBITS: lambda m, t, at: _beyond(m, t, 1, LIMITED_CREDITS),
}
