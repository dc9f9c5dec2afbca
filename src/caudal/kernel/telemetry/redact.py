"""What a log may say: never a person's data, whatever an exception or a provider has put into its words.

- An exception of ours says its text; the database's says its SQLSTATE, and its text where that is about the server; any
  other says its type alone, for its text may be a value. Tracebacks name places, not what was there.
- Texts lose what looks like an address, a card, an account, a telephone, a document or a key. Ids and times stay.
- A card's number is one whatever stands around it and between its groups: length and check digit say so (ISO/IEC 7812).
- Values that are no plain ones say their type; those under a name that is a person's, or a secret's, say nothing.
  Within a text only secrets are known by a name (`password=…`): where a person's data ends nobody can tell there.
"""

from __future__ import annotations

import re
import traceback
from binascii import a2b_base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import psycopg

GONE: Final = "…"
# Names of fields under which a person's data stands, however they are written (`payerEmail`, `Payer-Email`, `phone_2`).
PERSONAL: Final = frozenset({
    "account", "account_number", "address", "bank_account", "beneficiary_name", "billing_address", "birth_date",
    "body", "card", "card_number", "cardholder", "cardholder_name", "clabe", "customer_name", "date_of_birth",
    "destination", "document", "email", "exp_month", "exp_year", "expiry_month", "expiry_year", "family_name",
    "first_name", "full_name", "given_name", "holder", "iban", "ip", "last_name", "name", "number", "pan",
    "payer", "payer_name", "phone", "phone_number", "pix_key", "recipient_name", "shipping_address", "street",
    "tax_id", "track_data",
})  # fmt: skip
# The same for secrets, and names that end so (`db_password`). `token_bucket` and `idempotency_key` are none.
SECRETS: Final = frozenset({
    "access_key", "api_key", "apikey", "authorization", "cookie", "credentials", "csc", "cvc", "cvv", "kek", "otp",
    "passcode", "passphrase", "passwd", "password", "pin", "pin_block", "private_key", "secret", "security_code",
    "signing_key", "token",
})  # fmt: skip
# Words that say so in any name, and ends of names; others stand in names that operators need (`attempt_number`).
_WORDS: Final = frozenset({
    "authorization", "clabe", "cvv", "document", "email", "holder", "iban", "pan", "password", "payer", "phone",
    "secret",
})  # fmt: skip
_ENDS: Final = tuple(f"_{name}" for name in sorted(PERSONAL) if "_" in name)
_SECRET_ENDS: Final = tuple(
    name if len(name) > 4 else f"_{name}" for name in sorted(SECRETS)
)  # `dbpassword`, not `spin`
# One of them is in every secret's name.
_STEMS: Final = (
    "pass", "secret", "token", "api", "auth", "cookie", "access", "private", "signing", "security", "cred", "pin",
    "cvc", "cvv", "csc", "otp", "kek",
)  # fmt: skip
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_NUMBERED: Final = re.compile(r"(?<!\d)\d{1,2}$")  # with what a name ends that there are several of
_NAMES_MAX: Final = 1_024  # names that are remembered, of which there are some hundreds
# SQLSTATE classes whose texts are about the server and its sessions: connections, resources, operators, time-outs.
_OF_SERVER: Final = ("08", "25", "40", "53", "55", "57", "58")
_TEXT_MAX: Final = 2_000
_MEMBERS_MAX: Final = 4
_SPACE: Final = " \u00a0\u1680\u2000-\u200b\u202f\u205f\u2060\u3000\ufeff"
_DASH: Final = "\u00ad\u2010-\u2015\u2212\\-"
_ID_OR_TIME: Final = (
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(?<![0-9a-fA-F])[0-9a-f]{32}"
    r"(?![0-9a-fA-F])|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?"
)
_KEPT: Final = re.compile(_ID_OR_TIME)
_FOUND: Final = re.compile(
    rf"(?P<kept>{_ID_OR_TIME})"
    r"|(?P<email>(?<![^\s@<>\"'(),;:=])[^\s@<>\"'(),;:=]+(?:@|%40)[^\s@<>\"'(),;:=]+)"
    r"|(?P<key>(?<![A-Za-z0-9])(?:(?:sk_test|sk_live|whsec)_[A-Za-z0-9_+/=-]{8,}|op_[A-Za-z0-9_-]{43}"
    r"|[Bb]asic\s+(?P<pair>[A-Za-z0-9+/]{4,}={0,2}))|Bearer\s+\S+)"
    r"|(?P<iban>(?<!\w)[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?(?!\w))"
    r"|(?P<small>(?<!\w)[A-Za-z]{2}\d\d[A-Za-z0-9]{11,30}(?!\w))"
    rf"|(?P<digits>(?<![\w])\+?\(?\d(?:[./(){_SPACE}{_DASH}]{{0,2}}\d){{8,21}}(?!\w))"
    r"|(?P<document>(?<!\w)[A-Z]{3,4}\d{6}[A-Z0-9]{3,8}(?!\w))"
)
# A name and what gives it its value: a sign, or a colon in JSON, a header or a sentence. What it is given is all of a
# header's line, else a quoted text, or goes on up to a space or what parts parameters.
_GIVEN: Final = re.compile(r"""(?<![\w-])([\w-]++)\\?["']?[ \t]{0,2}(?:=>?|:)[ \t]{0,2}""")
_LINE: Final = re.compile(r"""[^\r\n"']+""")
_VALUE: Final = re.compile(r"""\\?"(?:[^"\\]|\\.)*"?|\\?'(?:[^'\\]|\\.)*'?|[^\s&;"']+""")
_HEADERS: Final = ("authorization", "cookie")
# Groups of digits, apart as people and addresses write them, whatever they are glued to: a card's may be among them.
_ESCAPED: Final = "%[0-9A-Fa-f]{2}"
_CHAIN: Final = re.compile(rf"\d+(?:(?:[.,_/()+\t\r\n{_SPACE}{_DASH}]|{_ESCAPED}){{1,3}}\d+)*")
_PLAIN_BETWEEN: Final = b".,_/()+-\t\r\n "
_LIKE_DIGITS: Final = bytes(0x30 if chr(char).isdigit() else char for char in range(128)) + bytes(128)
_GROUP: Final = re.compile(rf"{_ESCAPED}|(?P<digits>\d+)")
_GROUP_MIN: Final = 3  # digits of a card's groups but its last; those of dates and times are shorter
_CARD_MIN, _CARD_MAX = 12, 19
_ZEROS: Final = b"0" * _CARD_MIN
_AIRLINE_DIGITS: Final = 15  # of what begins with 1, which is an airline's card or a number of 15 digits of JCB
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_HALF: Final = "0123456789.,_/()+-%\t\r\n \u00a0"  # with what half a number may end


