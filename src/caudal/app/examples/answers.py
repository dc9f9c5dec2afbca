"""Answers and bodies that are no event's data, by the name of their record."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caudal.app.examples import bulk, methods, routing
from caudal.app.examples import disputes as dispute_examples
from caudal.app.examples import webhooks as webhook_examples
from caudal.app.examples.actions import AMOUNT_MINOR, PAYIN_ID
from caudal.app.examples.events import (
    CALLBACK,
    CANCELLED,
    CAPTURED,
    CREATE,
    CREATE_INSTRUMENT,
    CREATE_MERCHANT,
    CREATED,
    DISCREPANCY,
    ERASED,
    EVENTS,
    EXACT_ID,
    FEE_LINE,
    FEE_MINOR,
    KEPT,
    KEY_ID,
    MERCHANT_ID,
    NEXT_KEY_ID,
    OPERATOR_ID,
    PAID,
    PAID_AT,
    REFUNDING,
    RETURNED,
    RETURNING,
    UNAPPLIED,
    envelope,
)
from caudal.connectors import CONNECTORS
from caudal.kernel.http import encode


def _page(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"data": list(rows), "has_more": False, "next": None, **more}


_MERCHANT: Final[dict[str, Any]] = {
    "id": MERCHANT_ID,
    "object": "merchant",
    "name": "Panadería Ana",
    "country": "MX",
    "status": "active",
    "late_payments": "accept",
    "refunds_beyond_balance": "refuse",
    "fee_plan": {"version": 1, "lines": [msgspec.to_builtins(FEE_LINE)]},
    "shard": 0,
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
    "detail": msgspec.to_builtins(next(data for name, _, data in EVENTS if name == "merchant.created")),
}
_PAYIN: Final[dict[str, Any]] = msgspec.to_builtins(CREATED)
_PAID_PAYIN: Final[dict[str, Any]] = msgspec.to_builtins(PAID)
_BALANCE: Final[dict[str, Any]] = {
    "currency": "MXN",
    "pending": AMOUNT_MINOR - FEE_MINOR,
    "available": 0,
    "reserved": 0,
    "disputed": 0,
    "unapplied": 2_000,
    "pending_by_day": [{"day": "2026-11-24", "amount": AMOUNT_MINOR - FEE_MINOR}],
}
_TRANSACTION: Final[dict[str, Any]] = {
    "id": "txn_01a1aa0cd0f9755680000142ed92a1b0",
    "object": "balance_transaction",
    "mode": "test",
    "kind": "payment",
    "currency": "MXN",
    "gross": AMOUNT_MINOR,
    "fee": FEE_MINOR,
    "net": AMOUNT_MINOR - FEE_MINOR,
    "subject": PAYIN_ID,
    "payin": PAYIN_ID,
    "available_on": "2026-11-24",
    "created_at": PAID_AT,
}

_PROVIDER: Final[dict[str, Any]] = {
    "provider": "sandbox",
    "mode": "test",
    "breaker": "closed",
    "forced": None,
    "drained": False,
    "calls": 1_204,
    "failed": 3,
    "turned_away": 0,
    "repeated": 2,
    "in_flight": 4,
    "failure_share": 0.0,
    "slow_share": 0.0,
    "average_ms": 7.9,
    "p50_ms": 6.4,
    "p99_ms": 31.2,
}

_CASE: Final = {
    **msgspec.to_builtins(DISCREPANCY),
    "proposals": [
        {
            "correction": "ask_again",
            "because": "it was only told: the provider is asked how the payment stands",
            "amount": None,
            "currency": None,
            "destination": None,
            "postings": [],
            "facts": "c1.p2",
        }
    ],
}

_UNRESOLVED: Final = {
    "id": PAYIN_ID,
    "object": "unresolved",
    "kind": "payin",
    "mode": "test",
    "provider": "sandbox",
    "provider_key": PAYIN_ID.removeprefix("payin_"),
    "payin": PAYIN_ID,
    "status": "submitting",
    "amount": 12_050,
    "currency": "BRL",
    "since": "2026-11-23T10:00:00.000000Z",
    "age_seconds": 184,
    "times_asked": 3,
    "last_answer": "no outcome of this payment yet: HTTP 503 busy",
    "next_ask_at": "2026-11-23T10:03:30.000000Z",
}

_TRACE: Final = {
    "payin": PAYIN_ID,
    "merchant": MERCHANT_ID,
    "mode": "test",
    "method": "card",
    "country": "BR",
    "currency": "BRL",
    "amount": 12_050,
    "received": 0,
    "authorized": 0,
    "captured": 0,
    "refunded": 0,
    "disputed": 0,
    "fee": 0,
    "status": "submitting",
    "status_reason": None,
    "reference": "order-1001",
    "provider_reference": None,
    "created_at": "2026-11-23T10:00:00.000000Z",
    "expires_at": "2026-11-23T11:00:00.000000Z",
    "paid_at": None,
    "available_on": None,
    "complete": True,
    "missing": [],
    "steps": [
        {
            "at": "2026-11-23T10:00:00.000000Z",
            "kind": "state",
            "subject": PAYIN_ID,
            "what": "created",
            "detail": {"amount": 12_050, "method": "card"},
        },
        {
            "at": "2026-11-23T10:00:00.004000Z",
            "kind": "attempt",
            "subject": PAYIN_ID.removeprefix("payin_"),
            "what": "asks sandbox",
            "detail": {"number": 1, "rule": "default", "why": "in the order of configuration"},
        },
    ],
}

_EVENT: Final[dict[str, Any]] = msgspec.json.decode(encode(envelope("payin.paid")))
_READY: Final = {"running": "ok", "shard": "ok", "queue": "ok", "database": "ok", "migrations": "ok"}
_AWAY: Final = "the database does not answer: TimeoutError"
UNAVAILABLE: Final = {
    "status": "unavailable",
    "reasons": [_AWAY],
    "checks": {"running": "ok", "shard": "ok", "queue": "ok", "database": _AWAY},
}

ANSWERS: Final[dict[str, Any]] = {
    "Trace": _TRACE,
    "Unresolved": _UNRESOLVED,
    "UnresolvedList": {"data": [_UNRESOLVED], "has_more": False, "next": None},
    "UnresolvedDetail": {
        **_UNRESOLVED,
        "provider_reference": None,
        "submitted_until": "2026-11-23T10:00:12.000000Z",
        "not_found_counts_from": "2026-11-23T10:01:15.000000Z",
        "history": [
            {
                "event": "submitted_again",
                "status": "submitting",
                "status_reason": None,
                "at": "2026-11-23T10:00:14.000000Z",
            }
        ],
        "discrepancies": [],
    },
    "Settlement": {
        "id": PAYIN_ID,
        "object": "settlement",
        "outcome": "happened",
        "reason": "it stands in the provider's statement of 23 November",
    },
    "Inquiry": {"id": PAYIN_ID, "object": "inquiry", "next_ask_at": "2026-11-23T10:03:05.000000Z"},
    "PayinBody": _PAYIN,
    "PayinWithPayer": {**_PAID_PAYIN, "payer": CREATE["payer"]},
    "PayinAnswers": bulk.answer(_PAYIN),
    "PayinList": _page(_PAID_PAYIN, previous=None),
    "InstrumentBody": msgspec.to_builtins(KEPT),
    "InstrumentWithHolder": {
        **msgspec.to_builtins(KEPT),
        "card": {**msgspec.to_builtins(KEPT.card), "holder_name": "ANA PEREZ"},
    },
    "CaptureBody": msgspec.to_builtins(CAPTURED),
    "CaptureList": _page(msgspec.to_builtins(CAPTURED)),
    "RefundBody": msgspec.to_builtins(REFUNDING),
    "RefundList": _page(msgspec.to_builtins(REFUNDING)),
    **dispute_examples.answers(PAYIN_ID),
    "NoticeAccepted": {"status": "accepted"},
    "Played": {"payin": PAYIN_ID, "status": "played"},
    "DiscrepancyBody": msgspec.to_builtins(DISCREPANCY),
    "DiscrepancyCase": _CASE,
    "DiscrepancyList": _page(_CASE),
    "ProviderList": {
        "data": [_PROVIDER],
        "callbacks_refused": [{"provider": "sandbox", "reason": "stale", "count": 2}],
    },
    "OverrideBody": {
        "object": "provider_override",
        "provider": "sandbox",
        "mode": "test",
        "forced": None,
        "forced_reason": None,
        "forced_until": None,
        "drained": False,
        "drained_reason": None,
        "changed_at": "2026-11-27T12:00:00.000000Z",
    },
    "CallbackAccepted": {"deposit": EXACT_ID, "status": "accepted"},
    "DepositList": _page(msgspec.to_builtins(UNAPPLIED)),
    "DepositBody": msgspec.to_builtins(RETURNING),
    "ClockBody": {"now": "2026-11-26T10:00:01.000000Z", "offset_seconds": 259_201, "expired": 1},
    "BalanceList": {"mode": "test", "data": [_BALANCE]},
    "BalanceTransactionList": _page(_TRANSACTION, previous=None),
    "Envelope": _EVENT,
    "EventList": {
        "data": [_EVENT],
        "has_more": False,
        "next": envelope("payin.paid").id,
    },
    **webhook_examples.answers(envelope("payin.paid")),
    "Health": {"status": "ok", "reasons": [], "checks": _READY},
    **routing.answers(PAYIN_ID),
    "ProfileBody": routing.PROFILE,
    "ProfileList": _page({**routing.PROFILE, "active": True}),
    "MerchantBody": _MERCHANT,
    "MerchantList": _page(_MERCHANT, previous=None),
    "KeyBody": _KEY,
    "KeyList": _page(_KEY, previous=None),
    "AuditList": _page(_AUDIT, previous=None),
}
BODIES: Final[dict[str, Any]] = {
    "CreatePayinBody": CREATE,
    "CreatePayinsBody": bulk.BODY,
    "CreateInstrumentBody": CREATE_INSTRUMENT,
    "SpeiCallback": CALLBACK,
    "ProviderCallback": methods.callbacks("pix")["payment"],
    "CaptureAsked": {"amount": 5_000, "final": False},
    "RefundAsked": {"amount": 5_000, "note": "one of two loaves came back"},
    "ReturnAsked": {},
    "ConfirmAsked": {"reason": "it stands in the provider's statement of 23 November"},
    "SettleAsked": {"outcome": "happened", "reason": "it stands in the provider's statement of 23 November"},
    "CorrectAsked": {"correction": "ask_again", "facts": "c1.p2"},
    "ResolveAsked": {"resolution": "the provider confirmed the payment; its callback was sent in error"},
    "ForceAsked": {"breaker": "automatic", "reason": "their incident 4711 is over"},
    "DrainAsked": {"drained": False, "reason": "maintenance is over"},
    "AdvanceBody": {"seconds": 259_201},
    "CreateMerchantAsked": CREATE_MERCHANT,
    "FeePlanAsked": {"fee_plan": CREATE_MERCHANT["fee_plan"]},
    "SettingsAsked": {"late_payments": "unapplied"},
    "CreateKeyAsked": {"mode": "test", "name": "shop", "scopes": ["payins:read", "payins:write"]},
    "RotateKeyAsked": {"overlap_s": 3_600},
    "ProfileAsked": routing.ASKED,
    "SimulateAsked": {"replay": {"days": 7}, "profile": routing.ASKED},
    **webhook_examples.BODIES,
}
# Where an operation has examples of several bodies or answers, by what tells them apart.
SEVERAL_BODIES: Final[dict[str, dict[str, Any]]] = {
    "create_payin": methods.PAYINS,
    **{f"create_callback_{method}": methods.callbacks(method) for method in CONNECTORS},
}
SEVERAL_ANSWERS: Final[dict[str, dict[str, Any]]] = {"create_payin": methods.answers(_PAYIN)}
# Where an operation's answer is not the one that its record usually has.
OPERATIONS: Final[dict[str, Any]] = {
    "get_livez": {"status": "ok", "reasons": [], "checks": {}},
    "create_instrument_deletion": msgspec.to_builtins(ERASED),
    "create_deposit_confirmation": {**msgspec.to_builtins(RETURNED), "reason": "return_confirmed"},
    "create_payin_cancellation": msgspec.to_builtins(CANCELLED),
    "create_merchant_key": {**_KEY, "secret": "sk_test_…"},
    "create_key_rotation": {
        **_KEY,
        "id": NEXT_KEY_ID,
        "created_at": "2026-11-20T09:31:00.000000Z",
        "secret": "sk_test_…",
    },
    "create_key_revocation": {**_KEY, "revoked_at": "2026-11-21T08:00:00.000000Z"},
    **webhook_examples.operations(envelope("payin.paid")),
    "create_routing_profile_activation": {**routing.PROFILE, "active": True},
    "create_merchant_setting": {**_MERCHANT, "late_payments": "unapplied"},
    "create_merchant_fee_plan": {**_MERCHANT, "fee_plan": {**_MERCHANT["fee_plan"], "version": 2}},
}
