"""The ledger's tables as the write path takes them, and the calls that services make.

    outcome = post(view, group)          # Posted | Refused; raises Missing for an account that was not read
    Decision(puts=puts(outcome), events=events(outcome), …)                    # a group with facts that can overdraw
    Decision(puts=puts(outcome), due=due(outcome), done=done(outcome), …)      # a group with holds

Accounts and pending transfers are written with the version that was read as their guard. Postings are numbered and
chained when the batch is written, in the order of its commands; `shard.posting_seq` and `shard.chain` move with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain as flatten
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from caudal.contracts.ledger import BalanceWentNegative
from caudal.kernel import ids, sqlfile
from caudal.kernel.commit.model import Due, Event, Head, Put, Row, Statement, Table, View
from caudal.kernel.db import bigints, booleans, byteas, integers, texts, timestamps, uuids
from caudal.kernel.http import encode
from caudal.ledger.chain import EntryRow, TransferRow, number
from caudal.ledger.chart import account_name, opened
from caudal.ledger.decide import decide_group
from caudal.ledger.model import FACT, Account, PendingState, PendingTransfer, Posted, Refused, Transfer

EXPIRE: Final = "hold.expire"
_OPEN: Final = PendingState.OPEN
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class Accounts(Table[int, Account]):
    """Balances. An account without a row has had no entry yet: `chart.opened`."""

    name = "account"

    def reading(self, shard: int, keys: Sequence[int]) -> Statement:
        return SQL["read_accounts"], (shard, bigints(keys))

    def load(self, row: Row) -> tuple[int, Account]:
        account = account_of(row)
        return account.id, account

    def key(self, record: Account) -> int:
        return record.id

    def inserting(self, head: Head, records: Sequence[Account]) -> Iterable[Statement]:
        yield SQL["insert_accounts"], (head.shard, *_balances(records), len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Account]]) -> Iterable[Statement]:
        versions = bigints([version for version, _ in changes])
        columns = _balances([account for _, account in changes])
        yield SQL["update_accounts"], (versions, *columns, head.shard, len(changes))


def _balances(accounts: Sequence[Account]) -> tuple[object, ...]:
    return (
        bigints([a.id for a in accounts]),
        bigints([a.version for a in accounts]),
        bigints([a.debits_pending for a in accounts]),
        bigints([a.debits_posted for a in accounts]),
        bigints([a.credits_pending for a in accounts]),
        bigints([a.credits_posted for a in accounts]),
        integers([a.flags for a in accounts]),
    )


class PendingTransfers(Table[UUID, PendingTransfer]):
    """How holds stand: each is resolved at most once."""

    name = "pending_transfer"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_pending_transfers"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, PendingTransfer]:
        id, version, state, debit, credit, amount_minor, flags, subject, code, expires_at, posted_minor = row
        pending = PendingTransfer(
            id=id,
            version=version,
            state=PendingState(state),
            debit_account=debit,
            credit_account=credit,
            amount_minor=amount_minor,
            flags=flags,
            subject=subject,
            code=code,
            expires_at=expires_at,
            posted_minor=posted_minor,
        )
        return id, pending

    def key(self, record: PendingTransfer) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[PendingTransfer]) -> Iterable[Statement]:
        columns = (
            uuids([p.id for p in records]),
            integers([p.version for p in records]),
            integers([p.state.value for p in records]),
            bigints([p.debit_account for p in records]),
            bigints([p.credit_account for p in records]),
            bigints([p.amount_minor for p in records]),
            integers([p.flags for p in records]),
            uuids([p.subject for p in records]),
            texts([p.code for p in records]),
            timestamps([p.expires_at for p in records]),
            bigints([p.posted_minor for p in records]),
        )
        yield SQL["insert_pending_transfers"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, PendingTransfer]]) -> Iterable[Statement]:
        records = [pending for _, pending in changes]
        columns = (
            integers([version for version, _ in changes]),
            uuids([p.id for p in records]),
            integers([p.version for p in records]),
            integers([p.state.value for p in records]),
            bigints([p.posted_minor for p in records]),
        )
        yield SQL["update_pending_transfers"], (*columns, head.shard, len(records))


class Postings(Table[int, Posted]):
    """Transfers and entries, only ever added. One record is a whole group."""

    name = "transfer"

    def inserting(self, head: Head, records: Sequence[Posted]) -> Iterable[Statement]:
        booked = list(flatten.from_iterable(posted.transfers for posted in records))
        entries = list(flatten.from_iterable(posted.entries for posted in records))
        rows = number(booked, entries, head.posting_seq + 1, head.chain)
        head.posting_seq, head.chain = rows.last_seq, rows.last_hash
        yield SQL["insert_transfers"], (head.shard, *_transfer_columns(rows.transfers), len(rows.transfers))
        yield SQL["insert_entries"], (head.shard, *_entry_columns(rows.entries), head.shard, head.shard, len(entries))


def _transfer_columns(rows: Sequence[TransferRow]) -> tuple[object, ...]:
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
    seq, group_seq, id, kind, flags, debit, credit, amount, pending, timeout, subject, code, at, hash = columns
    return (
        *(bigints(seq), bigints(group_seq), uuids(id), integers(kind), integers(flags)),
        *(bigints(debit), bigints(credit), bigints(amount), uuids(pending), integers(timeout)),
        *(uuids(subject), texts(code), timestamps(at), byteas(hash)),
    )


def _entry_columns(rows: Sequence[EntryRow]) -> tuple[object, ...]:
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True))
    account, version, seq, side, kind, amount, *counters, fact, flags = columns
    return (
        *(bigints(account), bigints(version), bigints(seq), integers(side), integers(kind), bigints(amount)),
        *(*map(bigints, counters), booleans(fact), integers(flags)),
    )


def account_of(row: Row) -> Account:
    """A row of `account`."""
    id, version, debits_pending, debits_posted, credits_pending, credits_posted, flags = row
    return Account(
        id=id,
        version=version,
        debits_pending=debits_pending,
        debits_posted=debits_posted,
        credits_pending=credits_pending,
        credits_posted=credits_posted,
        flags=flags,
    )


ACCOUNTS: Final = Accounts()
PENDING_TRANSFERS: Final = PendingTransfers()
POSTINGS: Final = Postings()


def needs(group: Iterable[Transfer]) -> Iterable[tuple[Table[int, Account] | Table[UUID, PendingTransfer], int | UUID]]:
    """The rows that posting this group looks at, for a command's `needs`."""
    for transfer in group:
        for id in (transfer.debit_account, transfer.credit_account):
            if id:
                yield ACCOUNTS, id
        if transfer.pending_id is not None:
            yield PENDING_TRANSFERS, transfer.pending_id


