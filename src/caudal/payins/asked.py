"""What a merchant may ask for, field by field. All errors are found at once, of types and of values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import msgspec

from caudal.catalogue import (
    BRANDS,
    COUNTRIES,
    METHODS,
    Method,
    bank_error,
    brand_error,
    document_error,
    near_method,
    phone_error,
    spoken,
)
from caudal.connectors import CAPABILITIES, Capabilities
from caudal.kernel import ids
from caudal.kernel.clock import wall_clock
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.money import CURRENCIES, format_amount
from caudal.kernel.parse import Unread, all_errors, escape, near, partial_parser
from caudal.merchants import Caller
from caudal.payins.model import Payer
from caudal.routing import RISK_MAX

# What payers of a country choose from.
BRANDS_IN: Final = {
    country: frozenset(brand for of, brand in BRANDS if of == country) for country in {of for of, _ in BRANDS}
}
METADATA_KEYS_MAX: Final = 50
_METADATA_KEY_MAX: Final = 40
_METADATA_VALUE_MAX: Final = 500
_TEXT_MAX: Final = {"reference": 120, "description": 500}
_PAYER_MAX: Final = {"name": 200, "email": 254, "document": 32, "phone": 20}
# What Python takes for white space and ECMA 262 does not is named, so that the pattern means the same in the document.
_EMAIL: Final = re.compile(
    r"[^@\s\u0000\u001c-\u001f\u0085]{1,64}@[^@\s.\u0000\u001c-\u001f\u0085]+(\.[^@\s.\u0000\u001c-\u001f\u0085]+)+"
)
_URL: Final = re.compile(r"https?://[^\s/]+(/\S*)?")


_NO_PRICE: Final = FieldError(
    field="/method", code="no_fee_plan", detail="this merchant has no fee for the method and currency"
)


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
        name = None if self.name is None else self.name.strip()
        return Payer(name=name, email=self.email, document=document, phone=self.phone, address=self.address)


class InstrumentAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the payer pays with: a card by the `id` that `POST /v1/instruments` gave it, or a bank by its code."""

    id: str | None = None
    brand: str | None = None
    bank: str | None = None


class CreatePayinBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payins`. `amount` in minor units of `currency`."""

    amount: Annotated[int, msgspec.Meta(description="minor units of the currency", examples=[12050])]
    currency: Annotated[str, msgspec.Meta(description="ISO 4217", examples=["MXN"])]
    country: Annotated[str, msgspec.Meta(description="ISO 3166-1 alpha-2", examples=["MX"])]
    method: Annotated[str, msgspec.Meta(description="how the payer pays", examples=["spei"])]
    payer: PayerAsked | None = None
    instrument: Annotated[
        InstrumentAsked | None, msgspec.Meta(description="`id` for cards, `bank` for bank redirects")
    ] = None
    capture: Annotated[
        Literal["automatic", "manual"], msgspec.Meta(description="`manual`: only authorize; cards alone")
    ] = "automatic"
    three_ds: Annotated[
        Literal["if_required", "demanded"], msgspec.Meta(description="3-D Secure: when the issuer asks, or always")
    ] = "if_required"
    return_url: Annotated[str | None, msgspec.Meta(description="where a redirect brings the payer back to")] = None
    reference: Annotated[str | None, msgspec.Meta(description="yours; at most 120 characters")] = None
    description: str | None = None
    expires_at: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None, msgspec.Meta(description="RFC 3339 with a zone")
    ] = None
    metadata: dict[str, str] = {}
    risk_score: Annotated[
        int | None, msgspec.Meta(description=f"how risky you hold it to be, 0 to {RISK_MAX}; your routing looks at it")
    ] = None


# What a method can do that needs no call to a provider: the payer makes a transfer.
_WITHOUT_PROVIDER: Final = Capabilities(
    method="",
    deduplicates=True,
    late_until_s=0.0,
    manual_capture=False,
    partial_captures=False,
    void=False,
    refund="bank_account",
    disputes=False,
    three_ds=False,
    card=False,
    bank="no",
    phone="no",
    name="optional",
    document="optional",
)
_read = partial_parser(CreatePayinBody)


def asked_of(body: bytes, caller: Caller) -> tuple[CreatePayinBody, Method]:
    """What a body asks for, and the method. Raises Invalid with every field that is wrong, in its type or its value."""
    asked, told = _read(body)
    return asked, method_of(asked, caller, told)


def method_of(asked: CreatePayinBody, caller: Caller, told: Iterable[FieldError] = ()) -> Method:
    """The method that is asked for. Raises Invalid with what is `told` already and with every field that is wrong."""
    method = _known_method(asked)
    rules = (
        _country(asked),
        _method(asked, method),
        _currency(asked, method),
        _money(asked, method),
        _texts(asked),
        _payer(asked),
        _document(asked),
        _phone(asked, method),
        _card(asked, method),
        _bank(asked, method),
        _ways(asked, method),
        _too_far(asked, caller, method),
    )
    errors = all_errors(told, rules)
    if errors or method is None:
        errors = all_errors(errors, (_fee(caller, method), _past(asked, caller)))
        raise Invalid("invalid_request", "the request has errors", errors=tuple(errors))
    return method


def _known_method(asked: CreatePayinBody) -> Method | None:
    try:
        return METHODS.get((asked.country, asked.method))
    except Unread:
        return None


def _known_country(asked: CreatePayinBody) -> str | None:
    try:
        return asked.country if asked.country in COUNTRIES else None
    except Unread:
        return None


def _country(asked: CreatePayinBody) -> Iterator[FieldError]:
    if asked.country not in COUNTRIES:
        yield _error(
            "/country",
            "unknown_country",
            f"no payer's country of caudal has this code{near(asked.country[:50], COUNTRIES)}",
        )


def _method(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is not None:
        return
    country = _known_country(asked)
    if all(asked.method != name for of, name in METHODS if country in (None, of)):
        yield _error("/method", "unknown_method", near_method(country, asked.method))


def _currency(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        if asked.currency not in CURRENCIES:
            yield _error("/currency", "unknown_currency", "not a currency of ISO 4217 that caudal knows")
    elif asked.currency != method.currency:
        yield _error("/currency", "wrong_currency", f"{method.name} in {method.country} takes {method.currency}")


def _money(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        if asked.amount <= 0:
            yield _error("/amount", "amount_out_of_range", "must be a positive number of minor units")
    elif not method.min_minor <= asked.amount <= method.max_minor:
        least, most = format_amount(method.min_minor, method.currency), format_amount(method.max_minor, method.currency)
        detail = f"{method.name} takes {least} to {most}; amounts are minor units"
        yield _error("/amount", "amount_out_of_range", detail)


def has_price(caller: Caller, method: Method) -> bool:
    """Whether the merchant's plan has a fee for it. Plans change, and a repetition finds the answer of its request."""
    return (method.family, method.currency) in caller.fees


def no_price() -> Invalid:
    """The refusal of a method without one."""
    return Invalid("invalid_request", "the request has errors", errors=(_NO_PRICE,))


def _fee(caller: Caller, method: Method | None) -> Iterator[FieldError]:
    if method is not None and not has_price(caller, method):
        yield _NO_PRICE


def _texts(asked: CreatePayinBody) -> Iterator[FieldError]:
    for name, limit in _TEXT_MAX.items():
        text = getattr(asked, name)
        if text is not None and not 1 <= len(text) <= limit:
            yield _error(f"/{name}", "invalid_length", f"1 to {limit} characters")
    if asked.return_url is not None and not _is_address(asked.return_url):
        yield _error("/return_url", "invalid_url", "an http or https address")
    if asked.metadata:
        yield from metadata_errors(asked.metadata)
    if asked.risk_score is not None and not 0 <= asked.risk_score <= RISK_MAX:
        yield _error("/risk_score", "out_of_range", f"0 to {RISK_MAX}")


def _is_address(text: str) -> bool:
    try:
        has_host = bool(urlsplit(text).hostname)
    except ValueError:
        return False
    return has_host and len(text) <= 2000 and text.isprintable() and _URL.fullmatch(text) is not None


def metadata_errors(metadata: dict[str, str]) -> Iterator[FieldError]:
    """What is wrong with a merchant's own keys and values."""
    if len(metadata) > METADATA_KEYS_MAX:
        yield _error("/metadata", "too_many", f"at most {METADATA_KEYS_MAX} keys")
    for key, value in metadata.items():
        if not 1 <= len(key) <= _METADATA_KEY_MAX:
            yield _error(_of_metadata(key), "invalid_length", f"a key has 1 to {_METADATA_KEY_MAX} characters")
        elif len(value) > _METADATA_VALUE_MAX:
            yield _error(_of_metadata(key), "invalid_length", f"a value has at most {_METADATA_VALUE_MAX} characters")


def _of_metadata(key: str) -> str:
    return f"/metadata/{escape(key[: 2 * _METADATA_KEY_MAX])}"


def _payer(asked: CreatePayinBody) -> Iterator[FieldError]:
    payer = asked.payer
    if payer is None:
        return
    for name, limit in _PAYER_MAX.items():
        text = getattr(payer, name)
        if text is not None and not 1 <= len(text.strip()) <= limit:
            yield _error(f"/payer/{name}", "invalid_length", f"1 to {limit} characters")
    if payer.name is not None and not payer.name.strip().isprintable():
        yield _error("/payer/name", "invalid_value", "printable characters, without tabs and line ends")
    if payer.email is not None and not _EMAIL.fullmatch(payer.email):
        yield _error("/payer/email", "invalid_email", "not an e-mail address")
    if payer.address and (len(payer.address) > 10 or any(len(k) + len(v) > 250 for k, v in payer.address.items())):
        yield _error("/payer/address", "invalid_length", "at most 10 lines of at most 250 characters")


def _document(asked: CreatePayinBody) -> Iterator[FieldError]:
    if asked.payer is not None and asked.payer.document is not None:
        reason = document_error(asked.country, asked.payer.document)
        if reason is not None:
            yield _error("/payer/document", "invalid_document", reason)


def _phone(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    needed = method is not None and _abilities(method).phone == "required"
    phone = None if asked.payer is None else asked.payer.phone
    if phone is None:
        if needed:
            yield _error("/payer/phone", "missing", f"{asked.method} asks the payer on the phone; E.164")
        return
    reason = phone_error(phone, asked.country if needed else None)
    if reason is not None:
        yield _error("/payer/phone", "invalid_phone", reason)


def _card(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        return
    given, takes = asked.instrument or InstrumentAsked(), _abilities(method).card
    if given.brand is not None:
        reason = brand_error(asked.country, given.brand) if takes else f"{method.name} has no brands"
        if reason is not None:
            yield _error("/instrument/brand", "unknown_brand", reason)
    if not takes:
        if given.id is not None:
            yield _error("/instrument/id", "not_supported", f"{method.name} takes no instrument")
    elif given.id is None:
        yield _error("/instrument/id", "missing", "cards are named by their instrument: POST /v1/instruments")
    elif ids.parse("instr", given.id) is None:
        yield _error("/instrument/id", "invalid_value", "an instrument's id: instr_…")


def _bank(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        return
    bank, needed = None if asked.instrument is None else asked.instrument.bank, _abilities(method).bank
    if bank is None:
        if needed == "required":
            yield _error("/instrument/bank", "missing", f"{method.name} asks for the payer's bank")
    elif needed == "no":
        yield _error("/instrument/bank", "not_supported", f"{method.name} asks for no bank")
    else:
        reason = bank_error(asked.country, method.method.upper(), bank)
        if reason is not None:
            yield _error("/instrument/bank", "unknown_bank", reason)


def _ways(asked: CreatePayinBody, method: Method | None) -> Iterator[FieldError]:
    if method is None:
        return
    abilities = _abilities(method)
    if asked.capture == "manual" and not abilities.manual_capture:
        yield _error("/capture", "not_supported", f"{method.name} is always captured automatically")
    if asked.three_ds == "demanded" and not abilities.three_ds:
        yield _error("/three_ds", "not_supported", f"{method.name} has no 3-D Secure")
    document = None if asked.payer is None else asked.payer.document
    if document is None and abilities.document == "required":
        yield _error("/payer/document", "missing", f"{method.name} asks for the payer's document")
    if abilities.name == "required" and (asked.payer is None or asked.payer.name is None):
        yield _error("/payer/name", "missing", f"{method.name} asks for the payer's name")


def _abilities(method: Method) -> Capabilities:
    return CAPABILITIES.get(method.method, _WITHOUT_PROVIDER)


def _too_far(asked: CreatePayinBody, caller: Caller, method: Method | None) -> Iterator[FieldError]:
    if asked.expires_at is None or method is None:
        return
    if asked.expires_at > _now(caller) + timedelta(minutes=method.expiry_minutes_max):
        yield _error("/expires_at", "too_far", f"{method.name} waits at most {spoken(method.expiry_minutes_max)}")


def _past(asked: CreatePayinBody, caller: Caller) -> Iterator[FieldError]:
    """Told beside other errors. Alone it is the decision's, behind the key: a repetition comes when it has passed."""
    if asked.expires_at is not None and asked.expires_at <= _now(caller):
        yield _error("/expires_at", "in_the_past", "this time has passed")


def _now(caller: Caller) -> datetime:
    return wall_clock() + timedelta(seconds=caller.clock_offset_s)


def _error(field: str, code: str, detail: str) -> FieldError:
    return FieldError(field=field, code=code, detail=detail)
