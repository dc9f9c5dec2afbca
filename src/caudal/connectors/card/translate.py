"""Between the card host's words and ours; pure, both ways. Codes are the response codes of ISO 8583, field 39."""

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

# ISO 8583:1987 and the letters that Visa and Mastercard added to it.
REASONS: Final[dict[str, Reason]] = {
    "01": "do_not_honor",  # refer to the issuer
    "02": "do_not_honor",
    "03": "not_permitted",  # invalid merchant
    "04": "card_restricted",  # pick up
    "05": "do_not_honor",
    "06": "processing_error",
    "07": "suspected_fraud",  # pick up, special condition
    "12": "invalid_request",  # invalid transaction
    "13": "invalid_request",  # invalid amount: in Brazil never to be repeated
    "14": "invalid_card",
    "15": "invalid_card",  # no such issuer
    "19": "invalid_request",  # enter again; in Brazil never to be repeated
    "30": "invalid_request",  # format error
    "33": "expired_card",
    "34": "suspected_fraud",
    "36": "card_restricted",
    "38": "limit_exceeded",  # PIN tries
    "41": "lost_or_stolen",
    "43": "lost_or_stolen",
    "46": "closed_account",
    "51": "insufficient_funds",
    "52": "invalid_account",
    "53": "invalid_account",
    "54": "expired_card",
    "55": "authentication_failed",  # wrong PIN
    "56": "invalid_card",
    "57": "not_permitted",  # not permitted to the cardholder
    "58": "not_permitted",  # not permitted to the terminal
    "59": "suspected_fraud",
    "61": "limit_exceeded",
    "62": "card_restricted",
    "63": "suspected_fraud",  # security violation
    "65": "limit_exceeded",
    "68": "timeout",
    "75": "limit_exceeded",  # PIN tries
    "78": "card_restricted",  # not activated
    "79": "card_restricted",  # of a card that is no longer in use (Mastercard)
    "82": "invalid_security_code",
    "83": "suspected_fraud",
    "91": "bank_unavailable",
    "92": "bank_unavailable",  # no route to the issuer
    "93": "not_permitted",  # would break the law
    "94": "invalid_request",  # duplicate: the first one may have been taken
    "96": "processing_error",
    "1A": "authentication_failed",  # strong authentication is needed
    "5C": "not_permitted",  # the issuer takes none of this kind
    "9G": "payer_declined",  # blocked by the cardholder
    "N7": "invalid_security_code",
    "R0": "payer_declined",  # stop payment
    "R1": "payer_declined",
    "R3": "payer_declined",
    "EXPIRED": "abandoned",  # 3-D Secure that nobody finished
}


def asked(order: PaymentOrder) -> NewPayment:
    """The card, who holds it, and where 3-D Secure comes back to."""
    if order.card is None:
        raise Unfit("a card payment needs a card")
    payer = PayerDetails(name=order.payer.name, email=order.payer.email, document=order.payer.document)
    return new_payment(order, payer=payer, card=order.card, return_url=order.return_url)


def reason_of(code: str) -> Reason:
    """What a response code means."""
    return REASONS.get(code, "unrecognized")


def action_of(action: ProviderAction) -> Redirect:
    """3-D Secure: the payer proves to be the holder on the issuer's page."""
    if not isinstance(action, RedirectAction):
        raise Garbled("a card payment has another next action")
    return Redirect(url=action.url)
