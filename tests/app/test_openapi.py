"""The OpenAPI document: valid, the same every time, and true of the code that answers."""

import os
import re
import subprocess
import sys
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi import definitions

from caudal import connectors
from caudal.app import events, examples, openapi, web
from caudal.app.openapi import fields, meanings, operations, problems, variants
from caudal.app.openapi.operations import id_of
from caudal.app.openapi.schemas import TEMPLATE
from caudal.app.routes import ROUTES
from caudal.catalogue import METHODS
from caudal.connectors import CONNECTORS, spei
from caudal.contracts import payins
from caudal.contracts.problems import PROBLEMS, ProblemBody
from caudal.contracts.webhooks import TEST
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.merchants.http import asked as merchants_asked
from caudal.merchants.model import OVERLAP_MAX_S
from caudal.payins import asked
from caudal.webhooks import TYPES
from tests.api import Answered, Api

DOCUMENT: dict[str, Any] = msgspec.json.decode(openapi.document())
SHOWN = [route for route in ROUTES if not route.hidden]
OPERATIONS = {
    f"{method.upper()} {path}": found
    for path, methods in DOCUMENT["paths"].items()
    for method, found in methods.items()
}
WITH_ANSWER = [route for route in SHOWN if route.answer is not None]
WITH_BODY = [route for route in SHOWN if route.body is not None]


def ids(routes: list[Any]) -> list[str]:
    return [id_of(route) for route in routes]


def content(operation: dict[str, Any], status: str) -> dict[str, Any]:
    found: dict[str, Any] = operation["responses"][status]["content"]["application/json"]
    return found


def validator(schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def walk(of: Any) -> Any:
    if isinstance(of, dict):
        yield of
        for value in of.values():
            yield from walk(value)
    elif isinstance(of, list):
        for item in of:
            yield from walk(item)


def test_the_document_is_valid_openapi_3_1() -> None:
    errors = [str(error) for error in definitions.OPENAPI_31_VALIDATOR.iter_errors(DOCUMENT)]
    assert not errors
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_every_reference_leads_somewhere() -> None:
    for found in walk(DOCUMENT):
        target = found.get("$ref")
        if isinstance(target, str):
            place: Any = DOCUMENT
            for segment in target.removeprefix("#/").split("/"):
                place = place[segment]


def test_generated_code_has_a_class_for_every_schema() -> None:
    """Generators name classes by title, without punctuation; of two with one name they drop one, and its operations."""
    folded = {
        name: re.sub(r"[^a-z0-9]", "", schema["title"].lower())
        for name, schema in DOCUMENT["components"]["schemas"].items()
    }
    assert folded == {name: name.lower() for name in folded}
    assert len(set(folded.values())) == len(folded)


def test_the_document_is_the_same_in_every_process() -> None:
    program = "import sys; from caudal.app import openapi; sys.stdout.buffer.write(openapi.document())"
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert done.stdout == openapi.document()


def test_every_route_is_an_operation_with_an_id_of_its_own() -> None:
    assert set(OPERATIONS) == {f"{route.method} {route.path}" for route in SHOWN}
    assert len({found["operationId"] for found in OPERATIONS.values()}) == len(OPERATIONS)
    assert {tag for found in OPERATIONS.values() for tag in found["tags"]} == {tag["name"] for tag in DOCUMENT["tags"]}


def test_every_operation_parameter_and_field_says_what_it_is() -> None:
    silent = [name for name, found in OPERATIONS.items() if not (found["summary"] and found["description"])]
    for name, schema in DOCUMENT["components"]["schemas"].items():
        silent += [f"{name}.{field}" for field, of in schema.get("properties", {}).items() if "description" not in of]
    for found in walk(DOCUMENT):
        if found.get("in") in ("path", "query", "header") and not found.get("description"):
            silent.append(found["name"])
    assert not silent


@pytest.mark.parametrize("route", WITH_BODY, ids=ids(WITH_BODY))
def test_a_bodys_examples_are_ones_that_the_code_takes(route: Any) -> None:
    found = OPERATIONS[f"{route.method} {route.path}"]["requestBody"]["content"]["application/json"]
    bodies = [one["value"] for one in found.get("examples", {}).values()]
    for body in bodies or [examples.BODIES[route.body.__name__]]:
        msgspec.json.decode(msgspec.json.encode(body), type=route.body)
        assert not list(merchants_asked.value_errors(body))
        validator(found["schema"]).validate(body)


@pytest.mark.parametrize("route", WITH_ANSWER, ids=ids(WITH_ANSWER))
def test_an_answers_example_is_one_that_the_code_writes(route: Any) -> None:
    found = content(OPERATIONS[f"{route.method} {route.path}"], str(route.answers))
    for example in (one["value"] for one in found["examples"].values()):
        written = msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(example), type=route.answer))
        assert msgspec.json.decode(written) == example
        validator(found["schema"]).validate(example)


