"""One story, told wherever the API is described: a merchant, a key, a payin of MXN 120.50 and what becomes of it.

The events are the published records themselves; a test reads every body as its own record and writes it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from caudal.contracts import merchants, payins
from caudal.contracts.envelope import Envelope, event_id
from caudal.kernel.clock import rfc3339
from caudal.kernel.http import encode

Payin = TypeVar("Payin", bound=payins.PayinData)
Deposit = TypeVar("Deposit", bound=payins.DepositData)

MERCHANT_ID: Final = "mer_01a19b981dc071f08000014be2d90c77"
KEY_ID: Final = "key_01a19b99082072a880000171c9035fde"
NEXT_KEY_ID: Final = "key_01a1f84b802076b18000010d82f4a6c3"
OPERATOR_ID: Final = "operator_01a19b7ca68073d780000028e6b1509a"
PAYIN_ID: Final = "payin_01a207d9210075c38000019a41e07f2b"
EXACT_ID: Final = "dep_7cf4cde3acc58b41bbeab77aa6837ac9"
DEPOSIT_ID: Final = "dep_fed890b0b5068d6bb38e5ed26348ad89"
REQUEST_ID: Final = "req_01a207d9210074e980000053a7cb1d06"
CURSOR: Final = "AAMD7WzxCAABogfZIQB1w4AAAZpB4H8r"

_CLABE: Final = "646180018592801986"
_SLOT: Final = 1
_CREATED: Final = "2026-11-23T10:00:00.000000Z"
_PAID: Final = "2026-11-23T10:04:31.218604Z"
_EXPIRES: Final = "2026-11-26T10:00:00.000000Z"
_AMOUNT_MINOR: Final = 12_050
_FEE_MINOR: Final = 421  # MXN 3.00 and 1 % of 120.50, half up

CREATE: Final[dict[str, Any]] = {
    "amount": _AMOUNT_MINOR,
    "currency": "MXN",
    "country": "MX",
    "method": "spei",
    "reference": "order-1001",
    "payer": {"name": "Ana Pérez", "email": "ana@example.com"},
}
CALLBACK: Final[dict[str, Any]] = {
    "tracking_key": "MBAN01002611230001",
    "clabe": _CLABE,
    "amount": _AMOUNT_MINOR,
    "currency": "MXN",
    "payer_name": "Ana Pérez",
    "payer_bank": "Sandbox bank",
    "paid_at": "2026-11-23T10:04:30.900000Z",
}
CREATE_MERCHANT: Final[dict[str, Any]] = {
    "name": "Panadería Ana",
    "country": "MX",
    "fee_plan": [{"family": "instant_transfer", "currency": "MXN", "fixed_minor": 300, "basis_points": 100}],
}


def _next_action(amount_minor: int) -> payins.ShowBankDetails:
    return payins.ShowBankDetails(
        type="show_bank_details",
        clabe=_CLABE,
        beneficiary="caudal",
        amount=amount_minor,
        currency="MXN",
        expires_at=_EXPIRES,
        payer_page=None,
    )


def _payin(kind: type[Payin], status: payins.PayinStatus, **more: Any) -> Payin:
    fields: dict[str, Any] = {
        "status_reason": None,
        "amount_received": 0,
        "fees": 0,
        "next_action": None,
        "paid_at": None,
        **more,
    }
    return kind(
        id=PAYIN_ID,
        mode="test",
        status=status,
        amount=_AMOUNT_MINOR,
        currency="MXN",
        country="MX",
        method="spei",
        fee_plan=1,
        reference="order-1001",
        description=None,
        metadata={},
        created_at=_CREATED,
        expires_at=_EXPIRES,
        **fields,
    )


def _deposit(kind: type[Deposit], **more: Any) -> Deposit:
    fields: dict[str, Any] = {"amount_unapplied": 0, "amount_returning": 0, "amount_returned": 0, **more}
    return kind(
        id=DEPOSIT_ID,
        mode="test",
        provider="spei",
        tracking_key="MBAN01002611230002",
        account=_CLABE,
        currency="MXN",
        amount=2_000,
        amount_applied=0,
        payin=PAYIN_ID,
        reason=fields.pop("reason", "closed"),
        created_at="2026-11-23T11:20:05.733190Z",
        **fields,
    )


CREATED: Final = _payin(payins.PayinCreated, "pending", next_action=_next_action(_AMOUNT_MINOR))
PAID: Final = _payin(payins.PayinPaid, "paid", amount_received=_AMOUNT_MINOR, fees=_FEE_MINOR, paid_at=_PAID)
CANCELLED: Final = _payin(payins.PayinCancelled, "cancelled", status_reason="requested_by_merchant")
UNAPPLIED: Final = _deposit(payins.DepositUnapplied, amount_unapplied=2_000)
RETURNING: Final = _deposit(payins.DepositReturnRequested, amount_returning=2_000)
_FEE_LINE: Final = merchants.FeeLine(family="instant_transfer", currency="MXN", fixed_minor=300, basis_points=100)

# What happened, when: the `data` of one event of every type.
EVENTS: Final[tuple[tuple[str, str, msgspec.Struct], ...]] = (
    ("payin.created", _CREATED, CREATED),
    (
        "payin.received",
        "2026-11-23T10:02:11.040127Z",
        _payin(payins.PayinReceived, "pending", amount_received=5_000, next_action=_next_action(_AMOUNT_MINOR - 5_000)),
    ),
    ("payin.paid", _PAID, PAID),
    (
        "payin.expired",
        "2026-11-26T10:00:00.093311Z",
        _payin(payins.PayinExpired, "expired", amount_received=5_000, status_reason="underpaid"),
    ),
    ("payin.cancelled", "2026-11-23T10:30:12.500018Z", CANCELLED),
    ("deposit.unapplied", "2026-11-23T11:20:05.733190Z", UNAPPLIED),
    ("deposit.return_requested", "2026-11-23T12:00:41.917002Z", RETURNING),
    ("deposit.returned", "2026-11-23T12:00:42.306550Z", _deposit(payins.DepositReturned, amount_returned=2_000)),
    (
        "deposit.return_failed",
        "2026-11-23T12:00:42.306550Z",
        _deposit(payins.DepositReturnFailed, amount_unapplied=2_000, reason="return_refused"),
    ),
    (
        "merchant.created",
        "2026-11-02T09:30:00.000000Z",
        merchants.MerchantCreated(merchant=MERCHANT_ID, name="Panadería Ana", country="MX", late_payments="accept"),
    ),
    (
        "merchant.changed",
        "2026-11-03T16:12:09.114276Z",
        merchants.MerchantChanged(merchant=MERCHANT_ID, late_payments="unapplied"),
    ),
    (
        "fee_plan.changed",
        "2026-11-02T09:30:00.000000Z",
        merchants.FeePlanChanged(merchant=MERCHANT_ID, version=1, fee_plan=(_FEE_LINE,)),
    ),
    (
        "api_key.created",
        "2026-11-02T09:31:00.000000Z",
        merchants.ApiKeyCreated(
            key=KEY_ID, merchant=MERCHANT_ID, mode="test", name="shop", scopes=("payins:read", "payins:write")
        ),
    ),
    (
        "api_key.rotated",
        "2026-11-20T09:31:00.000000Z",
        merchants.ApiKeyRotated(
            key=KEY_ID,
            merchant=MERCHANT_ID,
            mode="test",
            replaced_by=NEXT_KEY_ID,
            ends_at="2026-11-20T10:31:00.000000Z",
        ),
    ),
    (
        "api_key.revoked",
        "2026-11-21T08:00:00.000000Z",
        merchants.ApiKeyRevoked(key=KEY_ID, merchant=MERCHANT_ID, mode="test"),
    ),
    ("operator.created", "2026-11-02T09:00:00.000000Z", merchants.OperatorCreated(operator=OPERATOR_ID, name="Beto")),
    ("operator.revoked", "2026-11-30T18:00:00.000000Z", merchants.OperatorRevoked(operator=OPERATOR_ID, name="Beto")),
)


def envelope(name: str) -> Envelope:
    """The event of a type, as `GET /v1/events` shows it."""
    number = next(place for place, event in enumerate(EVENTS) if event[0] == name)
    _, time, data = EVENTS[number]
    at = datetime.fromisoformat(time.removesuffix("Z")).replace(tzinfo=UTC)
    subject = next(getattr(data, field) for field in ("id", "key", "merchant", "operator") if hasattr(data, field))
    slot = 0 if name.startswith(("merchant.", "fee_plan.", "api_key.", "operator.")) else _SLOT
    return Envelope(
        id=event_id(at, slot, 521 + number),
        source="/caudal",
        type=name,
        time=rfc3339(at),
        subject=subject,
        sequence=str(521 + number),
        data=msgspec.Raw(encode(data)),
    )


# Answers that are no event's data, by the name of their record.


def _page(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"data": list(rows), "has_more": False, "next": None, **more}


_MERCHANT: Final[dict[str, Any]] = {
    "id": MERCHANT_ID,
    "object": "merchant",
    "name": "Panadería Ana",
    "country": "MX",
    "status": "active",
    "late_payments": "accept",
    "fee_plan": {"version": 1, "lines": [msgspec.to_builtins(_FEE_LINE)]},
    "created_at": "2026-11-02T09:30:00.000000Z",
}
_KEY: Final[dict[str, Any]] = {
    "id": KEY_ID,
    "object": "api_key",
    "merchant": MERCHANT_ID,
    "mode": "test",
    "name": "shop",
    "hint": "sk_test_…xQ7k",
    "scopes": ["payins:read", "payins:write"],
    "created_at": "2026-11-02T09:31:00.000000Z",
    "ends_at": None,
    "revoked_at": None,
    "secret": None,
}
_AUDIT: Final[dict[str, Any]] = {
    "id": "audit_01a19b981dc077f2800000c0415ad3e8",
    "object": "audit_entry",
    "at": "2026-11-02T09:30:00.000000Z",
    "actor": OPERATOR_ID,
    "action": "merchant.created",
    "subject": MERCHANT_ID,
    "detail": msgspec.to_builtins(EVENTS[9][2]),
}
_PAYIN: Final[dict[str, Any]] = msgspec.to_builtins(CREATED)
_PAID_PAYIN: Final[dict[str, Any]] = msgspec.to_builtins(PAID)
_BALANCE: Final[dict[str, Any]] = {
    "currency": "MXN",
    "pending": _AMOUNT_MINOR - _FEE_MINOR,
    "available": 0,
    "reserved": 0,
    "disputed": 0,
    "unapplied": 2_000,
}

ANSWERS: Final[dict[str, Any]] = {
    "PayinBody": _PAYIN,
    "PayinWithPayer": {**_PAID_PAYIN, "payer": CREATE["payer"]},
    "PayinList": _page(_PAID_PAYIN, previous=None),
    "CallbackAccepted": {"deposit": EXACT_ID, "status": "accepted"},
    "DepositList": _page(msgspec.to_builtins(UNAPPLIED)),
    "DepositBody": msgspec.to_builtins(RETURNING),
    "ClockBody": {"now": "2026-11-26T10:00:01.000000Z", "offset_seconds": 259_201, "expired": 1},
    "BalanceList": {"mode": "test", "data": [_BALANCE]},
    "EventList": {
        "data": [msgspec.json.decode(encode(envelope("payin.paid")))],
        "has_more": False,
        "next": envelope("payin.paid").id,
    },
    "Health": {"status": "ok", "reasons": []},
    "MerchantBody": _MERCHANT,
    "MerchantList": _page(_MERCHANT, previous=None),
    "KeyBody": _KEY,
    "KeyList": _page(_KEY, previous=None),
    "AuditList": _page(_AUDIT, previous=None),
}
BODIES: Final[dict[str, Any]] = {
    "CreatePayinBody": CREATE,
    "SpeiCallback": CALLBACK,
    "AdvanceBody": {"seconds": 259_201},
    "CreateMerchantAsked": CREATE_MERCHANT,
    "FeePlanAsked": {"fee_plan": CREATE_MERCHANT["fee_plan"]},
    "SettingsAsked": {"late_payments": "unapplied"},
    "CreateKeyAsked": {"mode": "test", "name": "shop", "scopes": ["payins:read", "payins:write"]},
    "RotateKeyAsked": {"overlap_s": 3_600},
}
UNAVAILABLE: Final = {"status": "unavailable", "reasons": ["the database does not answer: PoolTimeout"]}
# Where an operation's answer is not the one that its record usually has.
OPERATIONS: Final[dict[str, Any]] = {
    "create_payin_cancellation": msgspec.to_builtins(CANCELLED),
    "create_merchant_key": {**_KEY, "secret": "sk_test_…"},
    "create_key_rotation": {
        **_KEY,
        "id": NEXT_KEY_ID,
        "created_at": "2026-11-20T09:31:00.000000Z",
        "secret": "sk_test_…",
    },
    "create_key_revocation": {**_KEY, "revoked_at": "2026-11-21T08:00:00.000000Z"},
    "create_merchant_setting": {**_MERCHANT, "late_payments": "unapplied"},
    "create_merchant_fee_plan": {**_MERCHANT, "fee_plan": {**_MERCHANT["fee_plan"], "version": 2}},
}
