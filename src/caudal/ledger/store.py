"""What is read of the ledger outside of a batch: balances, now and as they stood."""

from __future__ import annotations

from datetime import datetime

from caudal.kernel.context import Context
from caudal.ledger.chart import ids_of_book
from caudal.ledger.model import Account
from caudal.ledger.rows import SQL, account_of


async def balances(context: Context, shard: int, book: int) -> list[Account]:
    """Every account of a book, by id."""
    return [account_of(row) for row in await context.rows(SQL["balances"], (shard, *ids_of_book(book)))]


async def balances_at(context: Context, shard: int, book: int, at: datetime) -> list[Account]:
    """Every account of a book as it stood after the last posting at or before this time (the shard's own clock).

    Accounts that had no entry yet are left out. About twenty probes of an index an account.
    """
    found = await context.row(SQL["seq_at"], (shard, at, shard))
    seq = 0 if found is None else int(found[0])
    accounts = []
    for account in await balances(context, shard, book):
        row = await context.row(SQL["entry_at_seq"], (shard, account.id, seq, shard, account.id, shard, account.id))
        if row is not None:
            version, _, *rest = row
            accounts.append(account_of((account.id, version, *rest)))
    return accounts