def test_a_payin_by_each_method_is_shown() -> None:
    shown = OPERATIONS["POST /v1/payins"]["requestBody"]["content"]["application/json"]
    by_method = {method for _, method in METHODS}
    assert set(shown["examples"]) == set(content(OPERATIONS["POST /v1/payins"], "201")["examples"]) == by_method
    for method, example in shown["examples"].items():
        validator({"$ref": TEMPLATE.format(name=variants.named(method))}).validate(example["value"])


@pytest.mark.parametrize("method", ["card", "pse", "mpesa", "boleto"])
def test_what_a_method_needs_is_needed_in_the_document(method: str) -> None:
    needed = {"card": ("instrument", "id"), "pse": ("instrument", "bank"), "mpesa": ("payer", "phone")}
    outer, inner = needed.get(method, ("payer", "document"))
    body = examples.SEVERAL_BODIES["create_payin"][method]
    for wrong in ({**body, outer: None}, {**body, outer: {**body[outer], inner: None}}, {**body, "method": "spei"}):
        assert not validator({"$ref": TEMPLATE.format(name="CreatePayin")}).is_valid(wrong)


def test_a_providers_callback_is_shown_as_each_provider_sends_it() -> None:
    for method in CONNECTORS:
        shown = OPERATIONS[f"POST /v1/callbacks/{{provider}}/{method}"]["requestBody"]["content"]["application/json"]
        for kind, example in shown["examples"].items():
            validator(shown["schema"]).validate(example["value"])
            told = msgspec.convert(example["value"], connectors.callback_of(method))
            assert getattr(told, kind) is not None


def test_what_an_endpoint_hears_of_is_a_webhook_of_the_document() -> None:
    assert set(DOCUMENT["webhooks"]) == {*TYPES, TEST}
    for name, found in DOCUMENT["webhooks"].items():
        body = found["post"]["requestBody"]["content"]["application/json"]
        validator(body["schema"]).validate(body["examples"]["example"]["value"])
        assert body["examples"]["example"]["value"]["type"] == name


def test_what_the_payer_does_next_is_one_of_five() -> None:
    options = DOCUMENT["components"]["schemas"]["Payin"]["properties"]["next_action"]["anyOf"]
    told = next(option for option in options if "oneOf" in option)
    assert told["discriminator"]["propertyName"] == "type" and len(told["oneOf"]) == 5
    assert set(told["discriminator"]["mapping"].values()) == {one["$ref"] for one in told["oneOf"]}


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_problems_example_is_one(code: str) -> None:
    example = DOCUMENT["components"]["examples"][code]["value"]
    assert (example["code"], example["status"]) == (code, PROBLEMS[code].status)
    assert example["retry"] == problems.error_of(code).retry
    validator({"$ref": "#/components/schemas/Problem"}).validate(example)


def test_what_may_be_asked_again_says_when() -> None:
    for found in OPERATIONS.values():
        for response in found["responses"].values():
            named = response["content"].get("application/problem+json", {}).get("examples", {})
            retried = any(isinstance(problems.error_of(code), Retry) for code in named)
            assert retried == ("Retry-After" in response["headers"])


def test_a_request_that_moves_money_names_its_key() -> None:
    for route in SHOWN:
        parameters = OPERATIONS[f"{route.method} {route.path}"]["parameters"]
        named = {"$ref": "#/components/parameters/IdempotencyKey"} in parameters
        assert named == (route.keyed == "required")


def test_the_limits_are_those_that_the_code_checks() -> None:
    assert f"^{asked._EMAIL.pattern}$" == fields.EMAIL
    assert f"^{asked._URL.pattern}$" == fields.URL
    assert fields.OVERLAP_MAX_S == OVERLAP_MAX_S
    assert fields.FEE_LINES_MAX == merchants_asked._LINES_MAX
    assert fields.SETTLEMENT_DAYS_MAX == merchants_asked.DAYS_MAX
    assert web.VERSION.decode() == events.VERSION
    create, payer = fields.LIMITS["CreatePayinBody"], fields.LIMITS["PayerAsked"]
    assert {name: create[name]["maxLength"] for name in asked._TEXT_MAX} == asked._TEXT_MAX
    assert {name: payer[name]["maxLength"] for name in asked._PAYER_MAX} == asked._PAYER_MAX
    assert create["metadata"]["maxProperties"] == asked.METADATA_KEYS_MAX
    assert create["metadata"]["propertyNames"]["maxLength"] == asked._METADATA_KEY_MAX
    assert create["metadata"]["additionalProperties"]["maxLength"] == asked._METADATA_VALUE_MAX
    assert fields.LIMITS["CreateKeyAsked"]["name"]["maxLength"] == merchants_asked.NAME_MAX


