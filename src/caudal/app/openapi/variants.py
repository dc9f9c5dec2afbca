"""Bodies that are one of several: a payin by its method, a callback by what it is about.

What a method needs and takes stands in the catalogue and in its connector's capabilities; here it becomes a schema of
the method's own, so that a program that reads the document makes bodies which are taken.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from caudal.catalogue import BANKS, BRANDS, DOCUMENT_KINDS, METHODS, Method, spoken
from caudal.connectors import CAPABILITIES, CONNECTORS, Capabilities
from caudal.kernel.money import format_amount

Schema = dict[str, Any]

TEMPLATE: Final = "#/components/schemas/{name}"
_CALLBACKS: Final = {
    "payment": "ProviderPaymentCallback",
    "operation": "ProviderOperationCallback",
    "dispute": "ProviderDisputeCallback",
}
_NULL: Final = {"type": "null"}
_NOTHING: Final[Schema] = {"description": "not for this method", "type": "null"}


def named(method: str) -> str:
    """What the body of a payin by this method is called in the document."""
    return f"CreatePayin{method.capitalize()}"


def payins(whole: Schema, payer: Schema) -> dict[str, Schema]:
    """The body of a payin as one of as many as there are methods, made of the record's own schema and the payer's."""
    by_method: dict[str, list[Method]] = {}
    for method in METHODS.values():
        by_method.setdefault(method.method, []).append(method)
    found = {named(name): _payin(whole, payer, name, rows) for name, rows in by_method.items()}
    return {"CreatePayin": _one_of(whole, "method", {name: named(name) for name in by_method}), **found}


def callback_named(method: str) -> str:
    """What the body of a callback about this method is called in the document."""
    return f"{method.capitalize()}Callback"


def callbacks(whole: Schema, payment: Schema) -> dict[str, Schema]:
    """A provider's callback: what its type names is there, and a payment's method is the one that is called back."""
    found = {name: _callback(whole, name, kind) for kind, name in _CALLBACKS.items() if kind != "payment"}
    for method in CONNECTORS:
        name = f"{method.capitalize()}PaymentCallback"
        fields = payment["properties"]
        own = {**payment, "properties": {**fields, "method": {**fields["method"], "enum": [method]}}}
        found[name] = _callback(whole, name, "payment", own)
        found[callback_named(method)] = {
            **_one_of(whole, "type", {**_CALLBACKS, "payment": name}),
            "title": callback_named(method),
        }
    return found


def _callback(whole: Schema, name: str, kind: str, of: Schema | None = None) -> Schema:
    """The callback about one kind of object."""
    properties = whole["properties"]
    of = {**(of or _not_null(properties[kind])), "description": properties[kind]["description"]}
    return {
        **whole,
        "title": name,
        "description": f"The provider tells how a {kind} stands now.",
        "properties": {"id": properties["id"], "type": {**properties["type"], "enum": [kind]}, kind: of},
        "required": ["id", "type", kind],
    }


def _one_of(whole: Schema, by: str, names: dict[str, str]) -> Schema:
    mapping = {value: TEMPLATE.format(name=name) for value, name in names.items()}
    return {
        "title": whole["title"],
        "description": whole["description"],
        "oneOf": [{"$ref": target} for target in mapping.values()],
        "discriminator": {"propertyName": by, "mapping": mapping},
    }


def _payin(whole: Schema, payer: Schema, name: str, rows: list[Method]) -> Schema:
    can, fields = CAPABILITIES.get(name), dict(whole["properties"])
    countries, currencies = _values(row.country for row in rows), _values(row.currency for row in rows)
    fields["amount"] = {
        **fields["amount"],
        "minimum": min(row.min_minor for row in rows),
        "maximum": max(row.max_minor for row in rows),
        "examples": [12_050 if rows[0].min_minor <= 12_050 else 5_000_000],
    }
    for field, values in (("currency", currencies), ("country", countries), ("method", [name])):
        fields[field] = {**fields[field], "enum": values, "examples": values[:1]}
    fields["payer"], payer_needed = _payer(fields["payer"]["description"], payer, can, countries)
    fields["instrument"], instrument_needed = _instrument(fields["instrument"]["description"], can, rows)
    ahead, unless = max(row.expiry_minutes_max for row in rows), rows[0].expiry_minutes
    fields["expires_at"] = {
        **fields["expires_at"],
        "description": f"RFC 3339 with a zone, in the future and at most {spoken(ahead)} ahead; "
        f"{spoken(unless)} from now unless given",
    }
    if can is None or not can.manual_capture:
        fields["capture"] = {**fields["capture"], "enum": ["automatic"]}
    if can is None or not can.three_ds:
        fields["three_ds"] = {**fields["three_ds"], "enum": ["if_required"]}
    needed = [field for field, asked in (("payer", payer_needed), ("instrument", instrument_needed)) if asked]
    return {
        **whole,
        "title": named(name),
        "description": f"{_taken(rows)} {_asked(can)}".strip(),
        "properties": fields,
        "required": [*whole["required"], *needed],
    }


def _taken(rows: list[Method]) -> str:
    limits = (
        f"{row.name} in {row.country}: {format_amount(row.min_minor, row.currency)} to "
        f"{format_amount(row.max_minor, row.currency)}"
        for row in rows
    )
    return "; ".join(limits) + "."


def _asked(can: Capabilities | None) -> str:
    """What a method asks for beyond an amount, in words."""
    asked = []
    if can is not None and can.card:
        asked.append("the card, by its instrument")
    if can is not None and can.bank == "required":
        asked.append("the payer's bank")
    if can is not None and can.name == "required":
        asked.append("the payer's name")
    if can is not None and can.document == "required":
        asked.append("the payer's document")
    if can is not None and can.phone == "required":
        asked.append("the payer's mobile phone")
    return f"Needs {' and '.join(asked)}." if asked else ""


def _payer(said: str, whole: Schema, can: Capabilities | None, countries: list[str]) -> tuple[Schema, bool]:
    """The payer's schema, and whether one is needed."""
    fields, needed = dict(whole["properties"]), []
    kinds = " or ".join(kind for country in countries for kind in DOCUMENT_KINDS[country])
    document = {**_not_null(fields["document"])}
    if len(countries) == 1:
        document["format"] = f"{countries[0].lower()}-document"
    text = f"{kinds}, with a right check digit if it has one; searchable, sealed at rest"
    if can is not None and can.document == "required":
        fields["document"], needed = {"description": text, **document}, ["document"]
    else:
        fields["document"] = {"description": text, "anyOf": [document, _NULL]}
    if can is not None and can.phone == "required":
        phone = {"description": "mobile, of the payer's country, E.164", **_not_null(fields["phone"])}
        fields["phone"] = {**phone, **({"format": f"{countries[0].lower()}-mobile"} if len(countries) == 1 else {})}
        needed = [*needed, "phone"]
    if can is not None and can.name == "required":
        fields["name"], needed = _not_null(fields["name"]), [*needed, "name"]
    schema = {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}
    return _perhaps(said, schema, needed)


