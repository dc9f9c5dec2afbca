"""Events of payins and deposits, and what stands in their `data`: the object as it was right after the event.

This is the published language: services below and beside payins, and merchants, read these records. They grow by
optional fields only; what is published is never removed, renamed or retyped. Amounts are integers in minor units of
`currency`, times are RFC 3339 in UTC. `payins` writes its own bodies, and a test proves that they are these.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caudal.contracts.reasons import SAID

Mode = Annotated[Literal["test", "live"], Meta(description="which of the merchant's two sets of books it stands in")]
PayinStatus = Literal["submitting", "pending", "authorized", "paid", "declined", "failed", "expired", "cancelled"]
Instant = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$",
        examples=["2026-11-23T10:00:00.000000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]
Currency = Annotated[str, Meta(description="ISO 4217", pattern="^[A-Z]{3}$", examples=["MXN"])]
Amount = Annotated[int, Meta(ge=0)]
PayinId = Annotated[str, Meta(pattern="^payin_[0-9a-f]{32}$")]
DepositId = Annotated[str, Meta(pattern="^dep_[0-9a-f]{32}$")]
Clabe = Annotated[str, Meta(pattern=r"^\d{18}$")]


class ShowBankDetails(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_bank_details"):
    """What the payer does next: transfer exactly this amount to this CLABE, before the payin expires."""

    clabe: Annotated[Clabe, Meta(description="the account, for this payin alone while it is open")]
    beneficiary: Annotated[str, Meta(description="the name that the payer's bank asks for")]
    amount: Annotated[Amount, Meta(description="what is still missing, minor units")]
    currency: Currency
    expires_at: Annotated[Instant, Meta(description="until when the payin waits")]
    payer_page: Annotated[str | None, Meta(description="test mode: the sandbox bank's page for the payer, filled in")]


PayerPage = Annotated[str | None, Meta(description="test mode: where a person plays the payer")]
ExpiresAt = Annotated[Instant, Meta(description="until when the payin waits")]


class RedirectTo(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="redirect"):
    """What the payer does next: go to this page, and come back to the payin's `return_url`."""

    url: Annotated[str, Meta(description="the page of the payer's bank, or of 3-D Secure")]
    expires_at: ExpiresAt
    payer_page: PayerPage


