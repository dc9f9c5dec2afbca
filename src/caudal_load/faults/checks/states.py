"""6: a payin's states follow each other only along the table, from the first to the one that it shows.

The table is that of docs/states.md, copied here as data; a test compares the two.
"""

from collections import defaultdict
from collections.abc import Iterator

from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Change, Evidence

NAME = "6"
WITHOUT_PROVIDER = "spei"
"""A payin by this method begins `pending`; all others are `submitting` until their provider has answered."""
_AROUND = "capture_requested capture_failed cancel_requested cancel_failed"
TABLE: dict[str, dict[str, str]] = {
    "submitting": {
        "submitted_again": "submitting",
        "next_attempt": "submitting",
        "accepted": "pending",
        "authorized": "authorized",
        "all_received": "paid",
        "declined": "declined",
        "failed": "failed",
    },
    "pending": {
        "authorized": "authorized",
        "part_received": "pending",
        "all_received": "paid",
        "declined": "declined",
        "time_passed": "expired",
        "cancel_requested": "pending",
        "cancel_failed": "pending",
        "cancelled": "cancelled",
    },
    "authorized": {
        **dict.fromkeys(_AROUND.split(), "authorized"),
        "captured": "paid",
        "time_passed": "expired",
        "cancelled": "cancelled",
    },
    "paid": {
        **dict.fromkeys(_AROUND.split(), "paid"),
        **dict.fromkeys(
            ("captured", "rest_released", "refund_requested", "refund_failed", "dispute_opened", "dispute_won"), "paid"
        ),
    },
    "expired": {
        "part_received": "expired",
        "all_received": "paid",
        "part_returned": "expired",
        "captured": "paid",
        "capture_failed": "expired",
    },
    "cancelled": {"captured": "paid", "capture_failed": "cancelled", "part_returned": "cancelled"},
    "declined": {},
    "failed": {},
}


def check(evidence: Evidence) -> Iterator[Violation]:
    """Payin by payin, along its changes."""
    changes: defaultdict[str, list[Change]] = defaultdict(list)
    for change in evidence.changes:
        changes[change.payin].append(change)
    for payin in evidence.payins:
        first = "pending" if payin.method == WITHOUT_PROVIDER else "submitting"
        for what in _along(first, payin.status, changes.pop(payin.id, [])):
            yield Violation(NAME, Harm.WRONG, f"payin {payin.id} {what}")
    for id in changes:
        yield Violation(NAME, Harm.WRONG, f"changes of the payin {id}, which is not there")


def _along(before: str, status: str, changes: list[Change]) -> Iterator[str]:
    for change in changes:
        if TABLE.get(before, {}).get(change.event) != change.status:
            yield f"goes from {before} by {change.event} to {change.status}"
        before = change.status
    if before != status:
        yield f"is {status}, and its last change led to {before}"
