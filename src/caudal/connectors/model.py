"""What connectors and services tell each other, whatever the provider's protocol. Amounts in minor units.

A payment has one key for ever, made by us before the first call: the provider deduplicates by it, and it is asked for
by it. So has each operation on a payment (a capture, a void, a refund). What comes back, as an answer, from a query or
in a callback, is always the same few nouns:

    PaymentState     how a payment stands now (cumulative amounts, so that order and repetition do not matter)
    OperationState   how a capture, void or refund stands now
    DisputeState     how a dispute stands now
    NotFound         the provider has never heard of the key
    Declined         the provider refuses what was asked, for good
    Unresolved       `retry`: nothing happened there; `unknown`: ask again by the same key
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from caudal.contracts.reasons import Reason
from caudal.kernel.errors import Refused

Mode = Literal["test", "live"]

OperationKind = Literal["capture", "void", "refund"]

# What is asked


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A card as it left the vault, for one call. It is never logged, stored or shown: its repr says nothing."""

    number: str
    expiry_month: int
    expiry_year: int
    holder_name: str
    brand: str
    security_code: str | None = None

    def __repr__(self) -> str:
        return f"Card({self.brand})"


class PayerDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays, as far as providers ask."""

    name: str | None = None
    email: str | None = None
    document: str | None = None
    phone: str | None = None


class PaymentOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be made. `account` says whose it is and comes back in every callback."""

    key: str
    account: str
    mode: Mode
    amount_minor: int
    currency: str
    country: str
    capture: Literal["automatic", "manual"]
    three_ds: Literal["if_required", "demanded"]
    payer: PayerDetails
    card: Card | None
    bank: str | None
    return_url: str | None
    description: str | None
    expires_at: str


class CaptureOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Take a part of what is authorized; `final` gives the rest back to the payer."""

    key: str
    payment_key: str
    mode: Mode
    amount_minor: int
    currency: str
    final: bool


class VoidOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Give up a payment that waits, or what is authorized and not captured."""

    key: str
    payment_key: str
    mode: Mode


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A payer's bank account, for refunds that cannot go back the way the money came."""

    country: str
    bank: str | None
    account: str
    kind: str | None
    holder_name: str
    holder_document: str | None


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Give money back: to where it came from, or to `destination`."""

    key: str
    payment_key: str
    mode: Mode
    amount_minor: int
    currency: str
    destination: Destination | None


class PaymentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How does this payment stand? What the answer must agree with goes along."""

    key: str
    account: str
    mode: Mode
    amount_minor: int
    currency: str


class OperationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How does this capture, void or refund stand? `amount_minor` is None where only the provider knows it (a void)."""

    key: str
    payment_key: str
    mode: Mode
    kind: OperationKind
    amount_minor: int | None
    currency: str | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A file against a dispute."""

    key: str
    dispute_reference: str
    mode: Mode
    content_type: str
    content: bytes


# What comes back


class Redirect(msgspec.Struct, frozen=True, kw_only=True, tag="redirect"):
    """The payer goes to a page."""

    url: str


class ShowQr(msgspec.Struct, frozen=True, kw_only=True, tag="show_qr"):
    """The payer scans, or copies and pastes. `payload` is an EMVCo merchant-presented code."""

    payload: str


class ShowVoucher(msgspec.Struct, frozen=True, kw_only=True, tag="show_voucher"):
    """The payer pays elsewhere: the line to type (Brazil's linha digitável) and the barcode."""

    line: str
    barcode: str
    due_on: str
    url: str | None


class AwaitPush(msgspec.Struct, frozen=True, kw_only=True, tag="await_push"):
    """The payer confirms on the phone that has been asked."""

    phone: str


Action = Redirect | ShowQr | ShowVoucher | AwaitPush


class PaymentState(msgspec.Struct, frozen=True, kw_only=True):
    """How a payment stands with the provider. Amounts are what has happened so far, all together."""

    key: str
    account: str
    status: Literal["pending", "authorized", "paid", "declined", "expired", "cancelled"]
    reference: str
    amount_minor: int
    currency: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    reason: Reason | None
    action: Action | None
    payer_page: str | None


class OperationState(msgspec.Struct, frozen=True, kw_only=True):
    """How a capture, a void or a refund stands with the provider."""

    key: str
    payment_key: str
    account: str
    kind: OperationKind
    status: Literal["pending", "succeeded", "failed"]
    reference: str
    amount_minor: int
    currency: str
    reason: Reason | None