def post(view: View, group: Sequence[Transfer]) -> Posted | Refused:
    """Decide a group on what the batch has read and decided so far. Raises Missing for a row that was not read.

    Earlier transfers are not known: a service's own state forbids that one is repeated (docs/adr/0002-transfer-ids.md).
    """
    accounts, pendings = rows_of(view, group)
    return decide_group(accounts, pendings, {}, group, view.at)


def rows_of(view: View, group: Sequence[Transfer]) -> tuple[dict[int, Account], dict[UUID, PendingTransfer]]:
    """The accounts and pending transfers that a group is decided on."""
    pendings: dict[UUID, PendingTransfer] = {}
    accounts: dict[int, Account] = {}
    for transfer in group:
        ids = [transfer.debit_account, transfer.credit_account]
        if transfer.pending_id is not None:
            pending = view.get(PENDING_TRANSFERS, transfer.pending_id)
            if pending is not None:
                pendings[pending.id] = pending
                ids = [pending.debit_account, pending.credit_account]
        for id in ids:
            if id and id not in accounts:
                accounts[id] = view.get(ACCOUNTS, id) or opened(id)
    return accounts, pendings


def puts(posted: Posted) -> tuple[Put, ...]:
    """The rows of a booked group, for a decision."""
    accounts = [Put(ACCOUNTS, account) for account in posted.accounts.values()]
    pendings = [Put(PENDING_TRANSFERS, pending) for pending in posted.pendings.values()]
    return (*accounts, *pendings, Put(POSTINGS, posted))


def events(posted: Posted) -> tuple[Event, ...]:
    """What a group with facts has to say: one event for each balance that it leaves below its limit, mostly none."""
    return tuple(_went_negative(posted, id) for id in posted.limit_broken)


def _went_negative(posted: Posted, id: int) -> Event:
    account, name, balance = posted.accounts[id], account_name(id), UUID(int=id)
    taken = [one.transfer for one in posted.transfers if one.transfer.debit_account == id and one.transfer.flags & FACT]
    data = BalanceWentNegative(
        id=ids.public("bal", balance),
        mode="live" if name.live else "test",
        name=name.purpose.name.lower(),  # type: ignore[arg-type]  # a limit is only on what belongs to somebody
        currency=name.currency,
        amount=account.credit_balance_minor - account.debits_pending,
        cause=taken[-1].code,
    )
    return Event(type="balance.went_negative", subject=balance, book=name.book, data=encode(data))


def due(posted: Posted) -> tuple[Due, ...]:
    """The work that ends the group's new holds when their time has passed."""
    return tuple(_expiry(hold) for hold in posted.pendings.values() if hold.expires_at and hold.state is _OPEN)


def done(posted: Posted) -> tuple[Due, ...]:
    """The work that nothing waits for any more, because the group has resolved the holds."""
    return tuple(_expiry(hold) for hold in posted.pendings.values() if hold.expires_at and hold.state is not _OPEN)


def _expiry(hold: PendingTransfer) -> Due:
    assert hold.expires_at is not None
    return Due(at=hold.expires_at, kind=EXPIRE, subject=hold.id, book=account_name(hold.debit_account).book)
