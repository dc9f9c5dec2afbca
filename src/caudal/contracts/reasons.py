"""Why a payment or an operation came to nothing: the names that merchants read, whatever the provider's code was."""

from __future__ import annotations

from typing import Final, Literal, get_args

# Each connector translates its provider's codes; another name may be added.
Reason = Literal[
    "abandoned",
    "amount_not_allowed",
    "authentication_failed",
    "bank_unavailable",
    "card_restricted",
    "closed_account",
    "do_not_honor",
    "expired_card",
    "insufficient_funds",
    "invalid_account",
    "invalid_card",
    "invalid_request",
    "invalid_security_code",
    "limit_exceeded",
    "lost_or_stolen",
    "not_permitted",
    "not_refundable",
    "payer_declined",
    "processing_error",
    "suspected_fraud",
    "timeout",
    "unrecognized",
]

REASONS: Final[tuple[str, ...]] = get_args(Reason)
SAID: Final = ", ".join(f"`{name}`" for name in REASONS)
