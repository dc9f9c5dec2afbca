"""What a log may say: never a person's data, whatever an exception or a provider has put into its words.

- An exception of ours says its text; the database's says its SQLSTATE, and its text where that is about the server; any
  other says its type alone, for its text may be a value. Tracebacks name places, not what was there.
- Texts lose what looks like an address, a card, an account, a telephone or a document. Ids and times stay.
- Values that are no plain ones say their type; those under a name that is a person's say nothing.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, Final
from uuid import UUID

import psycopg

GONE: Final = "…"
# Names of fields under which a person's data, or a secret, stands.
PERSONAL: Final = frozenset({
    "account", "account_number", "address", "authorization", "bank_account", "birth_date", "body", "card",
    "clabe", "cvv", "destination", "document", "email", "exp_month", "exp_year", "first_name",
    "full_name", "holder", "iban", "ip", "last_name", "name", "number", "pan",
    "payer", "payer_name", "phone", "phone_number", "secret", "security_code", "street", "tax_id",
})  # fmt: skip
# SQLSTATE classes whose texts are about the server and its sessions: connections, resources, operators, time-outs.
_OF_SERVER: Final = ("08", "25", "40", "53", "55", "57", "58")
_TEXT_MAX: Final = 2_000
_FOUND: Final = re.compile(
    r"(?P<kept>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|(?<![0-9a-fA-F])[0-9a-f]{32}"
    r"(?![0-9a-fA-F])|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)"
    r"|(?P<email>[^\s@<>\"'(),;:=]+@[^\s@<>\"'(),;:=]+)"
    r"|(?P<digits>(?<![\w])\+?\(?\d(?:[ ./()\-]{0,2}\d){8,21}(?!\w))"
    r"|(?P<document>(?<!\w)[A-Z]{3,4}\d{6}[A-Z0-9]{3,8}(?!\w))"
)


def text(told: str) -> str:
    """A text without what looks like a person's."""
    found = _FOUND.sub(lambda match: match[0] if match["kept"] is not None else GONE, told)
    return found if len(found) <= _TEXT_MAX else found[:_TEXT_MAX] + GONE


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
        return {str(name): GONE if str(name) in PERSONAL else value(one) for name, one in told.items()}
    if isinstance(told, Sequence | set | frozenset) and not isinstance(told, bytes | bytearray | memoryview):
        return [value(one) for one in told]
    return f"<{type(told).__name__}>"


def trace_of(raised: BaseException) -> str:
    """Where an exception came from, its causes first."""
    lines: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = raised
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = traceback.extract_tb(one.__traceback__)
        places = [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        lines = [*places, _named(one), *(["which led to"] if lines else []), *lines]
        following = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        one = following
    return "\n".join(lines)


def _named(raised: BaseException) -> str:
    kind, said = type(raised).__name__, error(raised)
    return said if said.startswith(kind) else f"{kind}: {said}"
