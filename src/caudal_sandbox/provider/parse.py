"""Turns what came over the wire into asks, or names every field that is wrong. Pure but for today's date.

Shape is refused here. What a bank would say (a number that fails Luhn, a card that has expired) is an outcome.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

import msgspec

from caudal_sandbox.fields import Fields
from caudal_sandbox.problems import FieldError, invalid
from caudal_sandbox.provider import boleto, cards, magic
from caudal_sandbox.provider.model import AMOUNT_MAX_MINOR, Card, Method, OperationAsk, PaymentAsk
from caudal_sandbox.signature import digest

_TEXT, _OBJECT = (str, NoneType), (dict, NoneType)
KEY = re.compile(r"[0-9a-f]{32}")
PAYMENT_KEY = re.compile(r"[0-9a-f]{32}(-[1-9][0-9]?)?")  # and the attempt, where it is not the first
ACCOUNT = re.compile(r"[!-~]{1,40}")
COUNTRY = re.compile(r"[A-Z]{2}")
CURRENCY = re.compile(r"[A-Z]{3}")
NUMBER = re.compile(r"[0-9]{12,19}")
SECURITY_CODE = re.compile(r"[0-9]{3,4}")
PHONE = re.compile(r"\+[1-9][0-9]{6,14}")  # E.164
BANK = re.compile(r"[0-9A-Za-z]{1,20}")
CODE = re.compile(r"[0-9A-Za-z_.]{1,20}")
TEXT_MAX = 200
URL_MAX = 2000
RESPOND_MAX_S = 365 * 86_400
# Where a method lives: its country and its currency.
HOMES = {"pix": ("BR", "BRL"), "boleto": ("BR", "BRL"), "pse": ("CO", "COP"), "mpesa": ("KE", "KES")}
# What a method must know of its payer.
NEEDS = {"boleto": ("name", "document"), "mpesa": ("phone",)}

PAYMENT = (
    "key", "account", "amount", "currency", "country", "capture", "three_ds", "payer", "card", "bank", "return_url",
    "description", "expires_at",
)  # fmt: skip
PAYER = ("name", "email", "document", "phone")
CARD = ("number", "expiry_month", "expiry_year", "holder_name", "security_code")
DESTINATION = ("country", "bank", "account", "kind", "holder_name", "holder_document")


def payment_ask(method: Method, given: Mapping[str, Any], secret: bytes) -> PaymentAsk:
    """Parse `POST /v1/provider/{method}/payments`."""
    fields = Fields(given, PAYMENT)
    key = fields.text("key", PAYMENT_KEY, "32 lower-case hex digits, or those and - and the attempt's number")
    account = fields.text("account", ACCOUNT, "1 to 40 printable characters")
    top_minor = boleto.AMOUNT_MAX_MINOR if method is Method.BOLETO else AMOUNT_MAX_MINOR
    amount_minor = _amount(fields, top_minor)
    country, currency = _home(fields, method)
    capture = _choice(fields, "capture", ("automatic", "manual"))
    if capture == "manual" and method is not Method.CARD:
        fields.wrong("capture", "not_supported", "Only a card can be captured later.")
    three_ds = _choice(fields, "three_ds", ("if_required", "demanded"))
    payer, wrong = _payer(fields, method)
    card, wrong_card = _card(fields, method)
    bank = _optional(fields, "bank", BANK, "a bank's code")
    if method is Method.PSE and not bank and not _is_wrong(fields, "bank"):
        fields.wrong("bank", "required", "The payer's bank is required: a code of PSE's list.")
    return_url, description = _return_url(fields), _words(fields, "description")
    expires_ms = _moment(fields, "expires_at")
    if errors := fields.errors + wrong + wrong_card:
        raise invalid(errors)
    return PaymentAsk(
        key=key,
        method=method.value,
        account=account,
        amount_minor=amount_minor,
        currency=currency,
        country=country,
        capture=capture,
        three_ds=three_ds,
        payer_name=payer["name"],
        payer_document=payer["document"],
        phone=payer["phone"],
        card=card,
        bank=bank,
        return_url=return_url,
        description=description,
        expires_ms=expires_ms,
        fingerprint=fingerprint(secret, given),
    )


def fingerprint(secret: bytes, given: Mapping[str, Any]) -> bytes:
    """Digest an order, so that it is known again. Without the security code, which nobody may keep to send it again."""
    card = given.get("card")
    if card is not None:
        given = {**given, "card": {name: value for name, value in card.items() if name != "security_code"}}
    return digest(secret, msgspec.json.encode(given, order="sorted"))


def operation_ask(kind: str, method: Method, payment_key: str, given: Mapping[str, Any], secret: bytes) -> OperationAsk:
    """Parse `POST …/captures`, `…/cancellations` and `…/refunds`."""
    known = {
        "capture": ("key", "amount", "final"),
        "cancellation": ("key",),
        "refund": ("key", "amount", "destination"),
    }[kind]
    fields = Fields(given, known)
    key = _key(fields)
    amount_minor = _amount(fields, AMOUNT_MAX_MINOR) if "amount" in known else 0
    final, destination, wrong = False, None, list[FieldError]()
    if kind == "capture":
        final = _truth(given, fields, "final")
    elif kind == "refund":
        destination, wrong = _destination(fields)
    if errors := fields.errors + wrong:
        raise invalid(errors)
    return OperationAsk(
        key=key,
        method=method.value,
        payment_key=payment_key,
        kind=kind,
        amount_minor=amount_minor,
        final=final,
        destination=destination,
        fingerprint=fingerprint(secret, {**given, "kind": kind, "payment_key": payment_key}),
    )


def payer_ask(method: str, given: Mapping[str, Any], *, disputes: bool) -> tuple[int | None, str | None, int | None]:
    """Parse what a payer does: amount, raw code and, for a dispute, seconds to respond; all of them optional."""
    known = ("amount", "code", "respond_in_s") if disputes else ("amount", "code")
    fields = Fields(given, known)
    amount_minor = respond_in_s = None
    if given.get("amount") is not None:
        amount_minor = _amount(fields, AMOUNT_MAX_MINOR)
    if given.get("respond_in_s") is not None and disputes:
        respond_in_s = fields.whole("respond_in_s", 1, RESPOND_MAX_S, f"seconds from 1 to {RESPOND_MAX_S}")
    code = _optional(fields, "code", CODE, "a raw code")
    if code and not disputes and not magic.is_code(method, code):
        fields.wrong("code", "unknown", f"This is not a code of {method}.")
    if fields.errors:
        raise invalid(fields.errors)
    return amount_minor, code or None, respond_in_s


def _key(fields: Fields) -> str:
    return fields.text("key", KEY, "32 lower-case hex digits")


def _amount(fields: Fields, top_minor: int) -> int:
    return fields.whole("amount", 1, top_minor, f"an integer of minor units from 1 to {top_minor}")


def _home(fields: Fields, method: Method) -> tuple[str, str]:
    country = fields.text("country", COUNTRY, "an ISO 3166-1 country, like BR")
    currency = fields.text("currency", CURRENCY, "an ISO 4217 currency, like BRL")
    home = HOMES.get(method, (country, currency))
    if country and country != home[0]:
        fields.wrong("country", "unsupported_country", f"{method} is paid in {home[0]}.")
    if currency and currency != home[1]:
        fields.wrong("currency", "unsupported_currency", f"{method} moves {home[1]} only.")
    return country, currency


def _choice(fields: Fields, name: str, choices: tuple[str, ...]) -> str:
    what = " or ".join(choices)
    value = fields.take(name, str, what, choices[0])
    if value is not None and value not in choices:
        fields.wrong(name, "unknown", f"This must be {what}.")
    return str(value)


def _optional(fields: Fields, name: str, form: re.Pattern[str], what: str) -> str | None:
    """Return a string of a form, or None where it is null, absent or wrong."""
    value = fields.take(name, _TEXT, f"{what}, or null", None)
    if value is not None and not form.fullmatch(value):
        fields.wrong(name, "malformed", f"This must be {what}.")
        return None
    return value if value is None else str(value)


def _words(fields: Fields, name: str) -> str | None:
    value = fields.take(name, _TEXT, f"a text of at most {TEXT_MAX} characters, or null", None)
    if value is not None and (len(value) > TEXT_MAX or not value.isprintable()):
        fields.wrong(name, "malformed", f"This must be at most {TEXT_MAX} printable characters.")
    return value if value is None else str(value)


def _payer(fields: Fields, method: Method) -> tuple[dict[str, str | None], list[FieldError]]:
    given = fields.take("payer", dict, "an object", {}) or {}
    inside = Fields(given, PAYER, pointer="/payer/")
    payer = {name: _words(inside, name) for name in PAYER[:3]}
    payer["phone"] = _optional(inside, "phone", PHONE, "a phone number like +254712345678")
    for name in NEEDS.get(method, ()):
        if not payer[name] and not _is_wrong(inside, name):
            inside.wrong(name, "required", f"{method} needs the payer's {name}.")
    return payer, inside.errors


def _card(fields: Fields, method: Method) -> tuple[Card | None, list[FieldError]]:
    """Judge the card and forget its number. No message says more of it than which field is wrong."""
    given = fields.take("card", _OBJECT, "an object, or null", None)
    if method is not Method.CARD:
        if given is not None:
            fields.wrong("card", "not_supported", f"{method} knows no card.")
        return None, []
    if given is None:
        if not _is_wrong(fields, "card"):
            fields.wrong("card", "required", "A card is required.")
        return None, []
    inside = Fields(given, CARD, pointer="/card/")
    number = inside.text("number", NUMBER, "12 to 19 digits")
    month = inside.whole("expiry_month", 1, 12, "a month from 1 to 12")
    year = inside.whole("expiry_year", 2000, 2099, "a year of four digits")
    _words(inside, "holder_name")
    _optional(inside, "security_code", SECURITY_CODE, "3 or 4 digits")
    if inside.errors:
        return None, inside.errors
    today = datetime.now(UTC)
    return cards.judge(number, year, month, (today.year, today.month)), []


def _return_url(fields: Fields) -> str | None:
    value = fields.take("return_url", _TEXT, "an address, or null", None)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and value.isprintable()
    except ValueError:
        fits = False
    if not fits or len(value) > URL_MAX:
        fields.wrong("return_url", "malformed", "This must be an address that begins with http:// or https://.")
    return str(value)


def _moment(fields: Fields, name: str) -> int:
    value = fields.take(name, str, "a moment like 2026-11-23T18:00:00Z")
    if value is None:
        return 0
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        fields.wrong(name, "malformed", "This must be a moment with its offset, like 2026-11-23T18:00:00Z.")
        return 0
    return int(moment.timestamp() * 1000)


def _truth(given: Mapping[str, Any], fields: Fields, name: str) -> bool:
    value = given.get(name, False)
    if not isinstance(value, bool):
        fields.wrong(name, "wrong_type", "This must be true or false.")
    return bool(value)


def _destination(fields: Fields) -> tuple[dict[str, Any] | None, list[FieldError]]:
    given = fields.take("destination", _OBJECT, "an object, or null", None)
    if given is None:
        return None, []
    inside = Fields(given, DESTINATION, pointer="/destination/")
    inside.text("country", COUNTRY, "an ISO 3166-1 country, like BR")
    for name in ("account", "holder_name"):
        if not _words(inside, name) and not _is_wrong(inside, name):
            inside.wrong(name, "required", "This field is required.")
    for name in ("bank", "kind", "holder_document"):
        _words(inside, name)
    return dict(given), inside.errors


def _is_wrong(fields: Fields, name: str) -> bool:
    return any(error.field.rpartition("/")[2] == name for error in fields.errors)
