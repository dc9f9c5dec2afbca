"""The nouns of payins: the payin, the deposit, and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.payins.states import Status

BENEFICIARY: Final = "caudal"


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a payin nobody filters by. `deposits` count towards it; until it is paid their money is held."""

    description: str | None = None
    metadata: dict[str, str] = {}
    deposits: tuple[UUID, ...] = ()
    clabe: str | None = None


class Payin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payment that a merchant asks for. Amounts in minor units of `currency`; times of the payin's own clock."""

    id: UUID
    book: int
    version: int
    status: Status
    reason: str | None
    method: str
    country: str
    currency: str
    amount_minor: int
    received_minor: int
    fee_minor: int
    fee_plan: int
    deposit_number: int | None
    reference: str | None
    detail: bytes | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None

    def details(self) -> Detail:
        """The part that is kept as JSON."""
        return Detail() if self.detail is None else msgspec.json.decode(self.detail, type=Detail)


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change of a payin after its creation; `number` is the payin's version after it."""

    payin: UUID
    number: int
    status: Status
    reason: str | None
    event: str
    received_minor: int
    at: datetime


class DepositAccount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which payin a number (and so a CLABE) was given to."""

    number: int
    payin: UUID
    book: int


class PayerSeal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payer's personal data, sealed."""

    payin: UUID
    book: int
    sealed: bytes


class Deposit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money that a bank reported once. applied + unapplied + returning + returned = amount."""

    id: UUID
    book: int
    version: int
    provider: str
    tracking_key: str
    account: str
    currency: str
    amount_minor: int
    applied_minor: int
    unapplied_minor: int
    returning_minor: int
    returned_minor: int
    payin: UUID | None
    reason: str | None
    sealed: bytes
    created_at: datetime


class Payer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who pays, as the merchant says."""

    name: str | None = None
    email: str | None = None
    document: str | None = None
    phone: str | None = None
    address: dict[str, str] | None = None


class NextAction(msgspec.Struct, frozen=True, kw_only=True):
    """What the payer does next: transfer exactly this amount to this CLABE."""

    type: Literal["show_bank_details"]
    clabe: str
    beneficiary: str
    amount: int
    currency: str
    expires_at: str
    payer_page: str | None


class PayinBody(msgspec.Struct, frozen=True, kw_only=True):
    """A payin as the API and the events show it. Personal data is added where a merchant asks for the payin itself."""

    id: str
    object: Literal["payin"] = "payin"
    mode: Literal["test", "live"]
    status: Status
    status_reason: str | None
    amount: int
    currency: str
    country: str
    method: str
    amount_authorized: int = 0
    amount_captured: int = 0
    amount_received: int
    amount_refunded: int = 0
    amount_disputed: int = 0
    fees: int
    fee_plan: int
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    next_action: NextAction | None
    dispute: None = None
    created_at: str
    expires_at: str
    paid_at: str | None


class PayinWithPayer(PayinBody, frozen=True, kw_only=True):
    """A payin with its payer, for whoever may see it."""

    payer: Payer | None


def body_of(payin: Payin, payer_page: str | None = None, detail: Detail | None = None) -> PayinBody:
    """The payin as it is shown. `payer_page` is the sandbox's address; `detail` where it need not be read again."""
    return PayinBody(**_fields(payin, payer_page, detail or payin.details()))


def body_with_payer(payin: Payin, payer: Payer | None, payer_page: str | None = None) -> PayinWithPayer:
    """The payin with its payer."""
    return PayinWithPayer(payer=payer, **_fields(payin, payer_page, payin.details()))


def _fields(payin: Payin, payer_page: str | None, detail: Detail) -> dict[str, Any]:
    return {
        "id": ids.public("payin", payin.id),
        "mode": "live" if payin.book & 1 else "test",
        "status": payin.status,
        "status_reason": payin.reason,
        "amount": payin.amount_minor,
        "currency": payin.currency,
        "country": payin.country,
        "method": payin.method,
        "amount_received": payin.received_minor,
        "fees": payin.fee_minor,
        "fee_plan": payin.fee_plan,
        "reference": payin.reference,
        "description": detail.description,
        "metadata": detail.metadata,
        "next_action": next_action(payin, detail, payer_page),
        "created_at": rfc3339(payin.created_at),
        "expires_at": rfc3339(payin.expires_at),
        "paid_at": None if payin.paid_at is None else rfc3339(payin.paid_at),
    }


def next_action(payin: Payin, detail: Detail, payer_page: str | None) -> NextAction | None:
    """What the payer has to do while the payin is pending; the amount is what is still missing."""
    if payin.status is not Status.PENDING or detail.clabe is None:
        return None
    left = payin.amount_minor - payin.received_minor
    page = f"{payer_page}/pay?clabe={detail.clabe}&amount={left}" if payer_page and not payin.book & 1 else None
    return NextAction(
        type="show_bank_details",
        clabe=detail.clabe,
        beneficiary=BENEFICIARY,
        amount=left,
        currency=payin.currency,
        expires_at=rfc3339(payin.expires_at),
        payer_page=page,
    )


class DepositBody(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit as operators and events see it."""

    id: str
    object: Literal["deposit"] = "deposit"
    mode: Literal["test", "live"]
    provider: str
    tracking_key: str
    account: str
    currency: str
    amount: int
    amount_applied: int
    amount_unapplied: int
    amount_returning: int
    amount_returned: int
    payin: str | None
    reason: str | None
    created_at: str


def deposit_body(deposit: Deposit) -> DepositBody:
    """The deposit as it is shown."""
    return DepositBody(
        id=ids.public("dep", deposit.id),
        mode="live" if deposit.book & 1 else "test",
        provider=deposit.provider,
        tracking_key=deposit.tracking_key,
        account=deposit.account,
        currency=deposit.currency,
        amount=deposit.amount_minor,
        amount_applied=deposit.applied_minor,
        amount_unapplied=deposit.unapplied_minor,
        amount_returning=deposit.returning_minor,
        amount_returned=deposit.returned_minor,
        payin=None if deposit.payin is None else ids.public("payin", deposit.payin),
        reason=deposit.reason,
        created_at=rfc3339(deposit.created_at),
    )