def test_limits_and_meanings_are_of_fields_that_exist() -> None:
    records = {route.body for route in SHOWN} | {route.answer for route in SHOWN} | {route.query for route in SHOWN}
    _, found = msgspec.json.schema_components([ProblemBody, *(record for record in records if record)])
    known = {f"{record}.{field}" for record, schema in found.items() for field in schema.get("properties", ())}
    named = {f"{record}.{field}" for record, of in fields.LIMITS.items() for field in of}
    named |= {name for name in meanings.MEANINGS if "." in name}
    assert sorted(named - known) == []


def test_notes_are_of_operations_that_exist() -> None:
    assert set(operations._NOTES) | set(examples.OPERATIONS) <= {found["operationId"] for found in OPERATIONS.values()}


def test_an_amounts_limits_are_the_methods() -> None:
    for method in METHODS.values():
        amount = DOCUMENT["components"]["schemas"][variants.named(method.method)]["properties"]["amount"]
        assert (amount["minimum"], amount["maximum"]) == (method.min_minor, method.max_minor)


def test_the_examples_clabe_has_its_check_digit() -> None:
    next_action = examples.CREATED.next_action
    assert isinstance(next_action, payins.ShowBankDetails) and spei.number_of("646180", next_action.clabe) is not None


def test_scopes_stand_beside_the_key() -> None:
    assert OPERATIONS["POST /v1/payins"]["security"] == [{"merchantKey": ["payins:write"]}]
    assert OPERATIONS["GET /v1/payins/{id}"]["security"] == [{"merchantKey": ["payins:read"]}]
    assert OPERATIONS["POST /v1/callbacks/spei"]["security"] == [{"bankSignature": []}]
    assert OPERATIONS["POST /v1/callbacks/{provider}/pix"]["security"] == [{"providerSignature": []}]
    assert OPERATIONS["GET /livez"]["security"] == []


# Against the API itself


def as_documented(answered: Answered, operation: str) -> Any:
    """The answer's body, if the document allows it: status, content type, headers and schema."""
    response = OPERATIONS[operation]["responses"][str(answered.status)]
    kind = answered.headers["content-type"]
    validator(response["content"][kind]["schema"]).validate(answered.json)
    if kind == "application/problem+json":
        assert answered.code in response["content"][kind]["examples"]
    described = {"content-type", "content-length", *(name.lower() for name in response["headers"])}
    assert not set(answered.headers) - described
    return answered.json


async def test_the_example_is_answered_as_the_document_says(context: Context) -> None:
    api = Api(context)
    await api.ana()
    created = as_documented(await api.post("/v1/payins", examples.CREATE), "POST /v1/payins")
    own = {"id", "created_at", "expires_at", "next_action"}
    expected = msgspec.to_builtins(examples.CREATED)
    assert {k: v for k, v in created.items() if k not in own} == {k: v for k, v in expected.items() if k not in own}
    paid = {**examples.CALLBACK, "clabe": created["next_action"]["clabe"]}
    booked = await api.deposit(paid["clabe"], paid["amount"])
    as_documented(booked, "POST /v1/callbacks/spei")
    shown = as_documented(await api.get(f"/v1/payins/{created['id']}"), "GET /v1/payins/{id}")
    assert (shown["status"], shown["fees"]) == ("paid", examples.PAID.fees)


async def test_the_example_of_each_method_is_taken(context: Context) -> None:
    api = Api(context)
    await api.ana()
    for method, body in examples.SEVERAL_BODIES["create_payin"].items():
        answered = await api.post("/v1/payins", body)
        as_documented(answered, "POST /v1/payins")
        # No provider is there, which is found out behind every rule of the body.
        assert answered.status == 201 or answered.fields == {"/method": "not_available"}, method


