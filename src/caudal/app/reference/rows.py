"""Fields as rows, and records that are one of several as variants. Pure, from the document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from caudal.app.openapi.fields import EMAIL, FILLED, PHONE, PLAIN, URL

Schema = dict[str, Any]

_DEPTH_MAX: Final = 2
_SAID_IN_WORDS: Final = frozenset({PLAIN, FILLED, EMAIL, PHONE, URL})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A field or parameter. `path` is its name with those of the objects around it."""

    path: tuple[str, ...]
    kind: str
    required: bool
    text: str
    limits: tuple[str, ...]
    values: tuple[str, ...]
    variants: tuple[Variant, ...] = ()


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One of the records that a body or a field may be, by what tells them apart: the value of a field."""

    by: str
    name: str
    text: str
    rows: tuple[Row, ...]


def rows(document: Schema, schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Row]:
    """An object's fields, and those of the objects in it; where it is one of several, what they have together."""
    record = resolved(document, schema)
    if "discriminator" in record:
        yield from _joined([list(rows(document, option, path)) for option in record["oneOf"]])
    for name, of in record.get("properties", {}).items():
        here = (*path, name)
        yield row(document, here, of, of.get("description", ""), name in record.get("required", ()))
        inner = _inner(document, of)
        if inner is not None and len(here) < _DEPTH_MAX:
            yield from rows(document, inner, here)


def variants(document: Schema, schema: Schema, *, differing: bool = False) -> tuple[Variant, ...]:
    """Each of the records that it may be; only their `differing` fields where the page shows the others at once."""
    union = resolved(document, schema)
    if "discriminator" not in union:
        return ()
    together = set(rows(document, schema)) if differing else set()
    by = union["discriminator"]["propertyName"]
    return tuple(
        Variant(
            by=by,
            name=value,
            text=resolved(document, {"$ref": target}).get("description", ""),
            rows=tuple(
                one
                for one in rows(document, {"$ref": target})
                if one.path != (by,) and one not in together and not _says_nothing(one)
            ),
        )
        for value, target in union["discriminator"]["mapping"].items()
    )


def _says_nothing(one: Row) -> bool:
    """Whether a field can be left out because there is one way to give it, or none."""
    return one.kind == "null" or (not one.required and len(one.values) == 1)


def _joined(options: list[list[Row]]) -> Iterator[Row]:
    """What several records have together, field by field, in the order in which they come."""
    by_path: dict[tuple[str, ...], list[Row]] = {}
    for one in (one for option in options for one in option):
        by_path.setdefault(one.path, []).append(one)
    for path, found in by_path.items():
        first = next((one for one in found if one.kind != "null"), found[0])
        text, times = Counter(one.text for one in found if one.kind != "null").most_common(1)[0]
        yield Row(
            path=path,
            kind=first.kind,
            required=len(found) == len(options) and all(one.required for one in found),
            text=text if times > sum(one.kind != "null" for one in found) / 2 else "depends, see below",
            limits=tuple(limit for limit in first.limits if all(limit in one.limits for one in found)),
            values=tuple(dict.fromkeys(value for one in found for value in one.values)),
            variants=first.variants,
        )


def _inner(document: Schema, of: Schema) -> Schema | None:
    """The object in a field, if the page shows it there; what has a place of its own is only named."""
    of = _not_null(of)
    of = of.get("items", of)
    if "discriminator" in of:
        return None
    record = resolved(document, of)
    own_place = "object" in record.get("properties", {}) or "oneOf" in record
    return None if own_place or "properties" not in record else of


def row(document: Schema, path: tuple[str, ...], of: Schema, text: str, required: bool) -> Row:
    """A field or parameter as the page shows it."""
    plain = _not_null(of)
    found = resolved(document, plain)
    values = found.get("items", found).get("enum", ())
    return Row(
        path=path,
        kind=_kind(document, of),
        required=required,
        text=text,
        limits=tuple(_limits({**found, **of})),
        values=tuple(str(value) for value in values),
        variants=variants(document, plain) if path and "oneOf" in plain else (),
    )


def _kind(document: Schema, of: Schema) -> str:
    plain = _not_null(of)
    nullable = " or null" if "anyOf" in of and plain is not of else ""
    if plain.get("type") == "array":
        return f"array of {_kind(document, plain['items'])}{nullable}"
    if isinstance(plain.get("additionalProperties"), dict):
        return f"map of {plain['additionalProperties'].get('type', 'anything')}{nullable}"
    if "oneOf" in plain:
        return f"object{nullable}"
    if "$ref" in plain and "enum" not in resolved(document, plain):
        return ("object" if _inner(document, of) else named(plain)) + nullable
    found = resolved(document, plain)
    kinds = {bool: "boolean", int: "integer", str: "string"}
    values = found.get("enum", ())
    kind = found.get("type") or (kinds[type(values[0])] if values else "anything")
    return {"date-time": "date-time"}.get(found.get("format", ""), str(kind)) + nullable


def _limits(of: Schema) -> Iterator[str]:
    for least, most, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " rows"),
    ):
        if least in of and most in of:
            yield f"{of[least]:,} to {of[most]:,}{unit}"
        elif most in of:
            yield f"at most {of[most]:,}{unit}"
        elif of.get(least):
            yield f"at least {of[least]:,}{unit}"
    if "exclusiveMinimum" in of:
        yield f"more than {of['exclusiveMinimum']}"
    if "maxProperties" in of:
        yield f"at most {of['maxProperties']} keys"
    if of.get("pattern", PLAIN) not in _SAID_IN_WORDS and of.get("format") != "date-time":
        yield f"matches `{of['pattern']}`"
    if of.get("default") not in (None, {}, [], "") and len(of.get("enum", ())) != 1:
        yield f"default `{_short(of['default'])}`"


def _short(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def resolved(document: Schema, of: Schema) -> Schema:
    """What a reference leads to."""
    if "$ref" not in of:
        return of
    found: Schema = document
    for segment in of["$ref"].removeprefix("#/").split("/"):
        found = found[segment]
    return found


def _not_null(of: Schema) -> Schema:
    options = [option for option in of.get("anyOf", ()) if option != {"type": "null"}]
    return options[0] if len(options) == 1 else of


def named(of: Schema) -> str:
    """The record that a reference leads to, by its name."""
    return str(of.get("$ref", "")).rpartition("/")[2]
