"""7: the hash chain holds, computed anew from the rows as docs/money.md lays them out."""

from collections.abc import Iterator
from hashlib import sha256
from struct import pack

from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Entry, Evidence, Transfer

NAME = "7"
_GENESIS = bytes(32)
_NO_ID = bytes(16)


def check(evidence: Evidence) -> Iterator[Violation]:
    """The first hash of each shard that is another; from there on everything is."""
    entries = {(entry.shard, entry.seq, entry.side): entry for entry in evidence.entries}
    for shard in evidence.shards:
        chain = _GENESIS
        for transfer in (row for row in evidence.transfers if row.shard == shard.shard):
            debit = entries.get((shard.shard, transfer.seq, 1))
            credit = entries.get((shard.shard, transfer.seq, -1))
            if debit is None or credit is None:
                yield Violation(NAME, Harm.WRONG, f"transfer {transfer.seq} lacks an entry")
                break
            chain = sha256(chain + packed(transfer) + packed_entry(debit) + packed_entry(credit)).digest()
            if chain.hex() != transfer.hash:
                yield Violation(
                    NAME, Harm.WRONG, f"transfer {transfer.seq} has hash {transfer.hash}, not {chain.hex()}"
                )
                break
        else:
            if chain.hex() != shard.chain:
                what = f"shard {shard.shard} says {shard.chain}, its last transfer {chain.hex()}"
                yield Violation(NAME, Harm.WRONG, what)


def packed(transfer: Transfer) -> bytes:
    """A transfer and its code, big-endian."""
    code = transfer.code.encode()
    return (
        pack(
            ">qq16sBHqqq16si16sqH",
            transfer.seq,
            transfer.group_seq,
            bytes.fromhex(transfer.id),
            transfer.kind,
            transfer.flags,
            transfer.debit_account,
            transfer.credit_account,
            transfer.amount,
            bytes.fromhex(transfer.pending_id) if transfer.pending_id else _NO_ID,
            transfer.timeout_s,
            bytes.fromhex(transfer.subject) if transfer.subject else _NO_ID,
            transfer.at_us,
            len(code),
        )
        + code
    )


def packed_entry(entry: Entry) -> bytes:
    """One side of it."""
    return pack(
        ">qqbqqqqqBH",
        entry.account,
        entry.version,
        entry.side,
        entry.amount,
        entry.debits_pending,
        entry.debits_posted,
        entry.credits_pending,
        entry.credits_posted,
        entry.fact,
        entry.flags,
    )