async def test_every_list_of_a_payins_says_the_same_of_an_id_that_is_none_or_nobodys(context: Context) -> None:
    api = Api(context)
    await api.ana()
    operator = await api.operator()
    lists = [route for route in SHOWN if "payin" in getattr(route.query, "__struct_fields__", ())]
    assert {route.path for route in lists} >= {
        "/v1/refunds",
        "/v1/captures",
        "/v1/disputes",
        "/v1/balance_transactions",
    }
    for route in lists:
        key = {"key": operator} if route.who == "operator" else {}
        for wrong in ("x", "", "payin_1", "refund_" + "0" * 32):
            refused = await api.get(f"{route.path}?payin={wrong}&limit=0", **key)
            assert as_documented(refused, f"GET {route.path}")["code"] == "invalid_request"
            assert refused.fields == {"?payin": "invalid_value", "?limit": "invalid_value"}, route.path
            assert "payin_" in next(error["detail"] for error in refused.json["errors"] if error["field"] == "?payin")
        nobodys = await api.get(f"{route.path}?payin={examples.PAYIN_ID}", **key)
        assert as_documented(nobodys, f"GET {route.path}")["data"] == [], route.path


async def test_lists_events_and_balances_are_as_documented(context: Context) -> None:
    api = Api(context)
    await api.ana()
    clabe = (await api.create(amount=12_050)).json["next_action"]["clabe"]
    await api.deposit(clabe, 14_050)
    assert len(as_documented(await api.get("/v1/payins"), "GET /v1/payins")["data"]) == 1
    found = as_documented(await api.get("/v1/events"), "GET /v1/events")["data"]
    assert [event["type"] for event in found] == ["payin.created", "payin.paid", "deposit.unapplied"]
    assert as_documented(await api.get("/v1/balances"), "GET /v1/balances")["data"][0]["unapplied"] == 2_000


async def test_refusals_are_as_documented(context: Context) -> None:
    api = Api(context)
    await api.ana()
    paid = await api.create("one", amount=12_050)
    await api.deposit(paid.json["next_action"]["clabe"], 12_050)
    id = paid.json["id"]
    refused = {
        "invalid_request": await api.create(amount=1, colour="red"),
        "malformed_json": await api.post("/v1/payins", b"{"),
        "key_missing": await api.post("/v1/payins", examples.CREATE, idempotency=None),
        "key_reused": await api.create("one", amount=99_999),
        "unauthenticated": await api.post("/v1/payins", examples.CREATE, key="sk_test_none"),
        "unsupported_media_type": await api.post("/v1/payins", b"a=b", headers={"content-type": "text/plain"}),
    }
    for code, answered in refused.items():
        assert as_documented(answered, "POST /v1/payins")["code"] == code
    cancelled = await api.post(f"/v1/payins/{id}/cancellations")
    assert as_documented(cancelled, "POST /v1/payins/{id}/cancellations")["code"] == "forbidden_transition"
    unknown = await api.get(f"/v1/payins/{examples.PAYIN_ID}")
    assert as_documented(unknown, "GET /v1/payins/{id}")["code"] == "not_found"


async def test_operators_answers_are_as_documented(context: Context) -> None:
    api = Api(context)
    key = await api.operator()
    made = await api.post("/v1/operator/merchants", examples.CREATE_MERCHANT, key=key)
    merchant = as_documented(made, "POST /v1/operator/merchants")["id"]
    path = "/v1/operator/merchants/{id}"
    for name, status in (("keys", 201), ("fee_plans", 201), ("settings", 200)):
        record = {"keys": "CreateKeyAsked", "fee_plans": "FeePlanAsked", "settings": "SettingsAsked"}[name]
        answered = await api.post(f"/v1/operator/merchants/{merchant}/{name}", examples.BODIES[record], key=key)
        as_documented(answered, f"POST {path}/{name}")
        assert answered.status == status
    listed = as_documented(await api.get(f"/v1/operator/merchants/{merchant}/keys", key=key), f"GET {path}/keys")
    api_key = listed["data"][0]["id"]
    turned = await api.post(f"/v1/operator/keys/{api_key}/rotations", examples.BODIES["RotateKeyAsked"], key=key)
    as_documented(turned, "POST /v1/operator/keys/{id}/rotations")
    ended = await api.post(f"/v1/operator/keys/{api_key}/revocations", key=key)
    as_documented(ended, "POST /v1/operator/keys/{id}/revocations")
    for name in ("merchants", "audit", "deposits"):
        as_documented(await api.get(f"/v1/operator/{name}", key=key), f"GET /v1/operator/{name}")


async def test_the_document_is_served(context: Context) -> None:
    served = await Api(context).get("/openapi.json")
    assert (served.status, served.headers["content-type"]) == (200, "application/json")
    assert served.body == openapi.document()
    assert re.match(r"3\.1\.", served.json["openapi"])