class DisputeState(msgspec.Struct, frozen=True, kw_only=True):
    """How a dispute stands with the provider. `respond_by` is the last moment for evidence, RFC 3339."""

    reference: str
    payment_key: str
    account: str
    status: Literal["opened", "won", "lost"]
    amount_minor: int
    currency: str
    reason: str
    respond_by: str


class EvidenceTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has the file, now or before."""

    dispute_reference: str


class NotFound(msgspec.Struct, frozen=True):
    """The provider has never heard of this key. No outcome until the connector's `late_until_s` has passed."""


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """The provider refuses what was asked, for good; nothing happened there."""

    reason: Reason
    detail: str


class Unresolved(msgspec.Struct, frozen=True, kw_only=True):
    """No outcome yet. `retry`: nothing happened there; `unknown`: it may have, the same key finds out.

    `otherwise` is an answer about what was asked for that names another amount or currency: nobody may act on it, and
    nobody may drop it.
    """

    kind: Literal["retry", "unknown"]
    detail: str
    otherwise: PaymentState | OperationState | None = None


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A callback, verified and parsed: which of our two sets of books it is about, its id, and what it tells."""

    mode: Mode
    id: str
    about: PaymentState | OperationState | DisputeState


class NotGenuine(Refused):
    """A callback that is not believed: `why` is for operators, the caller hears that it is unauthenticated."""

    def __init__(self, why: Literal["unsigned", "stale", "forged"], detail: str) -> None:
        super().__init__("unauthenticated", detail)
        self.why = why


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a connector can do, as data.

    `deduplicates`: the same key submitted again is the same payment. `late_until_s`: how long after a submission
    "not found" may still become a payment. `refund`: back the way the money came, to a bank account that the payer
    names, or not at all.
    """

    method: str
    deduplicates: bool
    late_until_s: float
    manual_capture: bool
    partial_captures: bool
    void: bool
    refund: Literal["provider", "bank_account", "none"]
    disputes: bool
    three_ds: bool
    card: bool
    bank: Literal["required", "optional", "no"]
    phone: Literal["required", "no"]
    name: Literal["required", "optional"]
    document: Literal["required", "optional"]


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has decided about a provider in a mode; `forced_until` is real time, None: until changed.

    Forced `open`: nobody is asked. Forced `closed`: everybody is, however it goes. Drained: no new payments, and
    everything else goes on.
    """

    forced: Literal["open", "closed"] | None = None
    forced_until: datetime | None = None
    drained: bool = False


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How calls to a provider go, in this process since it began; for routing and for operators.

    A call is what a service asks; it may be tried more than once. Failed is what stayed unresolved; turned away is
    what was never tried, because the breaker was open or no connection came free in time. The shares are of the last
    seconds; times are of tries that got an answer or gave up, in milliseconds, None before the first.
    """

    provider: str
    mode: Mode
    breaker: Literal["closed", "open", "half_open"]
    forced: Literal["open", "closed"] | None
    drained: bool
    calls: int
    failed: int
    turned_away: int
    repeated: int
    in_flight: int
    failure_share: float
    slow_share: float
    average_ms: float | None
    p50_ms: float | None
    p99_ms: float | None


# The bank's nouns (SPEI)


class DepositReport(msgspec.Struct, frozen=True, kw_only=True):
    """Money that arrived on an account of ours. The provider's `tracking_key` names it once and for ever.

    `paid_at` is when the payer's side sent it, as the provider says, if it does.
    """

    provider: str
    tracking_key: str
    account: str
    amount_minor: int
    currency: str
    payer_name: str
    payer_bank: str
    paid_at: datetime | None


class ReturnOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Money to send back to whoever sent it."""

    return_key: str
    tracking_key: str
    amount_minor: int
    currency: str


class PaymentOut(msgspec.Struct, frozen=True, kw_only=True):
    """Money to send to a CLABE: a refund to the account that a payer named."""

    payment_key: str
    clabe: str
    amount_minor: int
    currency: str
    beneficiary_name: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's answer means: done; permanent (never); retry (not yet); unknown (ask again, same key)."""

    status: Literal["done", "permanent", "retry", "unknown"]
    detail: str
