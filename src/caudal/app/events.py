"""Every type of event, in one table: what it says, when it happens, who may read it; and its published schemas.

A published schema only grows: `published` refuses to render one that would take something away from whoever reads the
events now. A break is a new type; to withdraw a type, delete its file below `published/` in the open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from caudal.app import examples
from caudal.contracts import disputes, instruments, ledger, merchants, payins, webhooks
from caudal.contracts.envelope import PREFIXES, Envelope
from caudal.kernel.http import encode

Schema = dict[str, Any]

PUBLISHED: Final = Path(__file__).parents[3] / "published" / "events"
VERSION: Final = "2026-11-01"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_INSTANT: Final = {"type": "string", "format": "date-time"}
_KIND_NAMES: Final[dict[type, str]] = {str: "string", int: "integer", bool: "boolean"}


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """A type of event. `data` is the record of its `data`; `reader` who gets it."""

    name: str
    data: type[msgspec.Struct]
    reader: Literal["merchant", "platform"]

    @property
    def when(self) -> str:
        """When it happens: the first paragraph of its record's docstring."""
        return " ".join((self.data.__doc__ or "").split("\n\n")[0].split())

    @property
    def schema_name(self) -> str:
        """What a whole event is called among records: never as its data is, whatever a generator of code folds."""
        return f"{self.data.__name__}Event"

    @property
    def example(self) -> Schema:
        """A whole event, envelope included."""
        event: Schema = msgspec.json.decode(encode(examples.envelope(self.name)))
        return event

    @property
    def subject_prefix(self) -> str:
        """The prefix of the id in `subject`."""
        return PREFIXES[self.name.partition(".")[0]]


TYPES: Final[dict[str, EventType]] = {
    **{
        # What contradicts our books is for whoever runs the platform.
        name: EventType(name=name, data=data, reader="platform" if name.startswith("discrepancy.") else "merchant")
        for name, data in payins.EVENTS.items()
    },
    **{name: EventType(name=name, data=data, reader="merchant") for name, data in disputes.EVENTS.items()},
    **{name: EventType(name=name, data=data, reader="merchant") for name, data in instruments.EVENTS.items()},
    **{name: EventType(name=name, data=data, reader="merchant") for name, data in webhooks.EVENTS.items()},
    **{name: EventType(name=name, data=data, reader="platform") for name, data in merchants.EVENTS.items()},
    **{name: EventType(name=name, data=data, reader="merchant") for name, data in ledger.EVENTS.items()},
}


class Breaking(Exception):
    """A schema would take something away from readers of what is published."""


# Schemas


def records(kind: EventType, ref_template: str) -> dict[str, Schema]:
    """The schema of a type's data and of every record in it, by name."""
    _, found = msgspec.json.schema_components((kind.data,), ref_template=ref_template)
    return found


def envelope_schema(kind: EventType, data_ref: str) -> Schema:
    """The schema of a whole event whose data is described elsewhere."""
    properties: Schema = {
        "specversion": {"const": "1.0", "description": "CloudEvents 1.0"},
        "id": {
            "type": "string",
            "pattern": "^evt_[0-9a-f]{32}$",
            "description": "the event's id; seen twice, it is one",
        },
        "source": {"const": "/caudal", "description": "who says it"},
        "type": {"const": kind.name, "description": "what happened"},
        "time": {**_INSTANT, "description": "when it was committed"},
        "subject": {
            "type": "string",
            "pattern": f"^{kind.subject_prefix}_[0-9a-f]{{32}}$",
            "description": "the id of what it happened to",
        },
        "sequence": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": "its number; later events have greater ones",
        },
        "datacontenttype": {"const": "application/json", "description": "of `data`"},
        "data": {"$ref": data_ref, "description": "the object as it was right after the event"},
    }
    assert set(properties) == set(Envelope.__struct_fields__), "the envelope has other fields"
    return {
        "title": kind.schema_name,
        "description": kind.when,
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def schema(name: str) -> Schema:
    """A type's JSON Schema, complete in itself."""
    kind = TYPES[name]
    return {
        "$schema": _DIALECT,
        "$id": f"urn:caudal:event:{name}",
        **envelope_schema(kind, f"#/$defs/{kind.data.__name__}"),
        "$defs": records(kind, "#/$defs/{name}"),
    }


def published(name: str) -> Schema:
    """A type's JSON Schema, to be published. Raises Breaking when it takes away from the one that is."""
    today, path = schema(name), PUBLISHED / f"{name}.json"
    if path.exists():
        broken = list(breaks(msgspec.json.decode(path.read_bytes()), today))
        if broken:
            raise Breaking(f"{name}: " + "; ".join(broken))
    return today


def asyncapi() -> Schema:
    """The AsyncAPI 3.1 document: what merchants read at `GET /v1/events`, and what the platform keeps to itself."""
    schemas: Schema = {}
    for kind in TYPES.values():
        schemas |= records(kind, "#/components/schemas/{name}")
        schemas[kind.name] = envelope_schema(kind, f"#/components/schemas/{kind.data.__name__}")
    channels = {
        "merchantEvents": _channel("merchant", "/v1/events", "A merchant's events, in the order of their commits."),
        "platformEvents": _channel("platform", None, "Events about merchants and operators, for the platform alone."),
    }
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "caudal events",
            "version": VERSION,
            "description": "CloudEvents 1.0 in structured mode. Every event commits with what it tells of.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {
            f"send{name[0].upper()}{name[1:]}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
            for name in channels
        },
        "components": {"messages": {kind.name: _message(kind) for kind in TYPES.values()}, "schemas": schemas},
    }


