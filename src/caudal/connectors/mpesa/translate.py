"""Between M-Pesa's words and ours; pure, both ways. Codes are the result codes of Safaricom's Daraja API."""

from __future__ import annotations

from typing import Final

from caudal.connectors.model import AwaitPush, PayerDetails, PaymentOrder
from caudal.connectors.sandbox_protocol.translate import (
    Garbled,
    NewPayment,
    ProviderAction,
    PushAction,
    Unfit,
    new_payment,
)
from caudal.contracts.reasons import Reason

REASONS: Final[dict[str, Reason]] = {
    "1": "insufficient_funds",
    "2": "amount_not_allowed",  # less than the least
    "3": "amount_not_allowed",  # more than the most
    "4": "limit_exceeded",  # the day's
    "5": "insufficient_funds",  # would fall below the least balance
    "6": "invalid_account",
    "7": "invalid_account",
    "8": "limit_exceeded",  # the receiver's largest balance
    "11": "invalid_account",
    "12": "invalid_account",
    "15": "invalid_request",  # duplicate: the first one may have been taken
    "17": "do_not_honor",  # limited by a rule of the operator
    "20": "invalid_request",
    "26": "processing_error",  # too busy
    "1001": "processing_error",  # the payer has another transaction under way
    "1019": "timeout",
    "1025": "processing_error",  # the question could not be sent
    "1032": "payer_declined",
    "1036": "processing_error",
    "1037": "timeout",  # the phone was not reached or nobody answered
    "2001": "authentication_failed",  # wrong PIN
    "2006": "card_restricted",  # the account is not active
    "2028": "not_permitted",
    "8006": "suspected_fraud",  # locked for security
    "9999": "processing_error",
    "EXPIRED": "timeout",
}


def asked(order: PaymentOrder) -> NewPayment:
    """Whose phone is asked."""
    if order.payer.phone is None:
        raise Unfit("an M-Pesa payment needs the payer's phone")
    return new_payment(order, payer=PayerDetails(name=order.payer.name, phone=order.payer.phone))


def reason_of(code: str) -> Reason:
    """What a result code means."""
    return REASONS.get(code, "unrecognized")


def action_of(action: ProviderAction) -> AwaitPush:
    """The phone that has been asked."""
    if not isinstance(action, PushAction):
        raise Garbled("an M-Pesa payment has another next action")
    return AwaitPush(phone=action.phone)
