"""Events of payins and deposits, and what stands in their `data`: the object as it was right after the event.

This is the published language: services below and beside payins, and merchants, read these records. They grow by
optional fields only; what is published is never removed, renamed or retyped. Amounts are integers in minor units of
`currency`, times are RFC 3339 in UTC. `payins` writes its own bodies, and a test proves that they are these.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

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


class ShowBankDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What the payer does next: transfer exactly this amount to this CLABE, before the payin expires."""

    type: Literal["show_bank_details"]
    clabe: Annotated[Clabe, Meta(description="the account, for this payin alone while it is open")]
    beneficiary: Annotated[str, Meta(description="the name that the payer's bank asks for")]
    amount: Annotated[Amount, Meta(description="what is still missing, minor units")]
    currency: Currency
    expires_at: Annotated[Instant, Meta(description="until when the payin waits")]
    payer_page: Annotated[str | None, Meta(description="test mode: the sandbox bank's page for the payer, filled in")]


class PayinData(msgspec.Struct, frozen=True, kw_only=True):
    """A payin right after the event, without its payer: events carry no personal data."""

    id: Annotated[PayinId, Meta(description="the payin's id; orders by time")]
    object: Annotated[Literal["payin"], Meta(description="what this is")] = "payin"
    mode: Mode
    status: Annotated[PayinStatus, Meta(description="the main line only; what was received or refunded are amounts")]
    status_reason: Annotated[
        str | None, Meta(description="why, where there is more to say: `late`, `underpaid`, `requested_by_merchant`")
    ]
    amount: Annotated[Amount, Meta(description="what the merchant asks for, minor units")]
    currency: Currency
    country: Annotated[str, Meta(description="ISO 3166-1 alpha-2", pattern="^[A-Z]{2}$", examples=["MX"])]
    method: Annotated[str, Meta(description="how the payer pays", examples=["spei"])]
    amount_authorized: Annotated[Amount, Meta(description="reserved with the payer's bank; 0 for transfers")] = 0
    amount_captured: Annotated[Amount, Meta(description="taken of what was authorized; 0 for transfers")] = 0
    amount_received: Annotated[Amount, Meta(description="what has arrived towards the amount; never more than it")]
    amount_refunded: Annotated[Amount, Meta(description="sent back to the payer")] = 0
    amount_disputed: Annotated[Amount, Meta(description="under dispute")] = 0
    fees: Annotated[Amount, Meta(description="charged at payment, minor units; 0 until then")]
    fee_plan: Annotated[int, Meta(ge=0, description="the version of the fee plan that prices it")]
    reference: Annotated[str | None, Meta(description="the merchant's own")]
    description: Annotated[str | None, Meta(description="the merchant's own")]
    metadata: Annotated[dict[str, str], Meta(description="the merchant's own, up to 50 keys")]
    next_action: Annotated[ShowBankDetails | None, Meta(description="what the payer has to do, while it is pending")]
    dispute: Annotated[None, Meta(description="nothing yet: transfers are not disputed")] = None
    created_at: Instant
    expires_at: Annotated[Instant, Meta(description="until when the payin waits for its payer")]
    paid_at: Annotated[Instant | None, Meta(description="when the last of the money was booked")]


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
            "`unknown_account`, or `return_refused`"
        ),
    ]
    created_at: Instant


class PayinCreated(PayinData, frozen=True, kw_only=True):
    """A merchant asked for a payment: the payin is `pending` and has a CLABE of its own."""


class PayinReceived(PayinData, frozen=True, kw_only=True):
    """Part of the amount arrived; the payin stays `pending` and waits for the rest."""


class PayinPaid(PayinData, frozen=True, kw_only=True):
    """The whole amount has arrived and the fee is taken. After an expiry `status_reason` is `late`."""


class PayinExpired(PayinData, frozen=True, kw_only=True):
    """Time passed before the amount had arrived; `status_reason` is `underpaid` if a part of it had."""


class PayinCancelled(PayinData, frozen=True, kw_only=True):
    """The merchant gave the payin up. Money that comes all the same is unapplied."""


class DepositUnapplied(DepositData, frozen=True, kw_only=True):
    """Money arrived that pays nothing: too much, too late, or for an account that is nobody's or closed."""


class DepositReturnRequested(DepositData, frozen=True, kw_only=True):
    """An operator is sending unapplied money back to whoever paid it."""


class DepositReturned(DepositData, frozen=True, kw_only=True):
    """The bank confirmed: the money is back with whoever paid it."""


class DepositReturnFailed(DepositData, frozen=True, kw_only=True):
    """The bank refused the return: the money is unapplied again."""


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "payin.created": PayinCreated,
    "payin.received": PayinReceived,
    "payin.paid": PayinPaid,
    "payin.expired": PayinExpired,
    "payin.cancelled": PayinCancelled,
    "deposit.unapplied": DepositUnapplied,
    "deposit.return_requested": DepositReturnRequested,
    "deposit.returned": DepositReturned,
    "deposit.return_failed": DepositReturnFailed,
}
