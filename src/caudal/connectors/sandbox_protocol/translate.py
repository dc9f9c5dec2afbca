"""The protocol's structs, and the way between them and our nouns; pure, both ways.

What differs from method to method are its `Words`: which parts of an order it sends, what its codes and actions mean.
A module with these three functions is one.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from caudal.connectors.model import (
    Action,
    Card,
    Destination,
    DisputeState,
    OperationKind,
    OperationState,
    PayerDetails,
    PaymentOrder,
    PaymentState,
)
from caudal.contracts.reasons import Reason

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}$", description="our key: an id of ours in 32 hex digits")]
PaymentKey = Annotated[
    str,
    Meta(
        pattern=r"^[0-9a-f]{32}(-[1-9][0-9]?)?$",
        description="our key: an id of ours in 32 hex digits, and behind it the attempt where it is not the first",
    ),
]
_NO_NUL: Final = {"pattern": r"^[^\u0000]*$"}  # refused in any text (kernel/parse.py)
_WORDS_MAX: Final = 200  # characters of a text that we send
Text = Annotated[str, Meta(min_length=1, max_length=200, extra_json_schema=_NO_NUL)]
LongText = Annotated[str, Meta(min_length=1, max_length=2048, extra_json_schema=_NO_NUL)]
Name = Annotated[Text, Meta(description="the provider's name for it")]
Account = Annotated[Text, Meta(description="whose it is, as we told the provider")]
Code = Annotated[Text | None, Meta(description="why, in the method's own words")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", description="ISO 4217")]
Amount = Annotated[int, Meta(gt=0, le=10**12, description="minor units")]
Total = Annotated[int, Meta(ge=0, le=10**12, description="minor units, all together so far")]
Instant = Annotated[str, Meta(description="when it changed last, RFC 3339", extra_json_schema=_NO_NUL)]


class Unfit(Exception):
    """The order lacks what the method cannot do without."""


class Garbled(Exception):
    """What the provider says cannot be true: of another method, or amounts that contradict each other."""


# What is asked


class NewPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to be made. Nothing that the method does not need is told to the provider."""

    key: str
    account: str
    amount: int
    currency: str
    country: str
    capture: Literal["automatic", "manual"]
    three_ds: Literal["if_required", "demanded"]
    payer: PayerDetails
    card: NewCard | None
    bank: str | None
    return_url: str | None
    description: str | None
    expires_at: str


class NewCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card's details; like the card it was made of, it never shows them."""

    number: str
    expiry_month: int
    expiry_year: int
    holder_name: str
    security_code: str | None

    def __repr__(self) -> str:
        return "NewCard()"


class NewCapture(msgspec.Struct, frozen=True, kw_only=True):
    """Take a part of what is authorized."""

    key: str
    amount: int
    final: bool


class NewCancellation(msgspec.Struct, frozen=True, kw_only=True):
    """Give the payment up."""

    key: str


class NewRefund(msgspec.Struct, frozen=True, kw_only=True):
    """Give money back."""

    key: str
    amount: int
    destination: Destination | None


# What is told


class RedirectAction(msgspec.Struct, frozen=True, tag="redirect"):
    """A page to go to."""

    url: Annotated[LongText, Meta(description="the page")]


class QrAction(msgspec.Struct, frozen=True, tag="qr"):
    """A code to scan."""

    payload: Annotated[LongText, Meta(description="EMVCo merchant-presented code")]


class VoucherAction(msgspec.Struct, frozen=True, tag="voucher"):
    """A slip to pay elsewhere."""

    line: Annotated[Text, Meta(description="the line to type")]
    barcode: Annotated[Text, Meta(description="the digits of the barcode")]
    due_on: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\d$", description="the last day, in the payer's country")]
    url: Annotated[LongText | None, Meta(description="the slip as a page")] = None


class PushAction(msgspec.Struct, frozen=True, tag="push"):
    """A question on the payer's phone."""

    phone: Annotated[Text, Meta(description="the phone that asks")]


ProviderAction = RedirectAction | QrAction | VoucherAction | PushAction


