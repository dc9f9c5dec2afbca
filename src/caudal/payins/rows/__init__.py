"""The tables of payins as the write path takes them."""

from caudal.payins.rows.disputes import DISPUTES, EVIDENCE, dispute_of, evidence_of
from caudal.payins.rows.overrides import OVERRIDES, override_of
from caudal.payins.rows.payins import (
    CHANGES,
    DEPOSIT_ACCOUNTS,
    DEPOSITS,
    DISCREPANCIES,
    OPERATIONS,
    PAYERS,
    PAYINS,
    SQL,
    deposit_of,
    discrepancy_of,
    operation_of,
    payin_of,
)

__all__ = [
    "CHANGES",
    "DEPOSITS",
    "DEPOSIT_ACCOUNTS",
    "DISCREPANCIES",
    "DISPUTES",
    "EVIDENCE",
    "OPERATIONS",
    "OVERRIDES",
    "PAYERS",
    "PAYINS",
    "SQL",
    "deposit_of",
    "discrepancy_of",
    "dispute_of",
    "evidence_of",
    "operation_of",
    "override_of",
    "payin_of",
]
