"""Merchants and operators: who may call, into which set of books, at which price, and who changed what.

`authenticate` and `authenticate_operator` are for the edge; `refuse_ended`, `BOOKS` and `FEE_PLANS` for decisions; the
verbs are for `app`.
"""

from caudal.merchants.commands import (
    CLI,
    authenticate,
    authenticate_operator,
    create_key,
    create_merchant,
    create_operator,
    first_merchant,
    first_operator,
    operator_key,
    revoke_key,
    revoke_operator,
    rotate_key,
)
from caudal.merchants.model import (
    SCOPES,
    AuditRecord,
    BookRecord,
    Caller,
    FeePlan,
    FeeRow,
    KeyBody,
    MerchantBody,
    Operator,
    OperatorBody,
    fee_minor,
    key_body,
    operator_body,
)
from caudal.merchants.rows import API_KEYS, AUDIT, BOOKS, FEE_PLANS, OPERATORS, refuse_ended, refuse_revoked
from caudal.merchants.store import Window, list_keys, list_merchants, list_operators, place_of

__all__ = [
    "API_KEYS",
    "AUDIT",
    "BOOKS",
    "CLI",
    "FEE_PLANS",
    "OPERATORS",
    "SCOPES",
    "AuditRecord",
    "BookRecord",
    "Caller",
    "FeePlan",
    "FeeRow",
    "KeyBody",
    "MerchantBody",
    "Operator",
    "OperatorBody",
    "Window",
    "authenticate",
    "authenticate_operator",
    "create_key",
    "create_merchant",
    "create_operator",
    "fee_minor",
    "first_merchant",
    "first_operator",
    "key_body",
    "list_keys",
    "list_merchants",
    "list_operators",
    "operator_body",
    "operator_key",
    "place_of",
    "refuse_ended",
    "refuse_revoked",
    "revoke_key",
    "revoke_operator",
    "rotate_key",
]
