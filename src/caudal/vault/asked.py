"""What a merchant may ask of the vault, field by field. No error repeats what was given: not a value, not a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.catalogue import (
    COUNTRIES,
    brand_error,
    brand_of,
    card_expiry_error,
    card_number_error,
    digits_of,
    holder_name_error,
    security_code_error,
)
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.parse import parser

_DIGITS: Final = re.compile(r"\d(?:[^A-Za-z]*\d){5,}")
_QUOTED: Final = re.compile(r"'.*'", re.DOTALL)


class CardAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A card. Its repr says nothing."""

    number: Annotated[str, Meta(description="digits, in one piece or in groups with spaces")]
    expiry_month: Annotated[int, Meta(description="1 to 12", examples=[12])]
    expiry_year: Annotated[int, Meta(description="four digits", examples=[2030])]
    holder_name: Annotated[str, Meta(description="as on the card", examples=["ANA PEREZ"])]
    security_code: Annotated[
        str | None, Meta(description="kept until its first use, an hour at most, and never shown")
    ] = None

    def __repr__(self) -> str:
        return "CardAsked()"

    @property
    def digits(self) -> str:
        """The number without spaces, of a card that has no errors."""
        return digits_of(self.number) or ""


class CreateInstrumentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/instruments`."""

    type: Literal["card"]
    card: CardAsked
    country: Annotated[
        str | None, Meta(description="ISO 3166-1 alpha-2: where it is going to pay; checked against the brands there")
    ] = None


_parse = parser(CreateInstrumentBody)


def instrument_asked(body: bytes, at: datetime | None) -> CreateInstrumentBody:
    """A right request at a time; without one the card may have expired. Raises Invalid with every wrong field."""
    try:
        asked = _parse(body)
    except Invalid as error:
        raise Invalid(error.code, _mute(error.detail), errors=tuple(map(_muted, error.errors))) from None
    errors = tuple(_errors(asked, at))
    if errors:
        raise Invalid("invalid_request", "the request has errors", errors=errors)
    return asked


def _errors(asked: CreateInstrumentBody, at: datetime | None) -> Iterator[FieldError]:
    card = asked.card
    found = {
        "card/number": ("invalid_card_number", card_number_error(card.number)),
        "card/expiry_year": ("", None) if at is None else _expiry(card, at),
        "card/holder_name": ("invalid_holder_name", holder_name_error(card.holder_name)),
    }
    if not 1 <= card.expiry_month <= 12:
        found["card/expiry_month"] = ("invalid_expiry", "a month is 1 to 12")
        del found["card/expiry_year"]
    if card.security_code is not None:
        reason = security_code_error(card.number, card.security_code)
        found["card/security_code"] = ("invalid_security_code", reason)
    if asked.country is not None:
        found["country"] = _country(asked.country, card)
    for field, (code, detail) in found.items():
        if detail is not None:
            yield FieldError(field=f"/{field}", code=code, detail=detail)


def _expiry(card: CardAsked, at: datetime) -> tuple[str, str | None]:
    reason = card_expiry_error(card.expiry_month, card.expiry_year, at)
    return ("expired_card" if reason == "the card has expired" else "invalid_expiry"), reason


def _country(country: str, card: CardAsked) -> tuple[str, str | None]:
    if country not in COUNTRIES:
        return "unknown_country", "no payer's country of caudal has this code"
    brand = brand_of(card.digits)
    return "unknown_brand", None if brand is None else brand_error(country, brand.brand)


def _muted(error: FieldError) -> FieldError:
    return FieldError(field=_mute(error.field), code=error.code, detail=_mute(error.detail))


def _mute(text: str) -> str:
    """A text without whatever the caller may have put into it: what stands in quotes, and six digits or more."""
    return _DIGITS.sub("…", _QUOTED.sub("…", text))
