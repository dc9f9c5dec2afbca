"""A body as a typed record: two microseconds when it is right, every field's error at once when it is not.

A field of a wrong type hides no other field's error: rules about values also look at a record that is *partly read*.
In it an optional field that could not be read counts as not given, and a needed one raises Unread, which ends the
rule that asked for it and no other.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import chain
from types import SimpleNamespace, UnionType
from typing import Any, Final, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from caudal.kernel.errors import FieldError, Invalid

T = TypeVar("T")

_SPACED: Final = re.compile(rb'"[ \t\r\n]+:').search
_MISTAKEN: Final = re.compile(r"Expected `([^`]+)`, got `([^`]+)`").match
_WORDS: Final = {
    "int": "a whole number",
    "float": "a fraction",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
# What msgspec says, as its documentation has it, and what is said instead.
_PLAINLY: Final = tuple((re.compile(told).fullmatch, said) for told, said in (
    (r"Expected `(?:int|float)` >= (\S+)", r"at least {}"),
    (r"Expected `(?:int|float)` <= (\S+)", r"at most {}"),
    (r"Expected `(?:int|float)` > (\S+)", r"more than {}"),
    (r"Expected `(?:int|float)` < (\S+)", r"less than {}"),
    (r"Expected `array` of length >= (\d+)", r"at least {} in the list"),
    (r"Expected `array` of length <= (\d+)", r"at most {} in the list"),
    (r"Expected `str` of length >= (\d+)", r"at least {} characters"),
    (r"Expected `str` of length <= (\d+)", r"at most {} characters"),
    (r"Expected `str` matching regex '(.+)'", r"a text like {} is needed"),
    (r"Invalid RFC3339 encoded datetime", r"a time with its zone is needed, as in 2026-11-28T09:30:00Z"),
    (r"Invalid RFC3339 encoded date", r"a date is needed, as in 2026-11-28"),
))  # fmt: skip
_TOO_DEEP: Final = "the body is nested too deeply"
_NEAR: Final = 0.58  # how alike a name must be: `phone_number` and `phone` are, `card` and `capture` are not
_decode_any: Final = msgspec.json.Decoder().decode


class Unread(Exception):
    """A rule asks for a field that is missing or of a wrong type."""


class _Partly(SimpleNamespace):
    """What could be read of a record."""

    def __getattr__(self, name: str) -> Any:
        raise Unread(name)


def parser(kind: type[T]) -> Callable[[bytes], T]:
    """A function from a JSON body to a record that forbids unknown fields. It raises Invalid."""
    read = partial_parser(kind)

    def parse(body: bytes) -> T:
        value, errors = read(body)
        if errors:
            raise Invalid("invalid_request", "the request has errors", errors=errors)
        return value

    return parse


def partial_parser(kind: type[T]) -> Callable[[bytes], tuple[T, tuple[FieldError, ...]]]:
    """The same for a body whose values have rules, too: what is wrong is returned beside a record, partly read then.

    It raises Invalid("malformed_json") when the body is not JSON. `all_errors` goes on with both.
    """
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> tuple[T, tuple[FieldError, ...]]:
        try:
            value = decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raw = _decoded(body)
            errors = tuple(all_errors(_errors_in(raw, kind, ""), [_hidden(body)]))
            if not errors:
                errors = (FieldError(field="", code="invalid_value", detail=str(error)),)
            return cast("T", _partly_read(raw, kind, errors)), errors
        return value, tuple(_hidden(body)) if _may_hide(body) else ()

    return read


def all_errors(told: Iterable[FieldError], rules: Iterable[Iterator[FieldError]]) -> list[FieldError]:
    """What is told already and what the rules find, but in fields that are told already: one cause, one error."""
    errors = list(told)
    if not errors:  # then nothing is unread, and no field is told of already
        return list(chain.from_iterable(rules))
    wrong = [error.field for error in errors]
    for rule in rules:
        try:
            for found in rule:
                if not any(found.field == field or found.field.startswith(field + "/") for field in wrong):
                    errors.append(found)
        except Unread:
            continue
    return errors


# What a record does not show


def _may_hide(body: bytes) -> bool:
    """Whether it has to be walked: a look of a microsecond says for most bodies that nothing is hidden there.

    A member has a quote and a colon. Where there are as many of them as different names, no name comes twice.
    """
    if b"\\u0000" in body:
        return True
    colons = body.count(b'":')
    if colons != body.count(b":") and _SPACED(body):
        return True
    return colons != _names_in(_decode_any(body))


def _names_in(raw: Any) -> int:
    found = 0
    if type(raw) is dict:
        found, raw = len(raw), raw.values()
    elif type(raw) is not list:
        return 0
    for value in raw:
        if type(value) is dict or type(value) is list:
            found += _names_in(value)
    return found


class _Members(list[tuple[str, Any]]):
    """An object's members as they were written."""


