"""What the records themselves do not say about their fields: limits that are checked by hand, formats, meanings.

Limits come from the catalogue and the kernel's tables where those have them; a test compares the others with the code
that checks them. Formats that JSON Schema does not know (`cursor`, `mx-curp-or-rfc`) are names for the reader.
"""

from __future__ import annotations

from typing import Any, Final

from caudal.catalogue import COUNTRIES, METHODS
from caudal.contracts import payins
from caudal.kernel.money import AMOUNT_MAX_MINOR, BASIS_POINTS, CURRENCIES
from caudal.merchants import SCOPES

Schema = dict[str, Any]

PLAIN: Final = r"^[^\u0000]*$"
FILLED: Final = r"^[^\u0000]*[^\s\u0000][^\u0000]*$"
EMAIL: Final = r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$"
PHONE: Final = r"^\+[1-9]\d{6,14}$"
URL: Final = r"^https?://[^\s/]+(/\S*)?$"
OVERLAP_MAX_S: Final = 7 * 86_400
FEE_LINES_MAX: Final = 200

_METHODS: Final = tuple(METHODS.values())
_COUNTRIES: Final = sorted({method.country for method in _METHODS})
_CURRENCIES: Final = sorted({method.currency for method in _METHODS})
_FAMILIES: Final = sorted({method.family for method in _METHODS})
_PAYIN_ID: Final = "^payin_[0-9a-f]{32}$"
_INSTANT: Final = {"format": "date-time"}
_CURSOR: Final = {"format": "cursor"}
_COUNT: Final = {"minimum": 0}


def _text(most: int, pattern: str = PLAIN) -> Schema:
    return {"minLength": 1, "maxLength": most, "pattern": pattern}


def _map(keys: int, key_length: int, value_length: int) -> Schema:
    return {
        "maxProperties": keys,
        "propertyNames": {"minLength": 1, "maxLength": key_length, "pattern": PLAIN},
        "additionalProperties": {"type": "string", "maxLength": value_length, "pattern": PLAIN},
    }


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
        "return_url": {"maxLength": 2000, "pattern": URL},
        "reference": _text(120),
        "description": _text(500),
        "metadata": _map(50, 40, 500),
    },
    "PayerAsked": {
        "name": _text(200, FILLED),
        "email": {"maxLength": 254, "pattern": EMAIL},
        "document": {"minLength": 1, "maxLength": 32, "format": "mx-curp-or-rfc"},
        "phone": {"maxLength": 20, "pattern": PHONE},
        "address": _map(10, 50, 200),
    },
    "SpeiCallback": {
        "currency": {"enum": sorted(CURRENCIES)},
        "payer_name": {"pattern": PLAIN},
        "payer_bank": {"pattern": PLAIN},
        "paid_at": {"pattern": PLAIN},
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
    },
    "CreateKeyAsked": {
        "name": _text(100, FILLED),
        "scopes": {"items": {"type": "string", "enum": list(SCOPES)}, "minItems": 1, "uniqueItems": True},
    },
    "RotateKeyAsked": {"overlap_s": {"minimum": 0, "maximum": OVERLAP_MAX_S}},
    "PayinQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        **{name: {"pattern": PLAIN} for name in ("method", "country", "currency", "reference", "email", "document")},
    },
    "DepositQuery": {"after": _CURSOR, "merchant": {"pattern": "^(house|mer_[0-9a-f]{32})$"}},
    "EventQuery": {"after": {"pattern": "^evt_[0-9a-f]{32}$"}, "types": {"pattern": PLAIN}},
    "ListQuery": {"after": _CURSOR, "before": _CURSOR},
    "AuditQuery": {
        "after": _CURSOR,
        "before": _CURSOR,
        **{name: {"pattern": PLAIN} for name in ("actor", "action", "subject")},
    },
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

# Records that show what a published record shows: its descriptions and patterns hold for them.
SAME_LANGUAGE: Final[dict[str, type]] = {
    "PayinBody": payins.PayinData,
    "PayinWithPayer": payins.PayinData,
    "NextAction": payins.ShowBankDetails,
    "DepositBody": payins.DepositData,
}

