"""What the records themselves do not say about their fields: limits that are checked by hand, and formats.

Limits come from the catalogue and the kernel's tables where those have them; a test compares the others with the code
that checks them. Formats that JSON Schema does not know (`cursor`, `mx-document`) are names for the reader.
"""

from __future__ import annotations

import re
from typing import Any, Final

from caudal.catalogue import BRANDS, COUNTRIES, METHODS
from caudal.connectors import CONNECTORS
from caudal.contracts import disputes, instruments, payins
from caudal.contracts.webhooks import TEST
from caudal.kernel.money import AMOUNT_MAX_MINOR, BASIS_POINTS, CURRENCIES
from caudal.merchants import SCOPES
from caudal.routing import RISK_MAX
from caudal.webhooks import TYPES

Schema = dict[str, Any]

PLAIN: Final = r"^[^\u0000]*$"
FILLED: Final = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
EMAIL: Final = (
    r"^[^@\s\u0000\u001c-\u001f\u0085]{1,64}@[^@\s.\u0000\u001c-\u001f\u0085]+(\.[^@\s.\u0000\u001c-\u001f\u0085]+)+$"
)
PHONE: Final = r"^\+[1-9]\d{6,14}$"
URL: Final = r"^https?://[^\s/]+(/\S*)?$"
OVERLAP_MAX_S: Final = 7 * 86_400
FEE_LINES_MAX: Final = 200
SETTLEMENT_DAYS_MAX: Final = 90

_METHODS: Final = tuple(METHODS.values())
_COUNTRIES: Final = sorted({method.country for method in _METHODS})
_CURRENCIES: Final = sorted({method.currency for method in _METHODS})
_FAMILIES: Final = sorted({method.family for method in _METHODS})
_PAYIN_ID: Final = "^payin_[0-9a-f]{32}$"
_INSTANT: Final = {"format": "date-time"}
_CURSOR: Final = {"format": "cursor"}
_DAY: Final = {"format": "date"}
_COUNT: Final = {"minimum": 0}
# The form of an address; which hosts and ports it may name is checked by hand.
_HOOK_URL: Final = {"format": "webhook-url", "maxLength": 2000, "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[!-\"$-\[\]-~]+$"}
_HOOK_TYPES: Final = {"items": {"type": "string", "enum": list(TYPES)}, "uniqueItems": True}
_TYPE_NAME: Final = f"({'|'.join(map(re.escape, TYPES))})"
_TYPE_NAMES: Final = f"^{_TYPE_NAME}(, ?{_TYPE_NAME})*$"


def _text(most: int, pattern: str = PLAIN) -> Schema:
    return {"minLength": 1, "maxLength": most, "pattern": pattern}


def _map(keys: int, key_length: int, value_length: int) -> Schema:
    return {
        "maxProperties": keys,
        "propertyNames": {"minLength": 1, "maxLength": key_length, "pattern": PLAIN},
        "additionalProperties": {"type": "string", "maxLength": value_length, "pattern": PLAIN},
    }


def _names(known: list[str]) -> Schema:
    return {"items": {"type": "string", "enum": known}, "maxItems": 100, "uniqueItems": True}