def _hidden(body: bytes) -> Iterator[FieldError]:
    """Names that come twice in an object, the last of which would count, and texts with U+0000."""
    try:
        whole = json.loads(body, object_pairs_hook=_Members, parse_int=str, parse_float=str)
    except RecursionError:
        raise Invalid("malformed_json", _TOO_DEEP) from None
    left = [("", whole)]
    while left:
        pointer, value = left.pop()
        if isinstance(value, _Members):
            members = [(f"{pointer}/{escape(name)}", name, item) for name, item in value]
            seen: set[str] = set()
            for here, name, _ in members:
                if name in seen:
                    yield FieldError(field=here, code="repeated", detail="this field is there more than once")
                elif "\0" in name:
                    yield FieldError(field=here, code="invalid_text", detail="U+0000 is not allowed in any name")
                seen.add(name)
            left += [(here, item) for here, _, item in reversed(members)]
        elif isinstance(value, list):
            left += [(f"{pointer}/{place}", item) for place, item in reversed(list(enumerate(value)))]
        elif isinstance(value, str) and "\0" in value:
            yield FieldError(field=pointer, code="invalid_text", detail="U+0000 is not allowed in any text")


def _decoded(body: bytes) -> Any:
    if not body:
        raise Invalid("malformed_json", "a JSON body is needed")
    try:
        return _decode_any(body)
    except UnicodeDecodeError:
        raise Invalid("malformed_json", "the body is not JSON: it is not UTF-8") from None
    except RecursionError:
        raise Invalid("malformed_json", _TOO_DEEP) from None
    except msgspec.DecodeError as malformed:
        raise Invalid("malformed_json", f"the body is not JSON: {malformed}") from None


def _partly_read(raw: Any, kind: Any, errors: Iterable[FieldError]) -> Any:
    try:
        return _read_of(raw, kind, {error.field for error in errors}, "")
    except Unread:
        return _Partly()


def _read_of(raw: Any, kind: Any, wrong: set[str], pointer: str) -> Any:
    """A value, or what could be read of it. Raises Unread."""
    if pointer in wrong:
        raise Unread(pointer)
    if not any(field.startswith(pointer + "/") for field in wrong):
        return msgspec.convert(raw, kind)
    record, item = _record_of(kind), _item_of(kind)
    if isinstance(raw, list) and _record_of(item) is not None:
        return tuple(_item_read(value, item, wrong, f"{pointer}/{place}") for place, value in enumerate(raw))
    if record is None or not isinstance(raw, dict):
        raise Unread(pointer)
    hints, partly = get_type_hints(record, include_extras=True), _Partly()
    for field in msgspec.structs.fields(record):
        name = field.encode_name
        try:
            value = _read_of(raw[name], hints[field.name], wrong, f"{pointer}/{name}")
        except (KeyError, Unread):
            if field.required:
                continue
            value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        setattr(partly, field.name, value)
    return partly


def _item_read(raw: Any, kind: Any, wrong: set[str], pointer: str) -> Any:
    """A record of a list; what is none has no field that could be read."""
    try:
        return _read_of(raw, kind, wrong, pointer)
    except Unread:
        return _Partly()