# Record and field, or a field of any record → what it means.
MEANINGS: Final[dict[str, str]] = {
    "after": "where to go on: `next` of the page before",
    "before": "the page before: `previous` of the page behind it",
    "limit": "rows on the page",
    "data": "the rows of the page",
    "has_more": "whether there are more behind this page",
    "next": "the cursor for `after`, or null",
    "previous": "the cursor for `before`, or null",
    "id": "the object's id",
    "object": "what this is",
    "mode": "which of the merchant's two sets of books",
    "name": "for people",
    "country": "ISO 3166-1 alpha-2",
    "currency": "ISO 4217",
    "created_at": "when it was created",
    "created_from": "created then or later",
    "created_to": "created before",
    "merchant": "the merchant's id",
    "late_payments": "money after a payin's expiry: `accept` pays it, `unapplied` keeps it for its payer",
    "family": "the method family that the line prices",
    "fixed_minor": "charged once a payment, minor units",
    "basis_points": "of the amount, rounded half up; 100 are 1 %",
    "version": "counts from 1; every payin keeps the version that prices it",
    "lines": "one line a method family and currency",
    "CreatePayinBody.amount": "what to ask for, in minor units: 12050 is MXN 120.50",
    "CreatePayinBody.payer": "who is going to pay",
    "CreatePayinBody.capture": "transfers are captured when they arrive",
    "CreatePayinBody.return_url": "http or https: where the payer goes afterwards, for methods that redirect",
    "CreatePayinBody.reference": "yours; searchable",
    "CreatePayinBody.description": "yours",
    "CreatePayinBody.expires_at": "RFC 3339 with a zone, in the future; at most 30 days ahead, three days unless given",
    "CreatePayinBody.metadata": "yours; keys of up to 40 characters, values of up to 500",
    "PayerAsked.name": "as on the payer's account",
    "PayerAsked.email": "an e-mail address; searchable, sealed at rest",
    "PayerAsked.document": "CURP or RFC in Mexico, with a right check digit; searchable, sealed at rest",
    "PayerAsked.phone": "E.164: + and 7 to 15 digits",
    "PayerAsked.address": "up to 10 lines, each by a name of yours",
    "Payer.name": "as the merchant gave it",
    "Payer.email": "as the merchant gave it",
    "Payer.document": "in capitals",
    "Payer.phone": "E.164",
    "Payer.address": "as the merchant gave it",
    "PayinWithPayer.payer": "who pays, as the merchant said; null if nobody was named",
    "PayinQuery.status": "only payins in this state",
    "PayinQuery.method": "only this method",
    "PayinQuery.country": "only payers of this country",
    "PayinQuery.currency": "only this currency",
    "PayinQuery.reference": "search: the whole reference, whatever its case",
    "PayinQuery.email": "search: the payer's whole e-mail address",
    "PayinQuery.document": "search: the payer's whole document",
    "SpeiCallback.tracking_key": "the bank's name for the transfer (clave de rastreo); counts once, for ever",
    "SpeiCallback.clabe": "the account that the money was sent to",
    "SpeiCallback.amount": "centavos",
    "SpeiCallback.payer_name": "who sent it",
    "SpeiCallback.payer_bank": "the payer's bank",
    "SpeiCallback.paid_at": "when the payer's bank sent it",
    "NextAction.type": "how the payer is led",
    "AuditQuery.action": "the type of the event: `api_key.revoked`",
    "CallbackAccepted.deposit": "the deposit's id",
    "CallbackAccepted.status": "booked, now or before",
    "DepositQuery.merchant": "only this merchant's, `mer_…`; `house` for deposits to accounts of nobody",
    "DepositQuery.mode": "which of the merchant's books",
    "DepositQuery.unapplied": "only deposits with unapplied money; `false` needs a `merchant`",
    "AdvanceBody.seconds": "how far; at most 90 days at once",
    "ClockBody.now": "the clock's time after it moved",
    "ClockBody.offset_seconds": "how far it is ahead of real time",
    "ClockBody.expired": "how many payins expired by it",
    "BalanceList.data": "one row a currency",
    "Balance.pending": "earned, not yet released",
    "Balance.available": "may be paid out",
    "Balance.reserved": "kept back",
    "Balance.disputed": "under dispute",
    "Balance.unapplied": "arrived and belongs to payers",
    "EventQuery.types": "only these types, separated by commas: `payin.paid,payin.expired`",
    "EventQuery.since": "only events from then on",
    "EventList.data": "the events, oldest first",
    "EventList.next": "the id of the last event: ask again with it as `after`",
    "Health.status": "whether it can do its work",
    "Health.reasons": "why it cannot",
    "MerchantBody.status": "whether it may take payments",
    "MerchantBody.fee_plan": "what its payments cost from now on",
    "CreateKeyAsked.mode": "the set of books that the key opens",
    "CreateKeyAsked.scopes": "what the key may do; everything unless given",
    "KeyBody.hint": "what of the key may be shown: its prefix and last four characters",
    "KeyBody.scopes": "what the key may do",
    "KeyBody.ends_at": "when it ends, after a rotation",
    "KeyBody.revoked_at": "when it was revoked",
    "KeyBody.secret": "the key itself: only in the answer that made it, never again, not even when that is replayed",
    "AuditQuery.since": "only entries from then on",
    "AuditBody.at": "when",
    "AuditBody.actor": "who: an operator's id, or `cli:` and a user of the machine",
    "AuditBody.action": "what: the type of the event",
    "AuditBody.subject": "to what: an id",
    "AuditBody.detail": "the event's data",
    "ProblemBody.type": "the page of this kind of problem",
    "ProblemBody.title": "the kind of problem in words",
    "ProblemBody.status": "the HTTP status",
    "ProblemBody.detail": "what was wrong this time",
    "ProblemBody.code": "the kind of problem; never changes its meaning",
    "ProblemBody.errors": "every field that is wrong",
    "ProblemBody.retry": "`no`: refused again; `after`: nothing happened, ask later; `same_key`: ask and find out",
    "ProblemBody.request_id": "names the request in our logs",
    "FieldError.field": "a JSON pointer into the body, `?name` of a parameter, or a header's name",
    "FieldError.code": "what is wrong; stable",
    "FieldError.detail": "the same in words",
}


def meaning(record: str, field: str, own: str | None) -> str | None:
    """What a field means: what stands here for it, what its record says, what stands here for all of the name."""
    return MEANINGS.get(f"{record}.{field}") or own or MEANINGS.get(field)
