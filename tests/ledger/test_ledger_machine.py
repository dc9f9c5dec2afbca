"""Random groups on few accounts: the ledger and the plain model answer alike and hold the same money."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from caudal.ledger import (
    AMOUNT_MAX,
    GENESIS,
    Account,
    Kind,
    Purpose,
    Refused,
    Transfer,
    account_id,
    decide_group,
    number,
)
from tests.ledger.plain import FACT, LIMITED_CREDITS, LIMITED_DEBITS, Plain
from tests.ledger.tables import START, Books

AVAILABLE = account_id(2, "MXN", Purpose.AVAILABLE)
OWED = account_id(4, "MXN", Purpose.PENDING)
BANK = account_id(0, "MXN", Purpose.BANK)
ACCOUNTS = {
    AVAILABLE: LIMITED_DEBITS,
    account_id(2, "MXN", Purpose.PENDING): LIMITED_DEBITS,
    OWED: LIMITED_CREDITS,
    BANK: 0,
}
PAIRS = [(debit, credit) for debit in ACCOUNTS for credit in ACCOUNTS if debit != credit]
RARELY = st.integers(0, 15).map(lambda die: die == 11)  # not 0, which is drawn more often
AMOUNTS = st.sampled_from([0, 1, 2, 5, 10, 50])


def transfers(data: st.DataObject, books: Books, used: list[UUID]) -> Transfer:
    """Mostly sensible: a new id, two accounts, or a pending transfer to resolve; each field wrong now and then."""
    old = len(used) > 0 and data.draw(RARELY)
    id = data.draw(st.sampled_from(used)) if old else UUID(int=len(used) + 1)
    if id in books.known and data.draw(st.booleans()):
        return books.known[id]
    used.append(id)
    if len(books.pendings) > 0 and data.draw(st.integers(0, 2)):
        return _resolving(data, books, id)
    debit, credit = data.draw(st.sampled_from(PAIRS))
    return Transfer(
        id=id,
        debit_account=0 if data.draw(RARELY) else debit,
        credit_account=debit if data.draw(RARELY) else credit,
        amount_minor=data.draw(AMOUNTS),
        kind=data.draw(st.sampled_from([Kind.DIRECT, Kind.PENDING])),
        pending_id=id if data.draw(RARELY) else None,
        timeout_s=data.draw(st.sampled_from([0, 0, 60])),
        flags=data.draw(st.sampled_from([0, 0, 0, FACT, FACT, 2, 4, 6, FACT | 2, *[8, 16] * data.draw(RARELY)])),
        code=data.draw(st.sampled_from(["pay", "hold"])),
    )


def _resolving(data: st.DataObject, books: Books, id: UUID) -> Transfer:
    kind = data.draw(st.sampled_from([Kind.POST, Kind.POST, Kind.VOID, Kind.EXPIRE]))
    pending = books.pendings[data.draw(st.sampled_from(sorted(books.pendings)))]
    named = data.draw(st.booleans())
    wrong = data.draw(RARELY)
    some = data.draw(st.sampled_from(list(ACCOUNTS)))
    return Transfer(
        id=id,
        debit_account=(some if wrong else pending.debit_account) if named else 0,
        credit_account=(some if data.draw(RARELY) else pending.credit_account) if named else 0,
        amount_minor=data.draw(AMOUNTS) if data.draw(st.booleans()) else AMOUNT_MAX if kind is Kind.POST else 0,
        kind=kind,
        pending_id=data.draw(st.sampled_from([id, UUID(int=10**9), *books.known])) if data.draw(RARELY) else pending.id,
        timeout_s=60 * data.draw(RARELY),
        flags=data.draw(st.sampled_from([0, 0, FACT, *[2, 8] * data.draw(RARELY)])),
        code=data.draw(st.sampled_from(["", pending.code, "pay"])),
    )


class LedgerMachine(RuleBasedStateMachine):
    accounts: ClassVar[dict[int, int]] = ACCOUNTS

    def __init__(self) -> None:
        super().__init__()
        self.plain = Plain(self.accounts)
        self.used: list[UUID] = []
        self.story: list[tuple[datetime, list[Transfer]]] = []
        self.books = Books(START)
        self.books.accounts = {id: Account(id=id, flags=flags) for id, flags in self.accounts.items()}
        self._both([_opening(number, *pair) for number, pair in enumerate([(BANK, AVAILABLE), (OWED, BANK)], 1)])

    @rule(data=st.data(), size=st.sampled_from([1, 1, 2, 3]))
    def post(self, data: st.DataObject, size: int) -> None:
        self._both([transfers(data, self.books, self.used) for _ in range(size)])

    def _both(self, group: list[Transfer]) -> None:
        books = self.books
        self.story.append((books.at, group))
        outcome = decide_group(books.accounts, books.pendings, books.known, group, books.at)
        expected = self.plain.group(group, books.at)
        if isinstance(outcome, Refused):
            assert list(outcome.refusals) == expected
        else:
            assert expected is None, expected
            books.take(outcome)

    @rule(seconds=st.sampled_from([1, 59, 60]))
    def time_passes(self, seconds: int) -> None:
        self.books.at += timedelta(seconds=seconds)

    @invariant()
    def both_hold_the_same_money(self) -> None:
        for id, account in self.books.accounts.items():
            sums = self.plain.accounts[id]
            held = (account.debits_pending, account.credits_pending, account.flags)
            assert held == (sums.held["debit"], sums.held["credit"], sums.flags)
            assert (account.debits_posted, account.credits_posted) == (sums.posted["debit"], sums.posted["credit"])

    @invariant()
    def debits_are_credits(self) -> None:
        accounts = self.books.accounts.values()
        assert sum(a.debits_posted - a.credits_posted for a in accounts) == 0
        assert sum(a.debits_pending - a.credits_pending for a in accounts) == 0

    def teardown(self) -> None:
        """Entries follow each other, and one chain over all groups is the chain over each after the other."""
        versions = dict.fromkeys(ACCOUNTS, 0)
        entries = [entry for posted in self.books.posted for entry in posted.entries]
        for entry in entries:
            versions[entry.account_id] += 1
            assert entry.version == versions[entry.account_id]
        assert versions == {id: account.version for id, account in self.books.accounts.items()}
        transfers = [booked for posted in self.books.posted for booked in posted.transfers]
        seq, chain = 0, GENESIS
        for posted in self.books.posted:
            _, _, seq, chain = number(posted.transfers, posted.entries, seq + 1, chain)
        assert number(transfers, entries, 1, GENESIS)[2:] == (seq, chain)


def _opening(number: int, debit: int, credit: int) -> Transfer:
    id = UUID(int=10**6 + number)
    return Transfer(id=id, debit_account=debit, credit_account=credit, amount_minor=60, flags=FACT, code="opening")


TestLedgerMachine = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
