"""The ledger once more, as plainly as it can be said: transfers in the order of `seq`, four counters an account.

It knows the rules of docs/money.md and shares no code with caudal. Check 1 compares what is stored with it, check 4
holds every prefix of it against the limits.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from caudal_load.faults.evidence import Transfer

DIRECT, PENDING, POST = 1, 2, 3
FACT = 1
LAST_LIMITED_PURPOSE = 5
_PURPOSES = 64


class Counters(NamedTuple):
    """An account after an entry."""

    version: int = 0
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0


class Step(NamedTuple):
    """A transfer, and both of its accounts after it; None where it resolves a hold that nobody made."""

    transfer: Transfer
    debit: Counters | None
    credit: Counters | None


def replay(transfers: Iterable[Transfer]) -> Iterator[Step]:
    """Every transfer of one shard in its order, with what it leaves."""
    accounts: dict[int, Counters] = {}
    holds: dict[str, int] = {}
    for transfer in transfers:
        pending, posted = transfer.amount, 0
        if transfer.kind == DIRECT:
            pending, posted = 0, transfer.amount
        elif transfer.kind == PENDING:
            holds[transfer.id] = transfer.amount
        else:
            held = holds.pop(transfer.pending_id or "", None)
            if held is None:
                yield Step(transfer, None, None)
                continue
            pending, posted = -held, transfer.amount if transfer.kind == POST else 0
        debit = accounts.get(transfer.debit_account, Counters())
        debit = accounts[transfer.debit_account] = debit._replace(
            version=debit.version + 1,
            debits_pending=debit.debits_pending + pending,
            debits_posted=debit.debits_posted + posted,
        )
        credit = accounts.get(transfer.credit_account, Counters())
        credit = accounts[transfer.credit_account] = credit._replace(
            version=credit.version + 1,
            credits_pending=credit.credits_pending + pending,
            credits_posted=credit.credits_posted + posted,
        )
        yield Step(transfer, debit, credit)


def is_limited(account: int) -> bool:
    """Whether what we owe somebody stands there: nobody can ask for more of it than there is."""
    return account % _PURPOSES <= LAST_LIMITED_PURPOSE


def currency_of(account: int) -> int:
    """Mode and ISO 4217 number of an account."""
    return account & 0x1FFC0
