"""What the bank tells us: verify the signature, then parse.

`Spei-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + body)>`. Which of the two secrets verifies says
whether the report is about test or live money.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final

import msgspec

from caudal.connectors.model import DepositReport
from caudal.connectors.signed import verified_mode
from caudal.connectors.spei.translate import report_of
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.http import Request
from caudal.kernel.money import CURRENCIES
from caudal.kernel.parse import all_errors, partial_parser
from caudal.kernel.seal import hmac_sha256
from caudal.kernel.settings import Settings

HEADER: Final = b"spei-signature"
_YEARS: Final = (2000, 9999)  # outside, a zone would lead out of what a clock can show


class SpeiCallback(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A credited transfer, as the bank reports it. `amount` in centavos."""

    tracking_key: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9]{1,30}$")]
    clabe: Annotated[str, msgspec.Meta(pattern=r"^\d{18}$")]
    amount: Annotated[int, msgspec.Meta(gt=0, le=10**12)]
    currency: str
    payer_name: Annotated[str, msgspec.Meta(max_length=200)] = ""
    payer_bank: Annotated[str, msgspec.Meta(max_length=40)] = ""
    paid_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_read = partial_parser(SpeiCallback)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The header's value for a body."""
    mac = hmac_sha256(secret.encode(), str(timestamp).encode() + b"." + body).hex()
    return f"t={timestamp},v1={mac}"


def receive(request: Request, settings: Settings, now_s: float) -> tuple[bool, DepositReport]:
    """Whether the money is live, and the report. Raises NotGenuine or Invalid."""
    mode = verified_mode(
        request.header(HEADER),
        test=settings.spei_secret_test,
        live=settings.spei_secret_live,
        signature=lambda secret, timestamp: signature(secret, timestamp, request.body),
        now_s=now_s,
        window_s=settings.signature_window_s,
    )
    callback, told = _read(request.body)
    errors = all_errors(told, (_currency(callback), _paid_at(callback)))
    if errors:
        raise Invalid("invalid_request", "the callback has errors", errors=tuple(errors))
    return mode == "live", report_of(callback)


def _currency(callback: SpeiCallback) -> Iterator[FieldError]:
    if callback.currency not in CURRENCIES:
        yield FieldError(field="/currency", code="unknown_currency", detail="not a currency of ISO 4217")


def _paid_at(callback: SpeiCallback) -> Iterator[FieldError]:
    if callback.paid_at is not None and not _YEARS[0] <= callback.paid_at.year < _YEARS[1]:
        yield FieldError(field="/paid_at", code="out_of_range", detail="a year from {} on, before {}".format(*_YEARS))
