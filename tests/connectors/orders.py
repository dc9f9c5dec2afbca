"""Orders of every method, and a connector of a process of the test's own."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec

from caudal.connectors import (
    CaptureOrder,
    Card,
    Destination,
    Links,
    OperationQuery,
    PayerDetails,
    PaymentOrder,
    PaymentQuery,
    RefundOrder,
    VoidOrder,
)
from caudal.connectors.providers import Provider, providers_of
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings
from tests.connectors.provider import SECRET

SPEI_SECRET = "quiet bank"
METHODS = ("boleto", "card", "mpesa", "pix", "pse")
PLACES = {
    "boleto": ("BR", "BRL", "52998224725"),
    "card": ("BR", "BRL", "52998224725"),
    "mpesa": ("KE", "KES", None),
    "pix": ("BR", "BRL", "52998224725"),
    "pse": ("CO", "COP", "9001234561"),
}
CARD = Card(
    number="4111111111111111",
    expiry_month=12,
    expiry_year=2031,
    holder_name="ANA LIMA",
    brand="visa",
    security_code="123",
)


def settings(url: str | None, **changed: Any) -> Settings:
    """Settings of a process that has test providers at an address. No test waits long for one."""
    given: dict[str, Any] = {
        "database_url": "postgresql://nobody@127.0.0.1:1/none",
        "kek": base64.b64encode(bytes(32)).decode(),
        "sandbox_url": url,
        "provider_secret_test": SECRET,
        "provider_timeout_ms": 500,
        "provider_tries": 1,
        "provider_breaker_failures": 1000,
        **changed,
    }
    return Settings(**given)


def provider(**changed: Any) -> Provider:
    """The sandbox, with these settings."""
    (found,) = providers_of(settings(None, **changed), frozenset(METHODS))
    return found


def links(url: str | None, **changed: Any) -> Links:
    """The ways of such a process."""
    return Links(settings(url, **changed))


def context(url: str | None, **changed: Any) -> Context:
    """A process's context; its database is never asked."""
    return Context(settings(url, **changed), name="test")


def order(method: str, **changed: Any) -> PaymentOrder:
    """An order that its method can carry out."""
    country, currency, document = PLACES[method]
    given: dict[str, Any] = {
        "key": uuid4().hex,
        "account": "7",
        "mode": "test",
        "amount_minor": 12050,
        "currency": currency,
        "country": country,
        "capture": "automatic",
        "three_ds": "if_required",
        "payer": PayerDetails(name="Ana Lima", email="ana@example.com", document=document, phone="+254712345678"),
        "card": CARD if method == "card" else None,
        "bank": "1007" if method == "pse" else None,
        "return_url": "https://shop.example/back",
        "description": "order 17",
        "expires_at": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **changed,
    }
    return PaymentOrder(**given)


def query(order: PaymentOrder, **changed: Any) -> PaymentQuery:
    """The question after a payment."""
    asked = PaymentQuery(
        key=order.key,
        account=order.account,
        mode=order.mode,
        amount_minor=order.amount_minor,
        currency=order.currency,
    )
    return msgspec.structs.replace(asked, **changed)


def capture(order: PaymentOrder, amount_minor: int, *, final: bool = False) -> CaptureOrder:
    """A part to take."""
    return CaptureOrder(
        key=uuid4().hex,
        payment_key=order.key,
        mode=order.mode,
        amount_minor=amount_minor,
        currency=order.currency,
        final=final,
    )


def void(order: PaymentOrder) -> VoidOrder:
    """A payment to give up."""
    return VoidOrder(key=uuid4().hex, payment_key=order.key, mode=order.mode)


def refund(order: PaymentOrder, amount_minor: int, destination: Destination | None = None) -> RefundOrder:
    """Money to give back."""
    return RefundOrder(
        key=uuid4().hex,
        payment_key=order.key,
        mode=order.mode,
        amount_minor=amount_minor,
        currency=order.currency,
        destination=destination,
    )


def operation(asked: CaptureOrder | RefundOrder) -> OperationQuery:
    """The question after a capture or a refund."""
    return OperationQuery(
        key=asked.key,
        payment_key=asked.payment_key,
        mode=asked.mode,
        kind="capture" if isinstance(asked, CaptureOrder) else "refund",
        amount_minor=asked.amount_minor,
        currency=asked.currency,
    )


def destination(method: str) -> Destination:
    """The payer's bank account."""
    return Destination(
        country=PLACES[method][0],
        bank="1007",
        account="0123456789",
        kind="checking",
        holder_name="Ana Lima",
        holder_document=PLACES[method][2],
    )
