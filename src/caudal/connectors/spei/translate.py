"""Between the bank's words and ours; pure, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from caudal.connectors.model import DepositReport, PaymentOut, ReturnOrder

if TYPE_CHECKING:
    from caudal.connectors.spei.inbound import SpeiCallback


class SpeiReturn(msgspec.Struct, frozen=True, kw_only=True):
    """An order to send money back to whoever paid."""

    return_key: str
    tracking_key: str
    amount: int
    currency: str


class SpeiPayment(msgspec.Struct, frozen=True, kw_only=True):
    """An order to send money to a CLABE."""

    payment_key: str
    clabe: str
    amount: int
    currency: str
    beneficiary_name: str


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """A return as the bank has booked it."""

    return_key: str
    status: Literal["returned"]
    tracking_key: str
    amount: int
    currency: str


class PaymentSent(msgspec.Struct, frozen=True, kw_only=True):
    """A payment to a CLABE as the bank has booked it."""

    payment_key: str
    status: Literal["sent"]
    clabe: str
    amount: int
    currency: str


class BankProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457)."""

    code: str
    detail: str = ""


def report_of(callback: SpeiCallback) -> DepositReport:
    """The bank's callback as a report."""
    return DepositReport(
        provider="spei",
        tracking_key=callback.tracking_key,
        account=callback.clabe,
        amount_minor=callback.amount,
        currency=callback.currency,
        payer_name=callback.payer_name,
        payer_bank=callback.payer_bank,
        paid_at=callback.paid_at,
    )


def return_of(order: ReturnOrder) -> SpeiReturn:
    """An order as the bank wants it."""
    return SpeiReturn(
        return_key=order.return_key,
        tracking_key=order.tracking_key,
        amount=order.amount_minor,
        currency=order.currency,
    )


def payment_of(order: PaymentOut) -> SpeiPayment:
    """An order as the bank wants it."""
    return SpeiPayment(
        payment_key=order.payment_key,
        clabe=order.clabe,
        amount=order.amount_minor,
        currency=order.currency,
        beneficiary_name=order.beneficiary_name,
    )


def agrees(order: SpeiReturn | SpeiPayment, told: Returned | PaymentSent) -> bool:
    """Whether what the bank has booked is what was ordered."""
    return all(getattr(order, name) == getattr(told, name) for name in told.__struct_fields__ if name != "status")