class ProviderPayment(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the provider has it."""

    id: Name
    key: PaymentKey
    method: Annotated[Text, Meta(description="by which it is paid")]
    account: Account
    status: Annotated[
        Literal["pending", "authorized", "paid", "declined", "expired", "cancelled"],
        Meta(description="how it stands with the provider"),
    ]
    amount: Amount
    currency: Currency
    authorized: Total
    captured: Total
    refunded: Total
    code: Code
    action: Annotated[ProviderAction | None, Meta(description="what the payer does next")]
    payer_page: Annotated[LongText | None, Meta(description="where a person plays the payer")] = None
    sequence: Annotated[int, Meta(description="grows with every change")] = 0
    updated_at: Instant = ""


class ProviderOperation(msgspec.Struct, frozen=True, kw_only=True):
    """A capture, a cancellation or a refund as the provider has it."""

    id: Name
    key: Key
    payment_key: Annotated[PaymentKey, Meta(description="the key of its payment")]
    account: Account
    kind: Annotated[Literal["capture", "cancellation", "refund"], Meta(description="what was asked for")]
    status: Annotated[Literal["pending", "succeeded", "failed"], Meta(description="what came of it")]
    amount: Total
    currency: Currency
    code: Code
    updated_at: Instant = ""


class ProviderDispute(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as the provider has it."""

    reference: Name
    payment_key: Annotated[PaymentKey, Meta(description="the key of its payment")]
    account: Account
    status: Annotated[Literal["opened", "won", "lost"], Meta(description="how it stands")]
    amount: Amount
    currency: Currency
    code: Annotated[Text, Meta(description="why, in the scheme's own words")]
    respond_by: Annotated[
        Text,
        Meta(
            description="the last moment for evidence, RFC 3339, within two years",
            extra_json_schema={"format": "date-time"},
        ),
    ]


class ProviderEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """The dispute that a file was taken for."""

    reference: Text


class WrongField(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is not as it must be."""

    field: str = ""


class ProviderProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457); with 422 the code is one of REFUSALS or of the method's."""

    code: Text
    detail: str = ""
    errors: list[WrongField] = []


# Why the provider does not do what is asked, whatever the method.
REFUSALS: Final[dict[str, Reason]] = {
    "amount_too_large": "amount_not_allowed",
    "destination_required": "invalid_request",
    "dispute_closed": "not_permitted",
    "invalid_request": "invalid_request",
    "not_cancellable": "not_permitted",
    "not_capturable": "not_permitted",
    "not_refundable": "not_refundable",
}

KINDS: Final[dict[str, OperationKind]] = {"capture": "capture", "cancellation": "void", "refund": "refund"}


class Words(Protocol):
    """What a method's translate.py says."""

    def asked(self, order: PaymentOrder) -> NewPayment:
        """The order with the parts that the method needs. Raises Unfit where one is missing."""

    def reason_of(self, code: str) -> Reason:
        """What a raw code means."""

    def action_of(self, action: ProviderAction) -> Action:
        """What the payer does next. Raises Garbled where the method has no such action."""


def new_payment(
    order: PaymentOrder,
    *,
    payer: PayerDetails,
    card: Card | None = None,
    bank: str | None = None,
    return_url: str | None = None,
) -> NewPayment:
    """An order as the protocol has it, with the parts that a method gives."""
    return NewPayment(
        key=order.key,
        account=order.account,
        amount=order.amount_minor,
        currency=order.currency,
        country=order.country,
        capture=order.capture,
        three_ds=order.three_ds,
        payer=_fitting(payer),
        card=None
        if card is None
        else NewCard(
            number=card.number,
            expiry_month=card.expiry_month,
            expiry_year=card.expiry_year,
            holder_name=card.holder_name,
            security_code=card.security_code,
        ),
        bank=bank,
        return_url=return_url,
        description=_words(order.description),
        expires_at=order.expires_at,
    )


def _fitting(payer: PayerDetails) -> PayerDetails:
    """The payer as the provider takes it: without an e-mail address that is longer than it keeps."""
    fits = payer.email is not None and len(payer.email) <= _WORDS_MAX and payer.email.isprintable()
    return msgspec.structs.replace(payer, name=_words(payer.name), email=payer.email if fits else None)


def _words(text: str | None) -> str | None:
    """A text as the provider takes it: one line of printable characters, cut where it is too long."""
    if text is None:
        return None
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(char for char in line if char.isprintable())
    return line[:_WORDS_MAX].strip() or None


def payment_of(told: ProviderPayment, method: str, words: Words) -> PaymentState:
    """A payment in our words. Raises Garbled."""
    if told.method != method:
        raise Garbled(f"the payment's method is {told.method}")
    if told.refunded > told.captured or told.authorized > told.amount:  # a boleto may be overpaid at the counter
        raise Garbled("the payment's amounts contradict each other")
    return PaymentState(
        key=told.key,
        account=told.account,
        status=told.status,
        reference=told.id,
        amount_minor=told.amount,
        currency=told.currency,
        authorized_minor=told.authorized,
        captured_minor=told.captured,
        refunded_minor=told.refunded,
        reason=None if told.code is None else words.reason_of(told.code),
        action=None if told.action is None else words.action_of(told.action),
        payer_page=told.payer_page,
    )


def operation_of(told: ProviderOperation, words: Words) -> OperationState:
    """A capture, a void or a refund in our words."""
    return OperationState(
        key=told.key,
        payment_key=told.payment_key,
        account=told.account,
        kind=KINDS[told.kind],
        status=told.status,
        reference=told.id,
        amount_minor=told.amount,
        currency=told.currency,
        reason=None if told.code is None else words.reason_of(told.code),
    )


def dispute_of(told: ProviderDispute) -> DisputeState:
    """A dispute in our words; its code stays the provider's."""
    return DisputeState(
        reference=told.reference,
        payment_key=told.payment_key,
        account=told.account,
        status=told.status,
        amount_minor=told.amount,
        currency=told.currency,
        reason=told.code,
        respond_by=told.respond_by,
    )
