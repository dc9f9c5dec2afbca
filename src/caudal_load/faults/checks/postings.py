"""1: postings sum to zero, and balances equal the replay of postings by sequence."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from caudal_load.faults.checks.ledger import Counters, Step, currency_of, replay
from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Entry, Evidence, Shard

NAME = "1"


def check(evidence: Evidence) -> Iterator[Violation]:
    """What the replay of each shard finds."""
    for shard in evidence.shards:
        for what in _shard(evidence, shard):
            yield Violation(NAME, Harm.WRONG, what)


def _shard(evidence: Evidence, shard: Shard) -> Iterator[str]:
    transfers = [transfer for transfer in evidence.transfers if transfer.shard == shard.shard]
    if [transfer.seq for transfer in transfers] != list(range(1, shard.posting_seq + 1)):
        yield f"transfers of shard {shard.shard} are not numbered from 1 to {shard.posting_seq}"
    entries: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in evidence.entries:
        if entry.shard == shard.shard:
            entries[entry.seq].append(entry)
    after: dict[int, Counters] = {}
    for step in replay(transfers):
        yield from _entries(step, entries.pop(step.transfer.seq, []))
        if step.debit is not None and step.credit is not None:
            after[step.transfer.debit_account], after[step.transfer.credit_account] = step.debit, step.credit
    yield from (f"entries of transfer {seq}, which is not there" for seq in entries)
    stored = {row.id: Counters(*row[2:]) for row in evidence.accounts if row.shard == shard.shard}
    for id in sorted(stored.keys() | after.keys()):
        if stored.get(id) != after.get(id):
            yield f"account {id} says {stored.get(id)}, its postings {after.get(id)}"
    yield from _sums(after)


def _entries(step: Step, entries: list[Entry]) -> Iterator[str]:
    """Two entries, one a side, of the same amount, each with what the replay says its account is then."""
    transfer = step.transfer
    if step.debit is None or step.credit is None:
        yield f"transfer {transfer.seq} resolves {transfer.pending_id}, which nobody holds"
        return
    if sum(entry.side * entry.amount for entry in entries):
        yield f"the entries of transfer {transfer.seq} do not sum to zero"
    expected = {(1, transfer.debit_account): step.debit, (-1, transfer.credit_account): step.credit}
    found = {(entry.side, entry.account): entry for entry in entries}
    if found.keys() != expected.keys() or len(entries) != len(expected):
        yield f"transfer {transfer.seq} has entries {sorted(found)}"
        return
    for place, counters in expected.items():
        entry = found[place]
        stored = Counters(entry.version, *entry[5:9])
        if (stored, entry.amount) != (counters, transfer.amount):
            yield f"transfer {transfer.seq} leaves account {place[1]} at {counters}, its entry says {stored}"


def _sums(after: dict[int, Counters]) -> Iterator[str]:
    """Over all accounts of a currency and mode nothing is left."""
    posted, pending = Counter[int](), Counter[int]()
    for id, counters in after.items():
        posted[currency_of(id)] += counters.credits_posted - counters.debits_posted
        pending[currency_of(id)] += counters.credits_pending - counters.debits_pending
    for currency in posted:
        if posted[currency] or pending[currency]:
            yield f"balances of {currency:#x} sum to {posted[currency]} posted and {pending[currency]} pending"
