"""Between PSE's words and ours; pure, both ways."""

from __future__ import annotations

from typing import Final

from caudal.connectors.model import PayerDetails, PaymentOrder, Redirect
from caudal.connectors.sandbox_protocol.translate import (
    Garbled,
    NewPayment,
    ProviderAction,
    RedirectAction,
    Unfit,
    new_payment,
)
from caudal.contracts.reasons import Reason

# ACH Colombia: the final states of a transaction (OK, NOT_AUTHORIZED, FAILED) and why its creation fails.
REASONS: Final[dict[str, Reason]] = {
    "CANCELLED": "payer_declined",
    "EXPIRED": "timeout",
    "FAILED": "processing_error",
    "FAIL_BANKNOTFOUNDORDISABLED": "bank_unavailable",
    "FAIL_BANKUNREACHEABLE": "bank_unavailable",  # spelt so by PSE
    "FAIL_CANNOTGETCURRENTCYCLE": "processing_error",
    "FAIL_ENTITYNOTEXISTSORDISABLED": "not_permitted",
    "FAIL_ERRORINCREDITS": "processing_error",
    "FAIL_EXCEEDEDLIMIT": "limit_exceeded",
    "FAIL_GENERICERROR": "processing_error",
    "FAIL_INVALIDAMOUNTS": "amount_not_allowed",
    "FAIL_INVALIDAUTHORIZER": "not_permitted",
    "FAIL_SERVICENOTEXISTS": "not_permitted",
    "FAIL_TIMEOUT": "timeout",
    "FAIL_TRANSACTIONNOTALLOWED": "not_permitted",
    "INSUFFICIENT_FUNDS": "insufficient_funds",
    "INVALID_ACCOUNT": "invalid_account",
    "NOT_AUTHORIZED": "do_not_honor",
    "SUSPECTED_FRAUD": "suspected_fraud",
}


def asked(order: PaymentOrder) -> NewPayment:
    """The payer's bank, who pays, and where the bank sends the payer back to."""
    if order.bank is None:
        raise Unfit("a PSE payment needs the payer's bank")
    if order.payer.document is None:
        raise Unfit("a PSE payment needs the payer's document")
    payer = PayerDetails(name=order.payer.name, document=order.payer.document)
    return new_payment(order, payer=payer, bank=order.bank, return_url=order.return_url)


def reason_of(code: str) -> Reason:
    """What a code means."""
    return REASONS.get(code, "unrecognized")


def action_of(action: ProviderAction) -> Redirect:
    """The bank's page."""
    if not isinstance(action, RedirectAction):
        raise Garbled("a PSE payment has another next action")
    return Redirect(url=action.url)
