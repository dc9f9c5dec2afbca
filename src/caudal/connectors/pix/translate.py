"""Between Pix's words and ours; pure, both ways. Codes are ISO 20022's, as Banco Central do Brasil's SPI uses them."""

from __future__ import annotations

from typing import Final

from caudal.connectors.model import PayerDetails, PaymentOrder, ShowQr
from caudal.connectors.sandbox_protocol.translate import Garbled, NewPayment, ProviderAction, QrAction, new_payment
from caudal.contracts.reasons import Reason

# Catálogo de Mensagens do SPI, pacs.002 and pacs.004.
REASONS: Final[dict[str, Reason]] = {
    "AB03": "timeout",  # the settlement took too long
    "AB09": "bank_unavailable",  # error at the receiver's participant
    "AB11": "timeout",
    "AC03": "invalid_account",
    "AC04": "closed_account",
    "AC06": "not_permitted",  # blocked
    "AC07": "closed_account",
    "AC14": "invalid_account",
    "AG03": "not_permitted",
    "AG12": "not_permitted",
    "AG13": "not_permitted",
    "AGNT": "bank_unavailable",
    "AM01": "amount_not_allowed",
    "AM02": "limit_exceeded",
    "AM04": "insufficient_funds",
    "AM09": "amount_not_allowed",
    "AM12": "amount_not_allowed",
    "AM18": "invalid_request",
    "BE01": "invalid_account",  # the document is not the account holder's
    "BE05": "invalid_request",
    "BE08": "processing_error",
    "BE15": "invalid_request",
    "BE17": "invalid_request",
    "CH11": "invalid_account",
    "CH16": "invalid_request",
    "CUST": "payer_declined",
    "DS04": "do_not_honor",
    "DS0G": "not_permitted",
    "DS0H": "not_permitted",
    "DS24": "timeout",
    "DS27": "bank_unavailable",  # the participant does not take part yet, or no longer
    "DT02": "invalid_request",
    "DT05": "not_refundable",  # too late for a devolução
    "DUPL": "invalid_request",  # duplicate: the first one may have been taken
    "ED05": "processing_error",
    "EXPIRED": "timeout",
    "FF07": "invalid_request",
    "FF08": "invalid_request",
    "FOCR": "suspected_fraud",
    "FR01": "suspected_fraud",
    "FRAD": "suspected_fraud",
    "MD01": "not_permitted",
    "MD06": "payer_declined",
    "RC09": "invalid_request",
    "RC10": "invalid_request",
    "RR04": "not_permitted",
    "SL02": "not_permitted",
    "UPAY": "not_refundable",
}


def asked(order: PaymentOrder) -> NewPayment:
    """A charge, and whose document the payer's bank shall find behind the account that pays."""
    return new_payment(order, payer=PayerDetails(name=order.payer.name, document=order.payer.document))


def reason_of(code: str) -> Reason:
    """What a code means."""
    return REASONS.get(code, "unrecognized")


def action_of(action: ProviderAction) -> ShowQr:
    """The code to scan."""
    if not isinstance(action, QrAction):
        raise Garbled("a pix payment has another next action")
    return ShowQr(payload=action.payload)
