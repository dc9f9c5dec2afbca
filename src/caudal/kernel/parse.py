"""A body as a typed record: two microseconds when it is right, every field's error at once when it is not."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from caudal.kernel.errors import FieldError, Invalid

T = TypeVar("T")


def parser(kind: type[T]) -> Callable[[bytes], T]:
    """A function from a JSON body to a record that forbids unknown fields. It raises Invalid."""
    decode = msgspec.json.Decoder(kind).decode

    def parse(body: bytes) -> T:
        try:
            value = decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise explain(body, kind, error) from None
        if b"\\u0000" in body:
            raise Invalid("invalid_request", "the body has U+0000 in a text", errors=(_nul(),))
        return value

    return parse


def _nul() -> FieldError:
    return FieldError(field="", code="invalid_text", detail="U+0000 is not allowed in any text")


def explain(body: bytes, kind: type[Any], error: Exception) -> Invalid:
    """Everything that is wrong with a body."""
    if not body:
        return Invalid("malformed_json", "a JSON body is needed")
    try:
        raw = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as malformed:
        return Invalid("malformed_json", f"the body is not JSON: {malformed}")
    errors = tuple(_errors_in(raw, kind, ""))
    if not errors:
        errors = (FieldError(field="", code="invalid_value", detail=str(error)),)
    return Invalid("invalid_request", "the request has errors", errors=errors)


def _errors_in(raw: Any, kind: Any, pointer: str) -> list[FieldError]:
    record, item = _record_of(kind), _item_of(kind)
    if item is not None and isinstance(raw, list):
        found = [error for place, value in enumerate(raw) for error in _errors_in(value, item, f"{pointer}/{place}")]
        return found or _error_of_value(raw, kind, pointer)
    if record is None or not isinstance(raw, dict):
        return _error_of_value(raw, kind, pointer)
    hints = get_type_hints(record, include_extras=True)
    fields = {field.encode_name: field for field in msgspec.structs.fields(record)}
    errors = [
        FieldError(field=f"{pointer}/{_escape(name)}", code="unknown_field", detail=_near(name, list(fields)))
        for name in raw
        if name not in fields
    ]
    for name, field in fields.items():
        here = f"{pointer}/{name}"
        if name in raw:
            errors += _errors_in(raw[name], hints[field.name], here)
        elif field.required:
            errors.append(FieldError(field=here, code="missing", detail="this field is needed"))
    return errors


def _error_of_value(raw: Any, kind: Any, pointer: str) -> list[FieldError]:
    try:
        msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        code = "invalid_type" if text.startswith("Expected `") and ", got `" in text else "invalid_value"
        return [FieldError(field=pointer, code=code, detail=text)]
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


def _near(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return "there is no such field" + (f"; did you mean {near[0]}?" if near else "")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
