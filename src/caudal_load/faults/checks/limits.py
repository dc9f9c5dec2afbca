"""4: no request takes an account beyond its limit, at any prefix of the postings; no payin gives more than it got."""

from collections import Counter
from collections.abc import Iterator

from caudal_load.faults.checks.ledger import FACT, PENDING, Counters, is_limited, replay
from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Evidence

NAME = "4"


def check(evidence: Evidence) -> Iterator[Violation]:
    """Prefix by prefix, and payin by payin."""
    for shard in evidence.shards:
        for step in replay(row for row in evidence.transfers if row.shard == shard.shard):
            transfer = step.transfer
            if transfer.flags & FACT or transfer.kind > PENDING:
                continue
            if step.debit is not None and is_limited(transfer.debit_account) and _is_beyond(step.debit):
                what = f"the request {transfer.seq} ({transfer.code}) leaves account {transfer.debit_account} overdrawn"
                yield Violation(NAME, Harm.WRONG, f"{what}: {step.debit}")
    for what in _payins(evidence):
        yield Violation(NAME, Harm.WRONG, what)


def _is_beyond(account: Counters) -> bool:
    return account.debits_pending + account.debits_posted > account.credits_posted


def _payins(evidence: Evidence) -> Iterator[str]:
    captured, refunded = Counter[str](), Counter[str]()
    for operation in evidence.operations:
        if operation.kind == "capture" and operation.status == "succeeded":
            captured[operation.payin] += operation.amount
        elif operation.kind == "refund" and operation.status != "failed":
            refunded[operation.payin] += operation.amount
    for payin in evidence.payins:
        if captured[payin.id] > payin.authorized:
            yield f"payin {payin.id} captured {captured[payin.id]} of {payin.authorized}"
        if refunded[payin.id] > payin.received:
            yield f"payin {payin.id} gives back {refunded[payin.id]} of {payin.received}"
