"""The replay finds each change that somebody plants in the rows of a shard, and names the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from caudal.app.replay import Difference, Model
from caudal.ledger import (
    AMOUNT_MAX,
    CLOSING_DEBIT,
    FACT,
    GENESIS,
    Account,
    Kind,
    PendingTransfer,
    Posted,
    Purpose,
    Transfer,
    account_id,
    decide_group,
    number,
    opened,
)

START = datetime(2026, 11, 23, 10, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BANK = account_id(0, "MXN", Purpose.BANK)
FEES = account_id(0, "MXN", Purpose.FEES)
ANA = account_id(2, "MXN", Purpose.PENDING)
BETO = account_id(4, "MXN", Purpose.PENDING)
SEQ, GROUP, ID, KIND, FLAGS, DEBIT, CREDIT, AMOUNT, PENDING_ID, TIMEOUT, SUBJECT, CODE, AT, HASH = range(14)
ENTRY_SEQ, SIDE, ENTRY_KIND, ENTRY_AMOUNT, DEBITS_PENDING, DEBITS_POSTED = 2, 3, 4, 5, 6, 7
FACTS = 10


class Shelf:
    """The rows of a shard, as the replay reads them; whoever likes changes them."""

    def __init__(self) -> None:
        accounts: dict[int, Account] = {id: opened(id) for id in (BANK, FEES, ANA, BETO)}
        pendings: dict[UUID, PendingTransfer] = {}
        self.seq, self.chain = 0, GENESIS
        self.transfers: list[list[Any]] = []
        self.entries: dict[tuple[int, int], list[Any]] = {}
        for at, group in _story():
            posted = decide_group(accounts, pendings, {}, group, at)
            assert isinstance(posted, Posted), posted
            accounts.update(posted.accounts)
            pendings.update(posted.pendings)
            rows = number(posted.transfers, posted.entries, self.seq + 1, self.chain)
            self.seq, self.chain = rows.last_seq, rows.last_hash
            self.transfers += [_plain(row) for row in rows.transfers]
            self.entries |= {(row.account_id, row.version): list(row) for row in rows.entries}
        self.accounts = [_account_row(account) for account in accounts.values()]
        self.pendings = [_pending_row(pending) for pending in pendings.values()]

    def differences(self, ranges: int = 3) -> list[Difference]:
        """What `replay` does, without a database."""
        model = Model(0)
        entries = {place: tuple(row) for place, row in self.entries.items()}
        size = -(-self.seq // ranges)
        for low in range(0, self.seq, size):
            model.take([row for row in self.transfers if low < row[SEQ] <= low + size], entries)
        model.history = set()
        suspects = model.differing_accounts(self.accounts) + model.differing_pendings(self.pendings)
        model.judge(suspects)
        if (model.seq, model.chain) != (self.seq, self.chain):
            model.report("shard", "shard 0", "stands elsewhere")
        return model.differences + [Difference("transfer_id", 0, str(pair), "") for pair in model.repeated()]

    def entry(self, seq: int, side: int) -> list[Any]:
        """The entry of a transfer on one side."""
        return next(row for row in self.entries.values() if row[ENTRY_SEQ] == seq and row[SIDE] == side)


def _story() -> list[tuple[datetime, list[Transfer]]]:
    """Twelve payments with fees, and holds that are posted, voided, expired, open, closing."""
    story: list[tuple[datetime, list[Transfer]]] = []
    for turn in range(12):
        at, merchant = START + timedelta(seconds=turn), (ANA, BETO)[turn % 2]
        received = _transfer(100 + turn, BANK, merchant, 12_050, FACT)
        story.append((at, [received, _transfer(200 + turn, merchant, FEES, 350, FACT)]))
    at = START + timedelta(minutes=1)
    for ordinal in range(4):
        story.append((at, [_transfer(300 + ordinal, ANA, BETO, 500, kind=Kind.PENDING, timeout_s=60)]))
    story.append((at, [_transfer(400, 0, 0, 200, kind=Kind.POST, pending_id=UUID(int=300))]))
    story.append((at, [_transfer(401, 0, 0, 0, kind=Kind.VOID, pending_id=UUID(int=301))]))
    later = at + timedelta(minutes=1)
    story.append((later, [_transfer(402, 0, 0, 0, kind=Kind.EXPIRE, pending_id=UUID(int=302))]))
    story.append((later, [_transfer(500, BETO, BANK, 90_000, FACT)]))
    story.append((later, [_transfer(501, ANA, BANK, AMOUNT_MAX, 2)]))
    story.append((later, [_transfer(502, ANA, BANK, 0, CLOSING_DEBIT, kind=Kind.PENDING)]))
    story.append((later, [_transfer(503, 0, 0, 0, kind=Kind.VOID, pending_id=UUID(int=502))]))
    story.append((later, [_transfer(504, BANK, ANA, 100)]))
    return story


def _transfer(id: int, debit: int, credit: int, amount_minor: int, flags: int = 0, **more: Any) -> Transfer:
    return Transfer(
        id=UUID(int=id),
        debit_account=debit,
        credit_account=credit,
        amount_minor=amount_minor,
        flags=flags,
        subject=UUID(int=id % 100 + 1),
        code="" if debit == 0 else "test",
        **more,
    )


def _micros(at: datetime | None) -> int | None:
    return None if at is None else (at - EPOCH) // timedelta(microseconds=1)


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [
        value.bytes if isinstance(value, UUID) else _micros(value) if isinstance(value, datetime) else value
        for value in row
    ]


def _account_row(a: Account) -> list[Any]:
    return [a.id, a.version, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted, a.flags]


def _pending_row(p: PendingTransfer) -> list[Any]:
    subject, expires_us = p.subject and p.subject.bytes, _micros(p.expires_at)
    accounts = (p.debit_account, p.credit_account, p.amount_minor, p.flags)
    return [p.id.bytes, p.version, p.state.value, *accounts, subject, p.code, expires_us, p.posted_minor]


def _set(rows: Any, index: Any, field: int, value: Any) -> None:
    assert rows[index][field] != value
    rows[index][field] = value


def _add(row: list[Any], field: int, by: int = 1) -> None:
    row[field] += by


PLANTS: dict[str, tuple[Callable[[Shelf], object], str, str]] = {
    "an amount": (lambda s: _add(s.transfers[6], AMOUNT), "hash", "transfer 7"),
    "a code": (lambda s: _set(s.transfers, 6, CODE, "tess"), "hash", "transfer 7"),
    "a subject": (lambda s: _set(s.transfers, 6, SUBJECT, None), "hash", "transfer 7"),
    "a time": (lambda s: _add(s.transfers[6], AT), "hash", "transfer 7"),
    "a time beyond the next": (lambda s: _add(s.transfers[6], AT, 10**8), "transfer_time", "transfer 8"),
    "a hash": (lambda s: _set(s.transfers, 6, HASH, bytes(32)), "hash", "transfer 7"),
    "a group": (lambda s: _add(s.transfers[7], GROUP, -2), "transfer_group", "transfer 8"),
    "an id": (lambda s: _set(s.transfers, 6, ID, s.transfers[4][ID]), "transfer_id", "(5, 7)"),
    "an account": (lambda s: _set(s.transfers, 6, DEBIT, s.transfers[6][CREDIT]), "transfer_accounts", "transfer 7"),
    "a transfer gone": (lambda s: s.transfers.pop(6), "transfer_number", "transfer 8"),
    "the last transfer gone": (lambda s: s.transfers.pop(), "shard", "shard 0"),
    "an entry's amount": (lambda s: _add(s.entry(7, 1), ENTRY_AMOUNT), "entry", f"account {BANK} version 4"),
    "an entry's counter": (lambda s: _add(s.entry(7, 1), DEBITS_POSTED), "entry", f"account {BANK} version 4"),
    "an entry's hold": (lambda s: _add(s.entry(7, 1), DEBITS_PENDING), "entry", f"account {BANK} version 4"),
    "an entry's side": (lambda s: _add(s.entry(7, 1), SIDE, -2), "entry", f"account {BANK} version 4"),
    "an entry's number": (lambda s: _add(s.entry(7, 1), ENTRY_SEQ, -1), "entry", f"account {BANK} version 4"),
    "an entry's kind": (lambda s: _add(s.entry(7, 1), ENTRY_KIND), "entry", f"account {BANK} version 4"),
    "a fact made a request": (lambda s: _set(s.entries, (BANK, 4), FACTS, False), "entry", f"account {BANK} version 4"),
    "an entry gone": (lambda s: s.entries.pop((BANK, 4)), "entry", f"account {BANK} version 4"),
    "a balance": (lambda s: _add(s.accounts[2], 3), "account", f"account {ANA}"),
    "an account's version": (lambda s: _add(s.accounts[2], 1), "account", f"account {ANA}"),
    "an account's flags": (lambda s: _set(s.accounts, 2, 6, 4), "account", f"account {ANA}"),
    "an account from nowhere": (lambda s: s.accounts.append([99, 1, 0, 0, 0, 0, 0]), "account", "account 99"),
    "a hold resolved": (lambda s: _set(s.pendings, 3, 2, 4), "pending_transfer", f"pending transfer {303:032x}"),
    "a hold's amount": (lambda s: _add(s.pendings[3], 5), "pending_transfer", f"pending transfer {303:032x}"),
    "the shard's number": (lambda s: setattr(s, "seq", s.seq + 1), "shard", "shard 0"),
    "the shard's chain": (lambda s: setattr(s, "chain", bytes(32)), "shard", "shard 0"),
}


def test_what_the_ledger_books_replays_without_a_difference() -> None:
    assert Shelf().differences() == []


@pytest.mark.parametrize("ranges", [1, 2, 40])
def test_the_size_of_the_ranges_makes_no_difference(ranges: int) -> None:
    assert Shelf().differences(ranges) == []


@pytest.mark.parametrize("plant", PLANTS)
def test_it_names(plant: str) -> None:
    change, check, subject = PLANTS[plant]
    shelf = Shelf()
    change(shelf)
    assert (check, subject) in {(found.check, found.subject) for found in shelf.differences()}


@pytest.mark.parametrize("plant", PLANTS)
def test_one_change_does_not_accuse_everything_after_it(plant: str) -> None:
    shelf = Shelf()
    PLANTS[plant][0](shelf)
    assert len(shelf.differences()) <= 8


def _rules_broken(*groups: tuple[int, list[Transfer]]) -> set[str]:
    """Rows that agree with each other but not with the rules: written by a ledger that checks nothing."""
    model, seq, chain = Model(0), 0, GENESIS
    accounts = {id: opened(id) for id in (BANK, FEES, ANA, BETO)}
    lawless = {id: Account(id=id) for id in accounts}
    for second, group in groups:
        posted = decide_group(lawless, {}, {}, group, START + timedelta(seconds=second))
        assert isinstance(posted, Posted), posted
        lawless.update(posted.accounts)
        rows = number(posted.transfers, posted.entries, seq + 1, chain)
        seq, chain = rows.last_seq, rows.last_hash
        entries = {}
        for row in rows.entries:
            limited = opened(row.account_id).flags
            entries[row.account_id, row.version] = (*row[:-1], limited)
        model.take([_plain(row) for row in rows.transfers], entries)
    return {found.check for found in model.differences}


def test_a_request_beyond_the_limit_is_found() -> None:
    deposit = _transfer(1, BANK, ANA, 100, FACT)
    assert "limit" not in _rules_broken((0, [deposit]), (1, [_transfer(2, ANA, BANK, 100)]))
    assert "limit" in _rules_broken((0, [deposit]), (1, [_transfer(2, ANA, BANK, 101)]))
    assert "limit" not in _rules_broken((0, [deposit]), (1, [_transfer(2, ANA, BANK, 101, FACT)]))


def test_a_limit_holds_at_every_prefix_of_a_group() -> None:
    group = [_transfer(1, ANA, BANK, 1), _transfer(2, BANK, ANA, 1)]
    assert "limit" in _rules_broken((0, group))


def _resolved(second: int, *resolutions: tuple[Kind, int]) -> list[tuple[str, str]]:
    """A hold of 100 for a minute, and transfers that resolve it; whatever the rules say about them."""
    model = Model(0)
    hold = [1, 1, bytes(15) + b"\1", 2, FACT, BANK, ANA, 100, None, 60, None, "hold", 0, bytes(32)]
    model.take([hold], {})
    for seq, (kind, amount) in enumerate(resolutions, 2):
        at_us = second * 10**6
        row = [
            seq,
            seq,
            bytes([seq] * 16),
            kind.value,
            0,
            BANK,
            ANA,
            amount,
            hold[ID],
            0,
            None,
            "hold",
            at_us,
            bytes(32),
        ]
        model.take([row], {})
    return [(found.check, found.detail) for found in model.differences if found.check == "pending"]


@pytest.mark.parametrize(
    ("second", "resolutions", "detail"),
    [
        (1, [(Kind.POST, 100), (Kind.VOID, 100)], "a second time"),
        (1, [(Kind.POST, 101)], "resolves 101 of 100"),
        (1, [(Kind.VOID, 99)], "resolves 99 of 100"),
        (60, [(Kind.POST, 100)], "comes after its expiry"),
        (59, [(Kind.EXPIRE, 100)], "expires it too early"),
    ],
)
def test_a_hold_that_is_resolved_wrongly_is_found(
    second: int, resolutions: list[tuple[Kind, int]], detail: str
) -> None:
    assert [detail in found for _, found in _resolved(second, *resolutions)] == [True]


@pytest.mark.parametrize(
    ("second", "kind", "amount"), [(1, Kind.POST, 1), (59, Kind.VOID, 100), (60, Kind.EXPIRE, 100)]
)
def test_a_hold_that_is_resolved_rightly_is_not(second: int, kind: Kind, amount: int) -> None:
    assert _resolved(second, (kind, amount)) == []


def test_a_thousand_differences_are_enough() -> None:
    model = Model(0)
    for number_ in range(1_200):
        model.report("test", str(number_), "")
    assert (len(model.differences), model.unreported) == (1_000, 200)
