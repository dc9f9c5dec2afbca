"""Between the bank's words and ours; pure, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
