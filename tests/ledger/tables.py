"""The ledger's tests as aligned text: accounts, transfers, what each came to, balances.

    account  A  0/0  0/100  debits<=credits     name[@live][@USD]; debits and credits, pending/posted; its flags
    transfer T1 A B  40  direct - - - pay  ok   id, debit, credit, amount, kind, pending, timeout_s, flags, code, answer
    linked   T2 …                               the same, and the next line belongs to its group
    clock    3600                               seconds go by
    balance  A  0/40 0/100                      what the account holds now

`-` is nothing: account 0, no id, no flag, an empty code. `max` is the most that an amount can be.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from caudal.ledger import (
    AMOUNT_MAX,
    BALANCING_CREDIT,
    BALANCING_DEBIT,
    CLOSED,
    CLOSING_CREDIT,
    CLOSING_DEBIT,
    CREDITS_MUST_NOT_EXCEED_DEBITS,
    DEBITS_MUST_NOT_EXCEED_CREDITS,
    FACT,
    Account,
    Kind,
    PendingTransfer,
    Posted,
    Purpose,
    Refused,
    Transfer,
    account_id,
    decide_group,
)

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
ACCOUNT_FLAGS = {
    "-": 0,
    "debits<=credits": DEBITS_MUST_NOT_EXCEED_CREDITS,
    "credits<=debits": CREDITS_MUST_NOT_EXCEED_DEBITS,
    "closed": CLOSED,
}
TRANSFER_FLAGS = {
    "-": 0,
    "fact": FACT,
    "balancing_debit": BALANCING_DEBIT,
    "balancing_credit": BALANCING_CREDIT,
    "closing_debit": CLOSING_DEBIT,
    "closing_credit": CLOSING_CREDIT,
    "reserved": 1 << 10,
}


class Books:
    """The state between the lines of a table."""

    def __init__(self, at: datetime = START) -> None:
        self.at = at
        self.accounts: dict[int, Account] = {}
        self.pendings: dict[UUID, PendingTransfer] = {}
        self.known: dict[UUID, Transfer] = {}
        self.posted: list[Posted] = []
        self.answers: list[str] = []

    def run(self, table: str) -> Books:
        """Play a table; every answer and balance in it is asserted."""
        group: list[tuple[Transfer, str, str]] = []
        for line in filter(None, map(str.strip, table.splitlines())):
            word, *cells = line.split()
            if word in ("transfer", "linked"):
                group.append((_transfer(cells), cells[9], line))
            if word == "transfer":
                self._post(group)
                group = []
            elif word == "account":
                account = _account(cells)
                self.accounts[account.id] = account
            elif word == "clock":
                self.at += timedelta(seconds=int(cells[0]))
            elif word == "balance":
                found = self.accounts[_id(cells[0])]
                assert _balance(found) == cells[1:], line
        assert not group, "the table ends in the middle of a group"
        return self

    def _post(self, group: list[tuple[Transfer, str, str]]) -> None:
        outcome = decide_group(
            self.accounts, self.pendings, self.known, [transfer for transfer, _, _ in group], self.at
        )
        if isinstance(outcome, Refused):
            answers = [refusal.value for refusal in outcome.refusals]
        else:
            self.take(outcome)
            broken = {entry.transfer_id for entry in outcome.entries if entry.account_id in outcome.limit_broken}
            answers = ["limit_broken" if transfer.id in broken else "ok" for transfer, _, _ in group]
        for answer, (_, expected, line) in zip(answers, group, strict=True):
            assert answer == expected, f"{line}: {answer}"
        self.answers += answers

    def take(self, outcome: Posted) -> None:
        """What a batch would write."""
        self.accounts.update(outcome.accounts)
        self.pendings.update(outcome.pendings)
        self.known.update({booked.transfer.id: booked.transfer for booked in outcome.transfers})
        self.posted.append(outcome)


def _id(name: str) -> int:
    if name == "-":
        return 0
    letter, *where = name.split("@")
    book = 2 * (ord(letter) - ord("A") + 1) + ("live" in where)
    currencies = [word for word in where if word != "live"]
    return account_id(book, currencies[0] if currencies else "MXN", Purpose.PENDING)


def _account(cells: list[str]) -> Account:
    name, debits, credits, *flags = cells
    (debits_pending, debits_posted), (credits_pending, credits_posted) = _counters(debits), _counters(credits)
    return Account(
        id=_id(name),
        debits_pending=debits_pending,
        debits_posted=debits_posted,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        flags=sum(ACCOUNT_FLAGS[flag] for flag in flags),
    )


def _balance(account: Account) -> list[str]:
    flags = [name for name, bit in ACCOUNT_FLAGS.items() if bit & account.flags]
    debits = f"{account.debits_pending}/{account.debits_posted}"
    return [debits, f"{account.credits_pending}/{account.credits_posted}", *flags]


def _counters(text: str) -> tuple[int, int]:
    pending, posted = text.split("/")
    return _amount(pending), _amount(posted)


def _amount(text: str) -> int:
    number, _, less = text.partition("max")
    return int(number) if "max" not in text else AMOUNT_MAX + int(less or 0)


def _uuid(text: str) -> UUID | None:
    return None if text == "-" else UUID(int=2**128 - 1 if text == "Tmax" else int(text[1:]))


def _transfer(cells: list[str]) -> Transfer:
    id, debit, credit, amount, kind, pending, timeout, flags, code, *_ = cells
    transfer_id = _uuid(id)
    assert transfer_id is not None
    return Transfer(
        id=transfer_id,
        debit_account=_id(debit),
        credit_account=_id(credit),
        amount_minor=_amount(amount),
        kind=Kind[kind.upper()],
        pending_id=_uuid(pending),
        timeout_s=0 if timeout == "-" else int(timeout),
        flags=sum(TRANSFER_FLAGS[flag] for flag in flags.split("+")),
        subject=UUID(int=7) if code.startswith("other") else None,
        code="" if code == "-" else code,
    )
