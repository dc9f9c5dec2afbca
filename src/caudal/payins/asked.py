"""What a merchant may ask for, field by field. All errors are found at once; a right request costs microseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec

from caudal.catalogue import COUNTRIES, METHODS, Method, document_error, near_method
from caudal.kernel.clock import wall_clock
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.money import CURRENCIES, format_amount
from caudal.merchants import Caller
from caudal.payins.model import Payer

METADATA_KEYS_MAX: Final = 50
_METADATA_KEY_MAX: Final = 40
_METADATA_VALUE_MAX: Final = 500
_TEXT_MAX: Final = {"reference": 120, "description": 500}
_PAYER_MAX: Final = {"name": 200, "email": 254, "document": 32, "phone": 20}
_EMAIL: Final = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_PHONE: Final = re.compile(r"\+[1-9]\d{6,14}")
_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")


class PayerAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is going to pay. `document` is one of the country's: CURP or RFC in Mexico."""

    name: str | None = None
    email: str | None = None
    document: str | None = None
    phone: Annotated[str | None, msgspec.Meta(description="E.164")] = None
    address: dict[str, str] | None = None

    def as_payer(self) -> Payer:
        """The same as a noun, trimmed; the document in capitals."""
        document = None if self.document is None else self.document.strip().upper()
        return Payer(name=self.name, email=self.email, document=document, phone=self.phone, address=self.address)


class CreatePayinBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payins`. `amount` in minor units of `currency`."""

    amount: Annotated[int, msgspec.Meta(description="minor units of the currency", examples=[12050])]
    currency: Annotated[str, msgspec.Meta(description="ISO 4217", examples=["MXN"])]
    country: Annotated[str, msgspec.Meta(description="ISO 3166-1 alpha-2", examples=["MX"])]
    method: Annotated[str, msgspec.Meta(description="how the payer pays", examples=["spei"])]
    payer: PayerAsked | None = None
    capture: Literal["automatic"] = "automatic"
    return_url: str | None = None
    reference: Annotated[str | None, msgspec.Meta(description="yours; at most 120 characters")] = None
    description: str | None = None
    expires_at: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None, msgspec.Meta(description="RFC 3339 with a zone")
    ] = None
    metadata: dict[str, str] = {}


def method_of(asked: CreatePayinBody, caller: Caller) -> Method:
    """The method that is asked for. Raises Invalid with every field that is wrong."""
    method = METHODS.get((asked.country, asked.method))
    errors = [*_money(asked, caller, method), *_texts(asked), *_payer(asked), *_too_far(asked, caller, method)]
    if errors or method is None:
        raise Invalid("invalid_request", "the request has errors", errors=(*errors, *_past(asked, caller)))
    return method


def _money(asked: CreatePayinBody, caller: Caller, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        if asked.country not in COUNTRIES:
            yield _error("/country", "unknown_country", "no payer's country of caudal has this code")
        else:
            yield _error("/method", "unknown_method", near_method(asked.country, asked.method))
        if asked.currency not in CURRENCIES:
            yield _error("/currency", "unknown_currency", "not a currency of ISO 4217 that caudal knows")
        if asked.amount <= 0:
            yield _error("/amount", "amount_out_of_range", "must be a positive number of minor units")
    elif asked.currency != method.currency:
        yield _error("/currency", "wrong_currency", f"{method.name} in {method.country} takes {method.currency}")
        if asked.amount <= 0:
            yield _error("/amount", "amount_out_of_range", "must be a positive number of minor units")
    elif not method.min_minor <= asked.amount <= method.max_minor:
        least, most = format_amount(method.min_minor, method.currency), format_amount(method.max_minor, method.currency)
        detail = f"{method.name} takes {least} to {most}; amounts are minor units"
        yield _error("/amount", "amount_out_of_range", detail)
    elif (method.family, method.currency) not in caller.fees:
        yield _error("/method", "no_fee_plan", "this merchant has no fee for the method and currency")


def _texts(asked: CreatePayinBody) -> Iterator[FieldError]:
    for name, limit in _TEXT_MAX.items():
        text = getattr(asked, name)
        if text is not None and not 1 <= len(text) <= limit:
            yield _error(f"/{name}", "invalid_length", f"1 to {limit} characters")
    if asked.return_url is not None and (len(asked.return_url) > 2000 or not _URL.fullmatch(asked.return_url)):
        yield _error("/return_url", "invalid_url", "an http or https address")
    if asked.metadata:
        if len(asked.metadata) > METADATA_KEYS_MAX:
            yield _error("/metadata", "too_many", f"at most {METADATA_KEYS_MAX} keys")
        for key, value in asked.metadata.items():
            if not 1 <= len(key) <= _METADATA_KEY_MAX or len(value) > _METADATA_VALUE_MAX:
                detail = f"keys of at most {_METADATA_KEY_MAX} characters, values of at most {_METADATA_VALUE_MAX}"
                yield _error("/metadata", "invalid_length", detail)
                break


def _payer(asked: CreatePayinBody) -> Iterator[FieldError]:
    payer = asked.payer
    if payer is None:
        return
    for name, limit in _PAYER_MAX.items():
        text = getattr(payer, name)
        if text is not None and not 1 <= len(text.strip()) <= limit:
            yield _error(f"/payer/{name}", "invalid_length", f"1 to {limit} characters")
    if payer.email is not None and not _EMAIL.fullmatch(payer.email):
        yield _error("/payer/email", "invalid_email", "not an e-mail address")
    if payer.phone is not None and not _PHONE.fullmatch(payer.phone):
        yield _error("/payer/phone", "invalid_phone", "a number of E.164: + and 7 to 15 digits")
    if payer.document is not None:
        reason = document_error(asked.country, payer.document)
        if reason is not None:
            yield _error("/payer/document", "invalid_document", reason)
    if payer.address and (len(payer.address) > 10 or any(len(k) + len(v) > 250 for k, v in payer.address.items())):
        yield _error("/payer/address", "invalid_length", "at most 10 lines of at most 250 characters")


def _too_far(asked: CreatePayinBody, caller: Caller, method: Method | None) -> Iterator[FieldError]:
    if asked.expires_at is None or method is None:
        return
    if asked.expires_at > _now(caller) + timedelta(minutes=method.expiry_minutes_max):
        days = method.expiry_minutes_max // 1440
        yield _error("/expires_at", "too_far", f"{method.name} waits at most {days} days")


def _past(asked: CreatePayinBody, caller: Caller) -> Iterator[FieldError]:
    """Told beside other errors. Alone it is the decision's, behind the key: a repetition comes when it has passed."""
    if asked.expires_at is not None and asked.expires_at <= _now(caller):
        yield _error("/expires_at", "in_the_past", "this time has passed")


def _now(caller: Caller) -> datetime:
    return wall_clock() + timedelta(seconds=caller.clock_offset_s)


def _error(field: str, code: str, detail: str) -> FieldError:
    return FieldError(field=field, code=code, detail=detail)