def text(told: str) -> str:
    """A text without what looks like a person's."""
    if len(told) <= _TEXT_MAX:
        return _without_any(told)
    whole = max(0, told.rfind(" ", 0, _TEXT_MAX), told.rfind("/", 0, _TEXT_MAX))  # half a number has no shape
    return _without_any(told[:whole].rstrip(_HALF)) + GONE


def _without_any(told: str) -> str:
    if "=" in told or ":" in told:
        low = told.lower()
        for stem in _STEMS:
            if stem in low:
                told = _without_secrets(told)
                break
    return without_cards(_FOUND.sub(_without, told))


def _without_secrets(told: str) -> str:
    """A text without what is given to a secret's name. After `name: ` a plain word is what somebody says of it."""
    left, at = "", 0
    for given in _GIVEN.finditer(told):
        if given.start() < at or not _is_secret(given[1]):
            continue
        is_said = given[0] == f"{given[1]}: "
        is_header = is_said and given[1].lower().endswith(_HEADERS)
        value = (is_header and _LINE.match(told, given.end())) or _VALUE.match(told, given.end())
        if value is None or (is_said and not is_header and _is_word(value[0])):
            continue
        left, at = left + told[at : given.end()] + GONE, value.end()
    return left + told[at:]


def _is_word(text: str) -> bool:
    word = text.rstrip(".,:;!?")
    return word.isalpha() and word.islower()


def _without(match: re.Match[str]) -> str:
    """What stays of something that was found."""
    if match["kept"] is not None or (match["small"] is not None and not _is_iban(match["small"])):
        return match[0]
    if match["pair"] is not None and not _is_user_and_password(match["pair"]):
        return match[0]
    return GONE


def _is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616), by which one in small letters is told from other words."""
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def _is_user_and_password(text: str) -> bool:
    """Whether a word is what HTTP's Basic scheme sends (RFC 7617), by its colon."""
    word = text.rstrip("=")
    return len(word) % 4 != 1 and b":" in a2b_base64(word + "=" * (-len(word) % 4))


