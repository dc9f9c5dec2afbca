"""Events of merchants and operators, for the platform, not for merchants.

Those of keys stand in the house's book of the key's mode (0 test, 1 live); those of merchants and operators, who are of
neither mode, in book 0.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Mode = Literal["test", "live"]
LatePayments = Literal["accept", "unapplied"]
RefundsBeyondBalance = Literal["refuse", "allow"]


class FeeLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment of one family and currency costs: fixed, in minor units, and a share in basis points.

    A refund and a dispute of it cost a fixed amount each. `settlement_days` after its day its money is available.
    """

    family: str
    currency: str
    fixed_minor: int = 0
    basis_points: int = 0
    refund_fixed_minor: int = 0
    dispute_fixed_minor: int = 0
    settlement_days: int = 1


class MerchantCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant was created, with its two sets of books."""

    merchant: str
    name: str
    country: str
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance = "refuse"


class MerchantChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's settings were changed, in both sets of books."""

    merchant: str
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance = "refuse"


class FeePlanChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant has another fee plan: payins that are created from now on carry its version."""

    merchant: str
    version: int
    fee_plan: tuple[FeeLine, ...]


class ApiKeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant has a new API key."""

    key: str
    merchant: str
    mode: Mode
    name: str
    scopes: tuple[str, ...]


class ApiKeyRotated(msgspec.Struct, frozen=True, kw_only=True):
    """An API key is followed by another one and ends then."""

    key: str
    merchant: str
    mode: Mode
    replaced_by: str
    ends_at: str


class ApiKeyRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """An API key ended at once."""

    key: str
    merchant: str
    mode: Mode


class OperatorCreated(msgspec.Struct, frozen=True, kw_only=True):
    """There is a new operator."""

    operator: str
    name: str


class OperatorRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's key ended at once."""

    operator: str
    name: str


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "merchant.created": MerchantCreated,
    "merchant.changed": MerchantChanged,
    "fee_plan.changed": FeePlanChanged,
    "api_key.created": ApiKeyCreated,
    "api_key.rotated": ApiKeyRotated,
    "api_key.revoked": ApiKeyRevoked,
    "operator.created": OperatorCreated,
    "operator.revoked": OperatorRevoked,
}
