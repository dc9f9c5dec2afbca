"""The ledger: double entry, per shard one gap-free chain of postings. Amounts are integers in minor units.

A service builds a group of `Transfer`s (its `postings.py`), declares what it `needs`, asks `post` in its decision and
adds `puts` of the outcome to its rows: with `events` where a fact can overdraw a balance, with `due` and `done` where
it holds. `docs/money.md` has the chart of accounts and the T-accounts of every verb.
"""

from caudal.ledger.chain import GENESIS, number
from caudal.ledger.chart import (
    AccountName,
    Purpose,
    account_id,
    account_name,
    house_book,
    opened,
    transfer_id,
)
from caudal.ledger.decide import decide_group
from caudal.ledger.jobs import JOBS
from caudal.ledger.model import (
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
    Booked,
    Entry,
    Kind,
    PendingTransfer,
    Posted,
    Refusal,
    Refused,
    Transfer,
)
from caudal.ledger.rows import ACCOUNTS, PENDING_TRANSFERS, POSTINGS, done, due, events, needs, post, puts
from caudal.ledger.store import balances, balances_at

__all__ = [
    "ACCOUNTS",
    "AMOUNT_MAX",
    "BALANCING_CREDIT",
    "BALANCING_DEBIT",
    "CLOSED",
    "CLOSING_CREDIT",
    "CLOSING_DEBIT",
    "CREDITS_MUST_NOT_EXCEED_DEBITS",
    "DEBITS_MUST_NOT_EXCEED_CREDITS",
    "FACT",
    "GENESIS",
    "JOBS",
    "PENDING_TRANSFERS",
    "POSTINGS",
    "Account",
    "AccountName",
    "Booked",
    "Entry",
    "Kind",
    "PendingTransfer",
    "Posted",
    "Purpose",
    "Refusal",
    "Refused",
    "Transfer",
    "account_id",
    "account_name",
    "balances",
    "balances_at",
    "decide_group",
    "done",
    "due",
    "events",
    "house_book",
    "needs",
    "number",
    "opened",
    "post",
    "puts",
    "transfer_id",
]
