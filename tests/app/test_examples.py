"""Every example of the published documents keeps to its schema, wherever it stands, and to what the product does."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from caudal.app import events, examples, openapi
from caudal.catalogue import METHODS
from caudal.payins.decide.provider import AUTHORIZATION_LASTS
from caudal_sandbox.provider import boleto, emv

Schema = dict[str, Any]

OPENAPI: Schema = msgspec.json.decode(openapi.document())
ASYNCAPI: Schema = msgspec.json.decode(msgspec.json.encode(events.asyncapi()))
DOCUMENTS = {"openapi": OPENAPI, "asyncapi": ASYNCAPI}
BY_METHOD: dict[str, Any] = examples.SEVERAL_ANSWERS["create_payin"]


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


def payins(of: Any) -> Iterator[Schema]:
    """Every payin that an example shows, alone, in a list or in an event."""
    if isinstance(of, list):
        for item in of:
            yield from payins(item)
    if isinstance(of, dict):
        if of.get("object") == "payin" and "created_at" in of:
            yield of
        for value in of.values():
            yield from payins(value)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_payin_waits_as_long_as_its_method_and_names_who_carries_it(document: str) -> None:
    found = list(payins([value for _, _, value in shown(DOCUMENTS[document], DOCUMENTS[document])]))
    assert len(found) > 10
    for payin in found:
        made, ends = (datetime.fromisoformat(payin[field]) for field in ("created_at", "expires_at"))
        if payin["amount_authorized"]:
            assert ends - timedelta(seconds=1) < made + AUTHORIZATION_LASTS < ends
        else:
            assert ends - made == timedelta(minutes=METHODS[payin["country"], payin["method"]].expiry_minutes)
        assert payin["provider"] == (None if payin["method"] == "spei" else "sandbox")
        assert payin["next_action"] is None or payin["next_action"]["expires_at"] == payin["expires_at"]


@pytest.mark.parametrize("method", BY_METHOD)
def test_what_the_payer_does_is_shown_as_the_sandbox_says_it(method: str) -> None:
    payin, key = BY_METHOD[method], examples.PAYIN_ID.removeprefix("payin_")
    if method == "card":
        assert (payin["status"], payin["next_action"]) == ("authorized", None)
        return
    action, ends = payin["next_action"], datetime.fromisoformat(payin["expires_at"])
    page, rest = action["payer_page"], {"expires_at": payin["expires_at"]}
    if method == "spei":
        rest["clabe"] = action["clabe"]
    path = f"?clabe={rest['clabe']}&amount=12050" if method == "spei" else f"/{key}"
    assert page == f"http://127.0.0.1:8701/pay{path}"
    asked = examples.SEVERAL_BODIES["create_payin"]
    due = boleto.due_on(int(ends.timestamp() * 1000))
    code = boleto.barcode(key, payin["amount"], due)
    expected: dict[str, dict[str, Any]] = {
        "spei": {"type": "show_bank_details", "beneficiary": "caudal", "amount": 12_050, "currency": "MXN"},
        "pix": {"type": "show_qr", "payload": emv.pix_payload(page.partition("://")[2], payin["amount"])},
        "boleto": {
            "type": "show_voucher",
            "line": boleto.line(code),
            "barcode": code,
            "due_on": str(due),
            "url": page,
        },
        "pse": {"type": "redirect", "url": page},
        "mpesa": {"type": "await_push", "phone": "…" + asked["mpesa"]["payer"]["phone"][-3:]},
    }
    assert action == {**expected[method], **rest, "payer_page": page}