def _perhaps(said: str, schema: Schema, needed: list[str]) -> tuple[Schema, bool]:
    """An object that is needed if a field of it is; otherwise it may be left out."""
    if needed:
        return {"description": said, **schema}, True
    return {"description": said, "anyOf": [schema, _NULL], "default": None}, False


def _instrument(said: str, can: Capabilities | None, rows: list[Method]) -> tuple[Schema, bool]:
    """The schema of what the payer pays with, and whether it is needed."""
    countries = {row.country for row in rows}
    fields: Schema = {"id": _NOTHING, "brand": _NOTHING, "bank": _NOTHING}
    needed = []
    if can is not None and can.card:
        brands = sorted({brand for country, brand in BRANDS if country in countries})
        fields["id"] = {"description": "the card's, `instr_…`", "type": "string", "pattern": "^instr_[0-9a-f]{32}$"}
        fields["brand"] = {
            "description": "if you want it checked: the card must be of it",
            "anyOf": [{"type": "string", "enum": brands}, _NULL],
        }
        needed.append("id")
    if can is not None and can.bank != "no":
        system = rows[0].method.upper()
        codes = sorted({code for country in countries for code in BANKS.get((country, system), {})})
        fields["bank"] = {
            "description": f"the payer's bank, by its code in {rows[0].name}: `/docs/banks#{system.lower()}`",
            "type": "string",
        }
        if codes:
            fields["bank"]["enum"] = codes
        needed += ["bank"] if can.bank == "required" else []
    schema: Schema = {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}
    return _perhaps(said, schema, needed)


def _values(of: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(of))


def _not_null(of: Schema) -> Schema:
    options = [option for option in of.get("anyOf", ()) if option != _NULL]
    return options[0] if options else of
