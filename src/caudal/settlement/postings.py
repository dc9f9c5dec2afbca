"""The money of settlement: what a day releases; pure. docs/money.md draws the T-accounts."""

from __future__ import annotations

from caudal.ledger import FACT, Transfer, transfer_id
from caudal.settlement.model import Release, accounts_of_release


def released(row: Release) -> tuple[Transfer, ...]:
    """What the day holds, from PENDING to AVAILABLE. Time has passed, so no limit refuses it."""
    pending, available = accounts_of_release(row.id)
    code = "funds.released"
    return (
        Transfer(
            id=transfer_id(row.id, code, row.version),
            debit_account=pending,
            credit_account=available,
            amount_minor=row.amount_minor,
            flags=FACT,
            subject=row.id,
            code=code,
        ),
    )