def without_cards(told: str) -> str:
    """A text without what may be cards' numbers.

    Hardly a text has many digits, which is seen in a quarter of a microsecond unless it is written unusually.
    """
    if len(told) < _CARD_MIN:
        return told
    plain = told.isascii() and "%" not in told
    if plain and _ZEROS not in told.encode().translate(_LIKE_DIGITS, _PLAIN_BETWEEN):
        return told
    chains = [chain for chain in _CHAIN.finditer(told) if chain.end() - chain.start() >= _CARD_MIN]
    cards = [card for chain in chains for card in _cards_in(chain)]
    kept = [one.span() for one in _KEPT.finditer(told)] if cards else []
    for start, end in reversed(cards):
        if not any(begins < end and start < ends for begins, ends in kept):
            told = told[:start] + GONE + told[end:]
    return told


def _cards_in(chain: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Where cards' numbers stand, which begin and end with a group."""
    groups = [group for group in _GROUP.finditer(chain.string, *chain.span()) if group["digits"] is not None]
    first = 0
    while first < len(groups):
        last = _last_of_card(groups, first)
        if last is not None:
            yield groups[first].start(), groups[last].end()
            first = last
        first += 1


def _last_of_card(groups: Sequence[re.Match[str]], first: int) -> int | None:
    """With which group a card's number ends that begins with this one."""
    number, found = "", None
    for place in range(first, len(groups)):
        number += groups[place][0]
        if len(number) > _CARD_MAX:
            break
        if _is_card(number):
            found = place
        if len(groups[place][0]) < _GROUP_MIN:
            break
    return found


def _is_card(number: str) -> bool:
    """Whether digits may be a card's number: no issuer's begins with 0, and moments since 1970 begin with 1."""
    if not _CARD_MIN <= len(number) <= _CARD_MAX:
        return False
    first = int(number[0])
    if first == 0 or (first == 1 and len(number) != _AIRLINE_DIGITS):
        return False
    digits = [int(char) for char in reversed(number)]
    return (sum(digits[::2]) + sum(_DOUBLED[digit] for digit in digits[1::2])) % 10 == 0


@lru_cache(_NAMES_MAX)
def is_personal(name: str) -> bool:
    """Whether a field of this name holds a person's data or a secret."""
    plain = _plain(name)
    if plain in PERSONAL or plain.endswith(_ENDS) or not _WORDS.isdisjoint(plain.split("_")):
        return True
    return _is_secret(name)


@lru_cache(_NAMES_MAX)
def _is_secret(name: str) -> bool:
    plain = _plain(name)
    return plain in SECRETS or plain.endswith(_SECRET_ENDS)


def _plain(name: str) -> str:
    """A name in small letters and underscores, without the number of one of several."""
    return _NUMBERED.sub("", _HUMP.sub("_", name).lower()).strip("_")


def error(raised: BaseException) -> str:
    """What an exception may say."""
    kind = type(raised)
    if kind.__module__.partition(".")[0] == "caudal":
        return text(str(raised))
    if isinstance(raised, psycopg.Error):
        state = raised.sqlstate
        if state is None or state.startswith(_OF_SERVER):
            return text(" ".join([kind.__name__, *str(raised).split()]))
        return f"{kind.__name__} {state}"
    if isinstance(raised, OSError) and raised.strerror:
        return f"{kind.__name__}: {raised.strerror}"
    return kind.__name__


def value(told: Any) -> Any:
    """An argument or a field of a line."""
    if told is None or isinstance(told, bool | int | float | UUID | date | datetime | timedelta):
        return told
    if isinstance(told, str):
        return text(told)
    if isinstance(told, Enum):
        return text(str(told.value))
    if isinstance(told, BaseException):
        return error(told)
    if isinstance(told, Mapping):
        return {text(str(name)): GONE if is_personal(str(name)) else value(one) for name, one in told.items()}
    if isinstance(told, Sequence | set | frozenset) and not isinstance(told, bytes | bytearray | memoryview):
        return [value(one) for one in told]
    return f"<{type(told).__name__}>"


def trace_of(raised: BaseException) -> str:
    """Where an exception came from, its causes first; behind a group's all of its own."""
    lines: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = raised
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = traceback.extract_tb(one.__traceback__)
        places = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        lines = [*places, _named(one), *_members(one), *(["which led to"] if lines else []), *lines]
        following = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        one = following
    return "\n".join(lines)


def _members(raised: BaseException) -> list[str]:
    """What a group is made of, some of it."""
    if not isinstance(raised, BaseExceptionGroup):
        return []
    told = [f"  | {line}" for one in raised.exceptions[:_MEMBERS_MAX] for line in trace_of(one).split("\n")]
    more = len(raised.exceptions) - _MEMBERS_MAX
    return ["which has", *told, *([f"  | and {more} more"] if more > 0 else [])]


def _named(raised: BaseException) -> str:
    kind, said = type(raised).__name__, error(raised)
    return said if said.startswith(kind) else f"{kind}: {said}"
