"""Between the boleto bank's words and ours; pure, both ways."""

from __future__ import annotations

from typing import Final

from caudal.connectors.model import PayerDetails, PaymentOrder, ShowVoucher
from caudal.connectors.sandbox_protocol.translate import (
    Garbled,
    NewPayment,
    ProviderAction,
    Unfit,
    VoucherAction,
    new_payment,
)
from caudal.contracts.reasons import Reason

# What becomes of a registered boleto in the banks' return files (FEBRABAN CNAB 240, "retorno"), as words.
REASONS: Final[dict[str, Reason]] = {
    "AMOUNT_NOT_ALLOWED": "amount_not_allowed",
    "BANK_UNAVAILABLE": "bank_unavailable",
    "CANCELLED": "abandoned",
    "CLOSED_ACCOUNT": "closed_account",
    "EXPIRED": "timeout",  # not paid in time
    "FAILED": "processing_error",
    "INSUFFICIENT_FUNDS": "insufficient_funds",  # the payment at the counter was not covered
    "INVALID_ACCOUNT": "invalid_account",
    "INVALID_PAYER": "invalid_request",
    "NOT_AUTHORIZED": "do_not_honor",
    "PAYER_REFUSED": "payer_declined",  # in the bank's electronic mailbox (DDA)
    "SUSPECTED_FRAUD": "suspected_fraud",
}


def asked(order: PaymentOrder) -> NewPayment:
    """A slip and who pays it. Raises Unfit without name or document: no bank registers such a boleto."""
    payer = order.payer
    if payer.name is None or payer.document is None:
        raise Unfit("a boleto needs the payer's name and document")
    return new_payment(order, payer=PayerDetails(name=payer.name, document=payer.document))


def reason_of(code: str) -> Reason:
    """What a code means."""
    return REASONS.get(code, "unrecognized")


def action_of(action: ProviderAction) -> ShowVoucher:
    """The slip."""
    if not isinstance(action, VoucherAction):
        raise Garbled("a boleto has another next action")
    return ShowVoucher(line=action.line, barcode=action.barcode, due_on=action.due_on, url=action.url)