class ShowQr(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_qr"):
    """What the payer does next: scan this code, or copy and paste it."""

    payload: Annotated[str, Meta(description="EMVCo merchant-presented code; draw it as QR")]
    expires_at: ExpiresAt
    payer_page: PayerPage


class ShowVoucher(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_voucher"):
    """What the payer does next: pay this slip at a counter or in a bank's app."""

    line: Annotated[str, Meta(description="what the payer types; boleto: the 47 digits of the linha digitável")]
    barcode: Annotated[str, Meta(description="the same as a barcode's digits; boleto: 44, interleaved 2 of 5")]
    due_on: Annotated[str, Meta(description="the day by which to pay, ISO 8601", pattern=r"^\d{4}-\d{2}-\d{2}$")]
    url: Annotated[str | None, Meta(description="the slip as a page")]
    expires_at: ExpiresAt
    payer_page: PayerPage


class AwaitPush(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="await_push"):
    """What the payer does next: confirm on the phone that has been asked."""

    phone: Annotated[str, Meta(description="its last digits")]
    expires_at: ExpiresAt
    payer_page: PayerPage


NextAction = ShowBankDetails | RedirectTo | ShowQr | ShowVoucher | AwaitPush


class InstrumentUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the payer pays with."""

    id: Annotated[
        Annotated[str, Meta(pattern="^instr_[0-9a-f]{32}$")] | None, Meta(description="the card's instrument")
    ]
    brand: Annotated[str | None, Meta(description="the card's brand", examples=["visa"])]
    last_four: Annotated[str | None, Meta(description="the card's last digits")]
    bank: Annotated[str | None, Meta(description="the payer's bank, by its code in the scheme")]


class PayinData(msgspec.Struct, frozen=True, kw_only=True):
    """A payin right after the event, without its payer: events carry no personal data."""

    id: Annotated[PayinId, Meta(description="the payin's id; orders by time")]
    object: Annotated[Literal["payin"], Meta(description="what this is")] = "payin"
    mode: Mode
    status: Annotated[PayinStatus, Meta(description="the main line only; what was received or refunded are amounts")]
    status_reason: Annotated[
        str | None,
        Meta(
            description="why, where there is more to say: `late`, `underpaid`, `requested_by_merchant`; of what was "
            f"declined or failed one of {SAID}; others may be added"
        ),
    ]
    amount: Annotated[Amount, Meta(description="what the merchant asks for, minor units")]
    currency: Currency
    country: Annotated[str, Meta(description="ISO 3166-1 alpha-2", pattern="^[A-Z]{2}$", examples=["MX"])]
    method: Annotated[str, Meta(description="how the payer pays", examples=["spei"])]
    provider: Annotated[
        str | None, Meta(description="who carries the payment; null for a bank transfer", examples=["sandbox"])
    ] = None
    instrument: Annotated[InstrumentUsed | None, Meta(description="what the payer pays with, if there is a choice")] = (
        None
    )
    capture: Annotated[
        Literal["automatic", "manual"], Meta(description="`manual`: what is authorized waits to be captured")
    ] = "automatic"
    amount_authorized: Annotated[Amount, Meta(description="reserved on the payer's card; 0 for other methods")] = 0
    amount_captured: Annotated[Amount, Meta(description="taken of what was authorized; 0 for other methods")] = 0
    amount_received: Annotated[Amount, Meta(description="what has arrived towards the amount; never more than it")]
    amount_refunded: Annotated[Amount, Meta(description="sent back to the payer, refunds under way included")] = 0
    amount_disputed: Annotated[Amount, Meta(description="under dispute")] = 0
    fees: Annotated[Amount, Meta(description="charged at payment, minor units; 0 until then")]
    fee_plan: Annotated[int, Meta(ge=0, description="the version of the fee plan that prices it")]
    reference: Annotated[str | None, Meta(description="the merchant's own")]
    description: Annotated[str | None, Meta(description="the merchant's own")]
    metadata: Annotated[dict[str, str], Meta(description="the merchant's own, up to 50 keys")]
    return_url: Annotated[str | None, Meta(description="where a redirect brings the payer back to")] = None
    next_action: Annotated[NextAction | None, Meta(description="what the payer has to do, while it is pending")]
    dispute: Annotated[str | None, Meta(description="the latest dispute's id")] = None
    created_at: Instant
    expires_at: Annotated[Instant, Meta(description="until when the payin waits for its payer")]
    paid_at: Annotated[Instant | None, Meta(description="when the payin became `paid`")]
    available_on: Annotated[
        Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None,
        Meta(description="the day from which the money is available"),
    ] = None


class DepositData(msgspec.Struct, frozen=True, kw_only=True):
    """Money that a bank reported, right after the event. applied + unapplied + returning + returned = amount."""

    id: Annotated[DepositId, Meta(description="the deposit's id, made of provider and tracking key")]
    object: Annotated[Literal["deposit"], Meta(description="what this is")] = "deposit"
    mode: Mode
    provider: Annotated[str, Meta(description="who reported it", examples=["spei"])]
    tracking_key: Annotated[str, Meta(description="the bank's name for the transfer (clave de rastreo)")]
    account: Annotated[str, Meta(description="the account it was sent to; a CLABE for SPEI")]
    currency: Currency
    amount: Annotated[Amount, Meta(description="what arrived, minor units")]
    amount_applied: Annotated[Amount, Meta(description="what pays a payin")]
    amount_unapplied: Annotated[Amount, Meta(description="what belongs to the payer and waits")]
    amount_returning: Annotated[Amount, Meta(description="on its way back to the payer")]
    amount_returned: Annotated[Amount, Meta(description="back with the payer")]
    payin: Annotated[PayinId | None, Meta(description="whose account it was sent to, if it was anybody's")]
    reason: Annotated[
        str | None,
        Meta(
            description="why something is unapplied: `partial`, `surplus`, `late`, `closed`, `wrong_currency`, "
            "`unknown_account`, `return_refused`, or `return_lost` where the order never reached the provider; "
            "`return_confirmed` once a return that had failed turned out to have been carried out, "
            "`partly_returned` where its provider gave a part of it back by itself"
        ),
    ]
    created_at: Annotated[Instant, Meta(description="when it was booked, which is what decides")]
    paid_at: Annotated[Instant | None, Meta(description="when the payer's bank sent it, if our bank says so")] = None


class PayinCreated(PayinData, frozen=True, kw_only=True):
    """A merchant asked for a payment. A transfer (`spei`) is `pending` and has a CLABE of its own; what a provider is
    asked for is `submitting`, and what came of that follows: `payin.pending`, `payin.authorized`, `payin.paid`,
    `payin.declined` or `payin.failed`."""


class PayinReceived(PayinData, frozen=True, kw_only=True):
    """Part of the amount arrived; the payin stays `pending` and waits for the rest."""


class PayinPaid(PayinData, frozen=True, kw_only=True):
    """The whole amount has arrived and the fee is taken. After an expiry `status_reason` is `late`."""


class PayinExpired(PayinData, frozen=True, kw_only=True):
    """Time passed before the amount had arrived; `status_reason` is `underpaid` if a part of it had."""


class PayinCancelled(PayinData, frozen=True, kw_only=True):
    """The merchant gave the payin up. Money that comes all the same is unapplied."""


class PayinPending(PayinData, frozen=True, kw_only=True):
    """The provider has accepted the payment and the payer is asked: `next_action` says for what."""


class PayinAuthorized(PayinData, frozen=True, kw_only=True):
    """The amount is reserved on the payer's card and waits to be captured."""


class PayinCaptured(PayinData, frozen=True, kw_only=True):
    """A further part of what was authorized was captured; the first part made the payin `paid`."""


class PayinRestReleased(PayinData, frozen=True, kw_only=True):
    """What was authorized beyond `amount_captured` is the payer's again: nothing more of the payin can be captured."""


class PayinDeclined(PayinData, frozen=True, kw_only=True):
    """The payer, or the payer's bank, will not pay; `status_reason` says why."""


class PayinFailed(PayinData, frozen=True, kw_only=True):
    """The payment never came to be at the provider."""


OperationStatus = Literal["pending", "succeeded", "failed"]


class CaptureData(msgspec.Struct, frozen=True, kw_only=True):
    """A capture right after the event."""

    id: Annotated[str, Meta(description="the capture's id", pattern="^capture_[0-9a-f]{32}$")]
    object: Annotated[Literal["capture"], Meta(description="what this is")] = "capture"
    mode: Mode
    payin: Annotated[PayinId, Meta(description="the payin that it captures")]
    status: OperationStatus
    status_reason: Annotated[str | None, Meta(description=f"why it failed: {SAID}; others may be added")]
    amount: Annotated[Amount, Meta(description="minor units")]
    currency: Currency
    final: Annotated[bool, Meta(description="whether the rest of the authorization was given back")]
    created_at: Instant
    settled_at: Annotated[Instant | None, Meta(description="when its outcome was booked")]


class RefundData(msgspec.Struct, frozen=True, kw_only=True):
    """A refund right after the event, without the bank account that it may go to."""

    id: Annotated[str, Meta(description="the refund's id", pattern="^refund_[0-9a-f]{32}$")]
    object: Annotated[Literal["refund"], Meta(description="what this is")] = "refund"
    mode: Mode
    payin: Annotated[PayinId, Meta(description="the payin that it refunds")]
    status: OperationStatus
    status_reason: Annotated[str | None, Meta(description=f"why it failed: {SAID}; others may be added")]
    amount: Annotated[Amount, Meta(description="minor units")]
    currency: Currency
    fees: Annotated[Amount, Meta(description="what the refund itself costs; given back if it fails")]
    note: Annotated[str | None, Meta(description="the merchant's own")]
    metadata: Annotated[dict[str, str], Meta(description="the merchant's own")]
    created_at: Instant
    settled_at: Annotated[Instant | None, Meta(description="when its outcome was booked")]


class CaptureSucceeded(CaptureData, frozen=True, kw_only=True):
    """A capture went through: its money is earned."""


class CaptureFailed(CaptureData, frozen=True, kw_only=True):
    """A capture did not go through; its part of the authorization may be captured again."""


class RefundCreated(RefundData, frozen=True, kw_only=True):
    """A refund was asked for: its money has left the merchant's balance and is on its way."""


class RefundSucceeded(RefundData, frozen=True, kw_only=True):
    """The payer has the money."""


class RefundFailed(RefundData, frozen=True, kw_only=True):
    """The payer could not be given the money: it is in the merchant's balance again, and the fee with it."""


class DiscrepancyData(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says and our books contradict, right after the event."""

    id: Annotated[str, Meta(description="the discrepancy's id", pattern="^disc_[0-9a-f]{32}$")]
    object: Annotated[Literal["discrepancy"], Meta(description="what this is")] = "discrepancy"
    mode: Mode
    provider: Annotated[str, Meta(description="who says it", examples=["sandbox"])]
    kind: Annotated[
        Literal[
            "contradicts_final_state",
            "other_account",
            "other_amount",
            "other_reference",
            "unknown_payment",
            "late_success",
        ],
        Meta(description="how it contradicts"),
    ]
    payin: Annotated[PayinId | None, Meta(description="which payin it speaks of, if it is one of ours")]
    detail: Annotated[dict[str, Any], Meta(description="what the provider said, without personal data")]
    created_at: Instant
    resolved_at: Annotated[Instant | None, Meta(description="when it was looked after")]
    resolution: Annotated[str | None, Meta(description="how, in that person's words, or by what it closed by itself")]
    held: Annotated[dict[str, Any] | None, Meta(description="what our books said when it was opened")]
    answer: Annotated[dict[str, Any] | None, Meta(description="what the provider said when it was asked about it")]
    correction: Annotated[
        Literal[
            "ask_again",
            "return_money",
            "book_late_payment",
            "reverse_capture",
            "book_refund",
            "book_return",
            "void_again",
            "end_authorization",
            "by_hand",
            "none_needed",
        ]
        | None,
        Meta(description="what put it right, or is about to, as an operator chose"),
    ]


class DiscrepancyOpened(DiscrepancyData, frozen=True, kw_only=True):
    """A provider said something that our books contradict; a person has to look after it."""


class DiscrepancyResolved(DiscrepancyData, frozen=True, kw_only=True):
    """An operator looked after a discrepancy and said how."""


class DepositUnapplied(DepositData, frozen=True, kw_only=True):
    """Money arrived that pays nothing: too much, too late, or for an account that is nobody's or closed."""


class DepositReturnRequested(DepositData, frozen=True, kw_only=True):
    """An operator is sending unapplied money back to whoever paid it."""


class DepositReturned(DepositData, frozen=True, kw_only=True):
    """The money is back with whoever paid it: the bank or provider says so, or an operator who has it from there."""


class DepositReturnFailed(DepositData, frozen=True, kw_only=True):
    """The bank or provider refused the return, or never had the order: the money is unapplied again."""


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "payin.created": PayinCreated,
    "payin.received": PayinReceived,
    "payin.paid": PayinPaid,
    "payin.expired": PayinExpired,
    "payin.cancelled": PayinCancelled,
    "payin.pending": PayinPending,
    "payin.authorized": PayinAuthorized,
    "payin.captured": PayinCaptured,
    "payin.rest_released": PayinRestReleased,
    "payin.declined": PayinDeclined,
    "payin.failed": PayinFailed,
    "capture.succeeded": CaptureSucceeded,
    "capture.failed": CaptureFailed,
    "refund.created": RefundCreated,
    "refund.succeeded": RefundSucceeded,
    "refund.failed": RefundFailed,
    "deposit.unapplied": DepositUnapplied,
    "deposit.return_requested": DepositReturnRequested,
    "deposit.returned": DepositReturned,
    "deposit.return_failed": DepositReturnFailed,
    "discrepancy.opened": DiscrepancyOpened,
    "discrepancy.resolved": DiscrepancyResolved,
}