def _errors_in(raw: Any, kind: Any, pointer: str) -> list[FieldError]:
    record, item, member = _record_of(kind), _item_of(kind), _member_of(kind)
    if member is not None and isinstance(raw, dict):
        found = [error for name, value in raw.items()
                 for error in _errors_in(value, member, f"{pointer}/{escape(name)}")]  # fmt: skip
        return found or _error_of_value(raw, kind, pointer)
    if item is not None and isinstance(raw, list):
        found = [error for place, value in enumerate(raw) for error in _errors_in(value, item, f"{pointer}/{place}")]
        return found or _error_of_value(raw, kind, pointer)
    if record is None or not isinstance(raw, dict):
        return _error_of_value(raw, kind, pointer)
    hints = get_type_hints(record, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(record)}
    errors = [_unknown(f"{pointer}/{escape(name)}", name, fields) for name in raw if name not in fields]
    for name, field in fields.items():
        here = f"{pointer}/{name}"
        if name in raw:
            errors += _errors_in(raw[name], hints[field.name], here)
        elif field.required:
            errors.append(FieldError(field=here, code="missing", detail="this field is needed"))
    return errors


def _unknown(pointer: str, name: str, names: Iterable[str]) -> FieldError:
    return FieldError(field=pointer, code="unknown_field", detail=f"there is no such field{near(name, names)}")


def _error_of_value(raw: Any, kind: Any, pointer: str) -> list[FieldError]:
    try:
        msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        return [error_of(error, raw, kind, pointer)]
    return []


def error_of(error: msgspec.ValidationError, raw: object, kind: Any, field: str) -> FieldError:
    """What is wrong with a value, for people."""
    text = str(error).partition(" - at ")[0]
    mistaken, choices = _MISTAKEN(text), choices_of(kind)
    if mistaken is not None:
        wanted = " or ".join(_WORDS.get(word, word) for word in mistaken[1].split(" | "))
        detail = f"{wanted} is needed, and this is {_WORDS.get(mistaken[2], mistaken[2])}"
        return FieldError(field=field, code="invalid_type", detail=detail)
    if choices and isinstance(raw, str):
        return FieldError(
            field=field, code="invalid_value", detail=f"one of {', '.join(choices)}{near(raw[:50], choices)}"
        )
    for matches, said in _PLAINLY:
        if found := matches(text):
            return FieldError(field=field, code="invalid_value", detail=said.format(*found.groups()))
    return FieldError(field=field, code="invalid_value", detail=text)


def choices_of(kind: Any) -> list[str]:
    """The texts that a field may have, where they are listed."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(one.value) for one in kind]
    if get_origin(kind) is Literal:
        return [choice for choice in get_args(kind) if isinstance(choice, str)]
    if hasattr(kind, "__metadata__"):
        return choices_of(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [choice for part in get_args(kind) for choice in choices_of(part)]
    return []


def _record_of(kind: Any) -> Any:
    if get_origin(kind) in (Union, UnionType):
        records = [record for record in map(_record_of, get_args(kind)) if record is not None]
        return records[0] if len(records) == 1 else None
    if get_origin(kind) is not None and hasattr(kind, "__metadata__"):
        return _record_of(get_args(kind)[0])
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _item_of(kind: Any) -> Any:
    """What a list or a tuple of any length has in it, or None."""
    if get_origin(kind) in (Union, UnionType):
        items = [item for item in map(_item_of, get_args(kind)) if item is not None]
        return items[0] if len(items) == 1 else None
    if hasattr(kind, "__metadata__"):
        return _item_of(get_args(kind)[0])
    arguments = get_args(kind)
    if get_origin(kind) is list or (get_origin(kind) is tuple and arguments[1:] == (...,)):
        return arguments[0]
    return None


def _member_of(kind: Any) -> Any:
    """What an object of any names has under each, or None."""
    if get_origin(kind) in (Union, UnionType):
        members = [member for member in map(_member_of, get_args(kind)) if member is not None]
        return members[0] if len(members) == 1 else None
    if hasattr(kind, "__metadata__"):
        return _member_of(get_args(kind)[0])
    return get_args(kind)[1] if get_origin(kind) is dict else None


def near(name: str, names: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest of these names, whatever their case; nothing where none is near."""
    folded = {known.casefold(): known for known in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=_NEAR)
    return f"; did you mean {folded[found[0]]}?" if found else ""


def escape(name: str) -> str:
    """A name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
