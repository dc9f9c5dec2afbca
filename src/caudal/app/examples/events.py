"""One story, told wherever the API is described: a merchant, a key, a payin of MXN 120.50 and what becomes of it.

The events are the published records themselves; a test reads every body as its own record and writes it back.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec

from caudal.app.examples import disputes as dispute_examples
from caudal.app.examples import webhooks as webhook_examples
from caudal.app.examples.actions import (
    ACTIONS,
    AMOUNT_MINOR,
    AUTHORIZED_AT,
    AUTHORIZED_UNTIL,
    CLABE,
    CREATED_AT,
    PAYIN_ID,
    QR,
    bank_details,
    expires_at,
)
from caudal.contracts import instruments, ledger, merchants, payins
from caudal.contracts.envelope import Envelope, event_id
from caudal.kernel.clock import rfc3339
from caudal.kernel.http import encode

Payin = TypeVar("Payin", bound=payins.PayinData)
Deposit = TypeVar("Deposit", bound=payins.DepositData)
Capture = TypeVar("Capture", bound=payins.CaptureData)
Refund = TypeVar("Refund", bound=payins.RefundData)
Discrepancy = TypeVar("Discrepancy", bound=payins.DiscrepancyData)
Instrument = TypeVar("Instrument", bound=instruments.InstrumentData)

MERCHANT_ID: Final = "mer_01a19b981dc071f08000014be2d90c77"
KEY_ID: Final = "key_01a19b99082072a880000171c9035fde"
NEXT_KEY_ID: Final = "key_01a1f84b802076b18000010d82f4a6c3"
OPERATOR_ID: Final = "operator_01a19b7ca68073d780000028e6b1509a"
EXACT_ID: Final = "dep_7cf4cde3acc58b41bbeab77aa6837ac9"
CAPTURE_ID: Final = "capture_01a208c9a5da7e1b80000188be20f4d1"
REFUND_ID: Final = "refund_01a20be7c1cc7f64800001d0b3a96e42"
INSTRUMENT_ID: Final = "instr_01a207d8f3a07b1480000150c29e6d07"
DEPOSIT_ID: Final = "dep_fed890b0b5068d6bb38e5ed26348ad89"
BALANCE_ID: Final = "bal_00000000000000000000000000027901"
REQUEST_ID: Final = "req_01a207d9210074e980000053a7cb1d06"
CURSOR: Final = "AAMD7WzxCAABogfZIQB1w4AAAZpB4H8r"

_SLOT: Final = 1
PAID_AT: Final = "2026-11-23T10:04:31.218604Z"
FEE_MINOR: Final = 421  # MXN 3.00 and 1 % of 120.50, half up

CREATE: Final[dict[str, Any]] = {
    "amount": AMOUNT_MINOR,
    "currency": "MXN",
    "country": "MX",
    "method": "spei",
    "reference": "order-1001",
    "payer": {"name": "Ana Pérez", "email": "ana@example.com"},
}
CALLBACK: Final[dict[str, Any]] = {
    "tracking_key": "MBAN01002611230001",
    "clabe": CLABE,
    "amount": AMOUNT_MINOR,
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


# A number of the sandbox's table; it is nobody's.
CREATE_INSTRUMENT: Final[dict[str, Any]] = {
    "type": "card",
    "card": {
        "number": "4111 1111 1111 1111",
        "expiry_month": 12,
        "expiry_year": 2030,
        "holder_name": "ANA PEREZ",
        "security_code": "123",
    },
    "country": "BR",
}


def _payin(kind: type[Payin], status: payins.PayinStatus, **more: Any) -> Payin:
    fields: dict[str, Any] = {
        "currency": "MXN",
        "country": "MX",
        "method": "spei",
        "status_reason": None,
        "amount_received": 0,
        "fees": 0,
        "next_action": None,
        "paid_at": None,
        **more,
    }
    fields.setdefault("expires_at", expires_at(fields["method"]))
    return kind(
        id=PAYIN_ID,
        mode="test",
        status=status,
        amount=AMOUNT_MINOR,
        fee_plan=1,
        reference="order-1001",
        description=None,
        metadata={},
        created_at=CREATED_AT,
        **fields,
    )


def _deposit(kind: type[Deposit], **more: Any) -> Deposit:
    fields: dict[str, Any] = {"amount_unapplied": 0, "amount_returning": 0, "amount_returned": 0, **more}
    return kind(
        id=DEPOSIT_ID,
        mode="test",
        provider="spei",
        tracking_key="MBAN01002611230002",
        account=CLABE,
        currency="MXN",
        amount=2_000,
        amount_applied=0,
        payin=PAYIN_ID,
        reason=fields.pop("reason", "closed"),
        created_at="2026-11-23T11:20:05.733190Z",
        paid_at="2026-11-23T11:20:03.000000Z",
        **fields,
    )


def _instrument(kind: type[Instrument], **more: Any) -> Instrument:
    fields: dict[str, Any] = {"status": "active", "deleted_at": None, **more}
    return kind(
        id=INSTRUMENT_ID,
        mode="test",
        type="card",
        country="BR",
        card=instruments.CardData(
            brand="visa",
            bin="41111111",
            last4="1111",
            expiry_month=12,
            expiry_year=2030,
        ),
        created_at="2026-11-23T09:59:48.512038Z",
        **fields,
    )


_CARD: Final[dict[str, Any]] = {
    "country": "BR",
    "currency": "BRL",
    "method": "card",
    "provider": "sandbox",
    "capture": "manual",
    "instrument": payins.InstrumentUsed(id=INSTRUMENT_ID, brand="visa", last_four="1111", bank=None),
}
_TAKEN: Final[dict[str, Any]] = {
    **_CARD,
    "amount_authorized": AMOUNT_MINOR,
    "expires_at": AUTHORIZED_UNTIL,
    "fees": FEE_MINOR,
    "paid_at": "2026-11-23T18:00:00.114093Z",
    "available_on": "2026-11-25",
}
_PIX: Final[dict[str, Any]] = {"country": "BR", "currency": "BRL", "method": "pix", "provider": "sandbox"}


def _capture(kind: type[Capture], **more: Any) -> Capture:
    fields: dict[str, Any] = {"status_reason": None, **more}
    return kind(
        id=CAPTURE_ID,
        mode="test",
        payin=PAYIN_ID,
        amount=AMOUNT_MINOR,
        currency="BRL",
        final=False,
        created_at="2026-11-23T18:00:00.010127Z",
        settled_at="2026-11-23T18:00:00.114093Z",
        **fields,
    )


def _refund(kind: type[Refund], **more: Any) -> Refund:
    fields: dict[str, Any] = {"status_reason": None, **more}
    return kind(
        id=REFUND_ID,
        mode="test",
        payin=PAYIN_ID,
        amount=5_000,
        currency="BRL",
        fees=0,
        note="one of two loaves came back",
        metadata={},
        created_at="2026-11-24T08:30:00.012773Z",
        settled_at=None if fields["status"] == "pending" else "2026-11-24T08:30:00.140552Z",
        **fields,
    )


def _discrepancy(kind: type[Discrepancy], **more: Any) -> Discrepancy:
    fields: dict[str, Any] = {"resolved_at": None, "resolution": None, "answer": None, "correction": None, **more}
    held = {"about": "payment", "status": "paid", "amount_minor": AMOUNT_MINOR, "currency": "MXN"}
    said = {"key": PAYIN_ID.removeprefix("payin_"), "account": "1", "status": "declined", "reason": "do_not_honor"}
    return kind(
        id="disc_9c1d7ae14b088c2f9d1b63ac02e4f7d5",
        mode="test",
        provider="sandbox",
        kind="contradicts_final_state",
        payin=PAYIN_ID,
        detail=said,
        held=held,
        created_at="2026-11-23T10:05:00.330018Z",
        **fields,
    )


CREATED: Final = _payin(payins.PayinCreated, "pending", next_action=ACTIONS["spei"])
PAID: Final = _payin(payins.PayinPaid, "paid", amount_received=AMOUNT_MINOR, fees=FEE_MINOR, paid_at=PAID_AT)
CANCELLED: Final = _payin(payins.PayinCancelled, "cancelled", status_reason="requested_by_merchant")
UNAPPLIED: Final = _deposit(payins.DepositUnapplied, amount_unapplied=2_000)
KEPT: Final = _instrument(instruments.InstrumentCreated)
ERASED: Final = _instrument(instruments.InstrumentDeleted, status="deleted", deleted_at="2026-12-01T08:15:00.264171Z")
CAPTURED: Final = _capture(payins.CaptureSucceeded, status="succeeded")
REFUNDING: Final = _refund(payins.RefundCreated, status="pending")
DISCREPANCY: Final = _discrepancy(payins.DiscrepancyOpened)
RETURNING: Final = _deposit(payins.DepositReturnRequested, amount_returning=2_000)
RETURNED: Final = _deposit(payins.DepositReturned, amount_returned=2_000)
FEE_LINE: Final = merchants.FeeLine(family="instant_transfer", currency="MXN", fixed_minor=300, basis_points=100)

# What happened, when: the `data` of one event of every type.
EVENTS: Final[tuple[tuple[str, str, msgspec.Struct], ...]] = (
    ("payin.created", CREATED_AT, CREATED),
    (
        "payin.received",
        "2026-11-23T10:02:11.040127Z",
        _payin(
            payins.PayinReceived,
            "pending",
            amount_received=5_000,
            next_action=bank_details(AMOUNT_MINOR - 5_000, told=False),
        ),
    ),
    ("payin.paid", PAID_AT, PAID),
    (
        "payin.expired",
        "2026-11-26T10:00:00.093311Z",
        _payin(payins.PayinExpired, "expired", amount_received=5_000, status_reason="underpaid"),
    ),
    ("payin.cancelled", "2026-11-23T10:30:12.500018Z", CANCELLED),
    (
        "payin.pending",
        "2026-11-23T10:00:00.210448Z",
        _payin(payins.PayinPending, "pending", **_PIX, next_action=QR),
    ),
    (
        "payin.authorized",
        AUTHORIZED_AT,
        _payin(
            payins.PayinAuthorized,
            "authorized",
            **_CARD,
            amount_authorized=AMOUNT_MINOR,
            expires_at=AUTHORIZED_UNTIL,
        ),
    ),
    (
        "payin.captured",
        "2026-11-24T09:12:00.000271Z",
        _payin(payins.PayinCaptured, "paid", **_TAKEN, amount_captured=AMOUNT_MINOR, amount_received=AMOUNT_MINOR),
    ),
    (
        "payin.rest_released",
        "2026-11-30T10:00:01.002713Z",
        _payin(payins.PayinRestReleased, "paid", **_TAKEN, amount_captured=4_000, amount_received=4_000),
    ),
    (
        "payin.declined",
        "2026-11-23T10:00:00.310448Z",
        _payin(payins.PayinDeclined, "declined", **_CARD, status_reason="insufficient_funds"),
    ),
    (
        "payin.failed",
        "2026-11-23T10:01:13.518002Z",
        _payin(payins.PayinFailed, "failed", **_CARD, status_reason="processing_error"),
    ),
    ("capture.succeeded", "2026-11-23T18:00:00.114093Z", CAPTURED),
    (
        "capture.failed",
        "2026-11-23T18:00:00.114093Z",
        _capture(payins.CaptureFailed, status="failed", status_reason="processing_error"),
    ),
    ("refund.created", "2026-11-24T08:30:00.012773Z", REFUNDING),
    ("refund.succeeded", "2026-11-24T08:30:00.140552Z", _refund(payins.RefundSucceeded, status="succeeded")),
    (
        "refund.failed",
        "2026-11-24T08:30:00.140552Z",
        _refund(payins.RefundFailed, status="failed", status_reason="closed_account"),
    ),
    ("deposit.unapplied", "2026-11-23T11:20:05.733190Z", UNAPPLIED),
    ("deposit.return_requested", "2026-11-23T12:00:41.917002Z", RETURNING),
    ("deposit.returned", "2026-11-23T12:00:42.306550Z", RETURNED),
    (
        "deposit.return_failed",
        "2026-11-23T12:00:42.306550Z",
        _deposit(payins.DepositReturnFailed, amount_unapplied=2_000, reason="return_refused"),
    ),
    ("discrepancy.opened", "2026-11-23T10:05:00.330018Z", DISCREPANCY),
    (
        "discrepancy.resolved",
        "2026-11-23T15:20:00.800411Z",
        _discrepancy(
            payins.DiscrepancyResolved,
            resolved_at="2026-11-23T15:20:00.800411Z",
            resolution="the provider was asked, and says what our books say",
            answer={"key": PAYIN_ID.removeprefix("payin_"), "account": "1", "status": "paid"},
            correction="ask_again",
        ),
    ),
    *dispute_examples.events(PAYIN_ID),
    ("instrument.created", "2026-11-23T09:59:48.512038Z", KEPT),
    ("instrument.deleted", "2026-12-01T08:15:00.264171Z", ERASED),
    ("webhook_endpoint.disabled", webhook_examples.FAILED, webhook_examples.DISABLED),
    ("webhook_endpoint.deleted", webhook_examples.DELETED_AT, webhook_examples.DELETED),
    ("webhook_endpoint.tested", webhook_examples.AT, webhook_examples.TESTED),
    (
        "merchant.created",
        "2026-11-02T09:30:00.000000Z",
        merchants.MerchantCreated(merchant=MERCHANT_ID, name="Panadería Ana", country="MX", late_payments="accept"),
    ),
    (
        "merchant.changed",
        "2026-11-03T16:12:09.114276Z",
        merchants.MerchantChanged(merchant=MERCHANT_ID, late_payments="unapplied", refunds_beyond_balance="refuse"),
    ),
    (
        "fee_plan.changed",
        "2026-11-02T09:30:00.000000Z",
        merchants.FeePlanChanged(merchant=MERCHANT_ID, version=1, fee_plan=(FEE_LINE,)),
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
    (
        "balance.went_negative",
        "2026-11-23T10:04:31.218604Z",
        ledger.BalanceWentNegative(
            id=BALANCE_ID, mode="test", name="pending", currency="MXN", amount=-200, cause="payin.fee"
        ),
    ),
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
