"""Every example of the published documents keeps to its schema, wherever it stands."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from caudal.app import events, openapi

Schema = dict[str, Any]

OPENAPI: Schema = msgspec.json.decode(openapi.document())
ASYNCAPI: Schema = msgspec.json.decode(msgspec.json.encode(events.asyncapi()))
DOCUMENTS = {"openapi": OPENAPI, "asyncapi": ASYNCAPI}


@cache
def validator(document: str, schema: bytes) -> jsonschema_rs.Draft202012Validator:
    whole = {**msgspec.json.decode(schema), "components": DOCUMENTS[document]["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def resolved(document: Schema, of: Any) -> Any:
    while "$ref" in of:
        place: Any = document
        for segment in of["$ref"].removeprefix("#/").split("/"):
            place = place[segment]
        of = place
    return of


def shown(document: Schema, of: Any, where: str = "#") -> Iterator[tuple[str, Schema, Any]]:
    """(place, schema, example) of media types, parameters and headers, of schemas and of messages."""
    if isinstance(of, list):
        for place, item in enumerate(of):
            yield from shown(document, item, f"{where}/{place}")
    if not isinstance(of, dict):
        return
    schema = of.get("schema", of.get("payload"))
    if schema is not None:  # a media type, a parameter, a header; or a message
        named = of.get("examples", {})
        values = [resolved(document, one)["value"] for one in named.values()] if isinstance(named, dict) else []
        values += [one["payload"] for one in named] if isinstance(named, list) else []
        values += [of["example"]] if "example" in of else []
    else:  # a schema has them as a list of values
        schema = {name: value for name, value in of.items() if name not in ("examples", "example")}
        values = of["examples"] if isinstance(of.get("examples"), list) else []
        values = [*values, *([of["example"]] if "example" in of and ("type" in of or "$ref" in of) else [])]
    yield from ((where, schema, value) for value in values)
    for name, value in of.items():
        if name not in ("example", "value") and not (name == "examples" and where != "#/components"):
            yield from shown(document, value, f"{where}/{name}")


@pytest.mark.parametrize(("document", "fewest"), [("openapi", 1_000), ("asyncapi", 60)])
def test_every_example_is_one_of_its_schema(document: str, fewest: int) -> None:
    found = list(shown(DOCUMENTS[document], DOCUMENTS[document]))
    wrong = {
        where: str(error.message)
        for where, schema, value in found
        for error in validator(document, msgspec.json.encode(schema)).iter_errors(value)
    }
    assert wrong == {}
    assert len(found) >= fewest


def test_an_example_that_lacks_a_field_is_found() -> None:
    shown_503 = OPENAPI["paths"]["/readyz"]["get"]["responses"]["503"]["content"]["application/json"]
    [(_, schema, value)] = shown(OPENAPI, shown_503)
    lacking = {name: value[name] for name in value if name != "checks"}
    assert validator("openapi", msgspec.json.encode(schema)).is_valid(value)
    assert not validator("openapi", msgspec.json.encode(schema)).is_valid(lacking)