# Record → field → what its schema says besides.
LIMITS: Final[dict[str, dict[str, Schema]]] = {
    "CreatePayinBody": {
        "amount": {
            "minimum": min(method.min_minor for method in _METHODS),
            "maximum": max(method.max_minor for method in _METHODS),
        },
        "currency": {"enum": _CURRENCIES},
        "country": {"enum": _COUNTRIES},
        "method": {"enum": sorted({method.method for method in _METHODS})},
        "return_url": {"maxLength": 2000, "pattern": URL, "format": "web-address"},
        "reference": _text(120),
        "description": _text(500),
        "metadata": _map(50, 40, 500),
        "risk_score": {"minimum": 0, "maximum": RISK_MAX},
    },
    "PayerAsked": {
        "name": {**_text(200, FILLED), "format": "payer-name"},
        "email": {"maxLength": 254, "pattern": EMAIL},
        "document": {"minLength": 1, "maxLength": 32},
        "phone": {"maxLength": 20, "pattern": PHONE},
        "address": _map(10, 50, 200),
    },
    "CreatePayinsItem": {"idempotency_key": {"minLength": 1, "maxLength": 255, "pattern": "^[!#-~]([ -~]*[!-~])?$"}},
    "DestinationAsked": {
        **{name: {"pattern": PLAIN} for name in ("account", "holder_name", "bank", "holder_document")},
    },
    "RefundAsked": {"note": {"pattern": PLAIN}, "metadata": _map(50, 40, 500)},
    "ResolveAsked": {"resolution": {"pattern": PLAIN}},
    "CorrectAsked": {"facts": {"pattern": PLAIN}},
    "SettleAsked": {"reason": {"pattern": PLAIN}},
    "ConfirmAsked": {"reason": {"pattern": PLAIN}},
    "ForceAsked": {"reason": {"pattern": PLAIN}},
    "DrainAsked": {"reason": {"pattern": PLAIN}},
    "CreateInstrumentBody": {"country": {"enum": sorted({country for country, _ in BRANDS})}},
    "CardAsked": {
        "number": {"format": "card-number"},
        "expiry_month": {"minimum": 1, "maximum": 12},
        "expiry_year": {"minimum": 2026, "maximum": 2099},
        "holder_name": {"minLength": 2, "maxLength": 100, "format": "holder-name"},
        "security_code": {"pattern": "^[0-9]{3,4}$"},
    },
    "ProviderPayment": {"method": {"enum": sorted(CONNECTORS)}},
    "SpeiCallback": {
        "currency": {"enum": sorted(CURRENCIES)},
        "payer_name": {"pattern": PLAIN},
        "payer_bank": {"pattern": PLAIN},
    },
    "CreateMerchantAsked": {
        "name": _text(100, FILLED),
        "country": {"enum": sorted(COUNTRIES)},
        "fee_plan": {"maxItems": FEE_LINES_MAX},
    },
    "FeePlanAsked": {"fee_plan": {"maxItems": FEE_LINES_MAX}},
    "FeeLineAsked": {
        "family": {"enum": _FAMILIES},
        "currency": {"enum": sorted(CURRENCIES)},
        "fixed_minor": {"minimum": 0, "maximum": AMOUNT_MAX_MINOR},
        "basis_points": {"minimum": 0, "maximum": BASIS_POINTS},
        "refund_fixed_minor": {"minimum": 0, "maximum": AMOUNT_MAX_MINOR},
        "dispute_fixed_minor": {"minimum": 0, "maximum": AMOUNT_MAX_MINOR},
        "settlement_days": {"minimum": 0, "maximum": SETTLEMENT_DAYS_MAX},
    },
    "CreateKeyAsked": {
        "name": _text(100, FILLED),
        "scopes": {"items": {"type": "string", "enum": list(SCOPES)}, "minItems": 1, "uniqueItems": True},
    },
    "RotateKeyAsked": {"overlap_s": {"minimum": 0, "maximum": OVERLAP_MAX_S}},
    "PayinQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        "method": {"enum": sorted({method.method for method in _METHODS})},
        "country": {"enum": sorted(COUNTRIES)},
        "currency": {"enum": sorted(CURRENCIES)},
        **{name: {"pattern": PLAIN} for name in ("reference", "email", "document")},
    },
    "OperationQuery": {"after": _CURSOR, "payin": {"pattern": _PAYIN_ID}},
    "UnresolvedQuery": {
        "after": {"pattern": "^(A[A-Za-z0-9_-]|B[A-Za-f])[A-Za-z0-9_-]{21}=$"},
        "provider": {"pattern": PLAIN},
    },
    "DiscrepancyQuery": {"after": _CURSOR, "provider": {"pattern": PLAIN}},
    "DepositQuery": {
        "after": _CURSOR,
        "merchant": {"pattern": "^(house|mer_[0-9a-f]{32})$"},
        "payin": {"pattern": _PAYIN_ID},
    },
    "EventQuery": {"after": {"pattern": "^evt_[0-9a-f]{32}$"}, "types": {"pattern": _TYPE_NAMES}},
    "BalanceTransactionQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        "currency": {"enum": sorted(CURRENCIES)},
        "payin": {"pattern": _PAYIN_ID},
    },
    "BalanceTransactionBody": {
        "id": {"pattern": "^txn_[0-9a-f]{32}$"},
        "payin": {"pattern": _PAYIN_ID},
        "available_on": _DAY,
        "created_at": _INSTANT,
    },
    "PendingDay": {"day": _DAY, "amount": _COUNT},
    "ListQuery": {"after": _CURSOR, "before": _CURSOR},
    "ProfileAsked": {
        "name": _text(100, FILLED),
        "max_attempts": {"minimum": 1, "maximum": 5},
        "rules": {"minItems": 1, "maxItems": 50},
    },
    "RuleAsked": {"name": _text(100, FILLED)},
    "WhenAsked": {
        "countries": _names(sorted(COUNTRIES)),
        "methods": _names(sorted({method.method for method in _METHODS})),
        "currencies": _names(sorted(CURRENCIES)),
        "amount_from": {"minimum": 1, "maximum": AMOUNT_MAX_MINOR},
        "amount_to": {"minimum": 1, "maximum": AMOUNT_MAX_MINOR},
        "risk_from": {"minimum": 0, "maximum": RISK_MAX},
        "risk_to": {"minimum": 0, "maximum": RISK_MAX},
        "bins": {"items": {"type": "string", "pattern": r"^[0-9]{2,8}$"}, "maxItems": 100, "uniqueItems": True},
    },
    "ChooseAsked": {"providers": {"maxItems": 100, "uniqueItems": True}},
    "ReplayAsked": {"days": {"minimum": 1, "maximum": 31}},
    "SimulateAsked": {"profile_id": {"pattern": "^rprof_[0-9a-f]{32}$"}},
    "AttemptsOfPayin": {"payin": {"pattern": _PAYIN_ID}, "routing_profile": {"pattern": "^rprof_[0-9a-f]{32}$"}},
    "AttemptOfPayin": {"number": {"minimum": 1}, "begun_at": _INSTANT, "ended_at": _INSTANT},
    "ReplayBody": {"replayed_from": _INSTANT, "replayed_to": _INSTANT},
    "ProfileQuery": {"after": _CURSOR},
    "ProfileBody": {"id": {"pattern": "^rprof_[0-9a-f]{32}$"}, "created_at": _INSTANT},
    "DisputeQuery": {"after": _CURSOR, "payin": {"pattern": _PAYIN_ID}},
    "EvidenceBody": {"created_at": _INSTANT, "sent_at": _INSTANT},
    "AuditQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        **{name: {"pattern": PLAIN} for name in ("actor", "action", "subject")},
    },
    "CreateEndpointBody": {"url": _HOOK_URL, "types": _HOOK_TYPES, "description": {"maxLength": 200, "pattern": PLAIN}},
    "ChangeEndpointBody": {"url": _HOOK_URL, "types": _HOOK_TYPES, "description": {"maxLength": 200, "pattern": PLAIN}},
    "RedeliverRangeBody": {"types": _HOOK_TYPES},
    "EndpointQuery": {"after": _CURSOR, "before": _CURSOR},
    "DeliveryQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        "type": {"enum": [*TYPES, TEST]},
        "event": {"pattern": "^evt_[0-9a-f]{32}$"},
    },
    "DeliveryBody": {
        "id": {"pattern": "^delivery_[0-9a-f]{32}$"},
        "endpoint": {"pattern": "^endpoint_[0-9a-f]{32}$"},
        "event": {"pattern": "^evt_[0-9a-f]{32}$"},
        "attempts": _COUNT,
    },
    "RangeBody": {"id": {"pattern": "^range_[0-9a-f]{32}$"}, "endpoint": {"pattern": "^endpoint_[0-9a-f]{32}$"}},
    "AttemptBody": {"number": {"minimum": 1}, "duration_ms": _COUNT},
    "AnswerBody": {"status": {"minimum": 100, "maximum": 999}},
    "CallbackAccepted": {"deposit": {"pattern": "^dep_[0-9a-f]{32}$"}},
    "ClockBody": {"now": _INSTANT, "expired": _COUNT, "offset_seconds": _COUNT},
    "MerchantBody": {"id": {"pattern": "^mer_[0-9a-f]{32}$"}, "created_at": _INSTANT},
    "KeyBody": {
        "id": {"pattern": "^key_[0-9a-f]{32}$"},
        "merchant": {"pattern": "^mer_[0-9a-f]{32}$"},
        "created_at": _INSTANT,
        "ends_at": _INSTANT,
        "revoked_at": _INSTANT,
    },
    "AuditBody": {"at": _INSTANT, "detail": {"type": "object"}},
    "ProblemBody": {"retry": {"enum": ["no", "after", "same_key"]}},
}

# What a record's schema says besides.
SHAPES: Final[dict[str, Schema]] = {"SettingsAsked": {"minProperties": 1}}

# Records that show what a published record shows: its descriptions and patterns hold for them.
SAME_LANGUAGE: Final[dict[str, type]] = {
    "PayinBody": payins.PayinData,
    "PayinWithPayer": payins.PayinData,
    "BankDetails": payins.ShowBankDetails,
    "RedirectTo": payins.RedirectTo,
    "Qr": payins.ShowQr,
    "Voucher": payins.ShowVoucher,
    "Push": payins.AwaitPush,
    "InstrumentUsed": payins.InstrumentUsed,
    "CaptureBody": payins.CaptureData,
    "RefundBody": payins.RefundData,
    "DisputeBody": disputes.DisputeData,
    "DiscrepancyBody": payins.DiscrepancyData,
    "DiscrepancyCase": payins.DiscrepancyData,
    "DepositBody": payins.DepositData,
    "InstrumentBody": instruments.InstrumentData,
    "InstrumentWithHolder": instruments.InstrumentData,
    "CardBody": instruments.CardData,
    "CardWithHolder": instruments.CardData,
}
