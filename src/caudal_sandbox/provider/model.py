"""The provider's nouns: what caudal asks, and what the provider has booked.

Amounts are integers in the currency's minor unit (`_minor`), times unix milliseconds (`_ms`). A card's number is not
among the nouns: the parser judges it and keeps brand, last four digits and what the issuer will say.
"""

from enum import StrEnum
from typing import Any

import msgspec

AMOUNT_MAX_MINOR = 99_999_999_999
FILE_MAX = 5 * 1024 * 1024


class Method(StrEnum):
    """How a payer pays."""

    CARD = "card"
    PIX = "pix"
    BOLETO = "boleto"
    PSE = "pse"
    MPESA = "mpesa"


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a card: `code` is the issuer's answer (None: approved), `challenge` demands 3-D Secure."""

    brand: str
    last_four: str
    code: str | None
    challenge: bool
    disputes: bool


class PaymentAsk(msgspec.Struct, frozen=True, kw_only=True):
    """An order to collect money. `fingerprint` is a keyed digest of the whole order."""

    key: str
    method: str
    account: str
    amount_minor: int
    currency: str
    country: str
    capture: str
    three_ds: str
    payer_name: str | None
    payer_document: str | None
    phone: str | None
    card: Card | None
    bank: str | None
    return_url: str | None
    description: str | None
    expires_ms: int
    fingerprint: bytes


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as it stands. `refunding_minor` waits for a refund to end; `released` means no more captures.

    `issuer_code` is what the issuer will say after the challenge. `sequence` grows with every change.
    """

    key: str
    method: str
    account: str
    amount_minor: int
    currency: str
    country: str
    capture: str
    payer_name: str | None
    payer_document: str | None
    phone: str | None
    bank: str | None
    return_url: str | None
    description: str | None
    brand: str | None
    last_four: str | None
    issuer_code: str | None
    disputes: bool
    fingerprint: bytes
    created_ms: int
    expires_ms: int
    status: str
    code: str | None
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    refunding_minor: int
    disputed_minor: int
    released: bool
    sequence: int
    updated_ms: int


class OperationAsk(msgspec.Struct, frozen=True, kw_only=True):
    """An order on a payment. A cancellation has no amount of its own; `final` releases what is not captured."""

    key: str
    method: str
    payment_key: str
    kind: str
    amount_minor: int
    final: bool
    destination: dict[str, Any] | None
    fingerprint: bytes


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A capture, cancellation or refund as it stands."""

    key: str
    payment_key: str
    account: str
    method: str
    kind: str
    amount_minor: int
    currency: str
    fingerprint: bytes
    status: str
    code: str | None
    updated_ms: int


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a payer wants back through the bank. `respond_by_ms` is the last moment for evidence."""

    reference: str
    payment_key: str
    account: str
    method: str
    amount_minor: int
    currency: str
    code: str
    status: str
    respond_by_ms: int
    updated_ms: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A file against a dispute: its digest is kept, not the file."""

    key: str
    reference: str
    content_type: str
    size: int
    digest: str


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback to be sent: what about, its body, how late, how often, and whether its signature is forged."""

    method: str
    body: str
    delay_ms: int = 0
    copies: int = 1
    forged: bool = False