def _channel(reader: str, address: str | None, description: str) -> Schema:
    names = [kind.name for kind in TYPES.values() if kind.reader == reader]
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in names}
    return {"address": address, "description": description, "messages": messages}


def _message(kind: EventType) -> Schema:
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.when,
        "payload": {"$ref": f"#/components/schemas/{kind.name}"},
        "examples": [{"payload": kind.example}],
    }


# Compatibility


def breaks(old: Schema, new: Schema) -> Iterator[str]:
    """What a reader of `old` would miss in `new`: removed, retyped, no longer certain, or newly demanded."""
    yield from _breaks(old, new, old, new, "")


def _breaks(old: Schema, new: Schema, old_root: Schema, new_root: Schema, pointer: str) -> Iterator[str]:
    kinds = _kinds(old, old_root), _kinds(new, new_root)
    if kinds[0] != kinds[1]:
        yield f"{pointer or '/'} was {kinds[0]} and is {kinds[1]}"
        return
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    members = new.get("discriminator", {}).get("mapping", {})
    for tag, ref in old.get("discriminator", {}).get("mapping", {}).items():
        if tag not in members:
            yield f"{pointer} was {tag} at times"
        else:
            yield from _breaks({"$ref": ref}, {"$ref": members[tag]}, old_root, new_root, pointer)
    was, now = set(old.get("required", ())), set(new.get("required", ()))
    yield from (f"{pointer}/{name} is required now" for name in sorted(now - was))
    yield from (f"{pointer}/{name} was required" for name in sorted(was - now) if name in new.get("properties", {}))
    for name, field in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            yield f"{pointer}/{name} was removed"
        else:
            yield from _breaks(field, new["properties"][name], old_root, new_root, f"{pointer}/{name}")
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), Mapping) and isinstance(new.get(inner), Mapping):
            yield from _breaks(old[inner], new[inner], old_root, new_root, f"{pointer}/*")


def _resolved(of: Schema, root: Schema) -> Schema:
    """What a schema refers to; of one that may also be null, the part that is not."""
    while "$ref" in of or "anyOf" in of:
        if "$ref" in of:
            *_, name = of["$ref"].split("/")
            of = root["$defs"][name]
        else:
            options = [option for option in of["anyOf"] if option != {"type": "null"}]
            if len(options) != 1:
                return of
            of = options[0]
    return of


def _kinds(of: Schema, root: Schema) -> str:
    """The JSON types that a schema allows, with their format."""
    if "$ref" in of:
        return _kinds(_resolved(of, root), root)
    if "anyOf" in of:
        return " or ".join(sorted(_kinds(option, root) for option in of["anyOf"]))
    if "const" in of:
        return repr(of["const"])
    names = sorted({_KIND_NAMES[type(value)] for value in of.get("enum", ())})
    kind = " or ".join(names) or str(of.get("type", "anything"))
    return f"{kind} ({of['format']})" if "format" in of else kind
