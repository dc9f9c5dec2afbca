"""The API against its own document: whatever is sent, no answer breaks the OpenAPI document and none is a 500.

What the document forbids in a body or a query is refused. Says what share of the valid requests was accepted, and holds
each operation to its floor, so that a document which allows what the API refuses shows.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.app.objects import Objects, Signed
from tests.app.unresolved import WithoutEnd
from tests.whole import Whole

PHONE = "+254712345678"  # no document can say which calling codes there are and how long their numbers
schemathesis.openapi.format("cursor", st.just("AAMD7WzxCAABogfZIQB1w4AAAZpB4H8r"))
schemathesis.openapi.format("card-number", st.sampled_from(["4111111111111111", "5555 5555 5555 4444"]))
schemathesis.openapi.format("payer-name", st.sampled_from(["Ana Pérez", "Beto O’Higgins", "陳"]))
schemathesis.openapi.format(
    "web-address", st.sampled_from(["https://shop.example.com/thanks?order=1", "http://example.org"])
)
schemathesis.openapi.format("holder-name", st.sampled_from(["ANA PEREZ", "BETO RUIZ"]))
schemathesis.openapi.format("mx-document", st.just("GODE561231GR8"))
schemathesis.openapi.format("br-document", st.sampled_from(["390.533.447-05", "11.222.333/0001-81"]))
schemathesis.openapi.format("co-document", st.just("52.345.678"))
schemathesis.openapi.format("ke-document", st.just("12345678"))
schemathesis.openapi.format("webhook-url", st.sampled_from(["https://shop.example.com/caudal", "http://example.org"]))
schemathesis.openapi.format("ke-mobile", st.just(PHONE))
# Soon: whether a moment has passed or is years away is what no document can say.
SOON = st.datetimes(datetime.now() + timedelta(hours=1), datetime.now() + timedelta(days=6))
schemathesis.openapi.format("date-time", SOON.map(lambda at: f"{at.isoformat(timespec='milliseconds')}Z"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXPIRY_YEAR = datetime.now().year + 2
AMOUNT = 2_000_000  # of the payins in tests/app/objects.py
ACTIONS = {"boleto": "voucher", "card": "redirect", "mpesa": "push", "pix": "qr", "pse": "redirect"}
NUMBERS = itertools.count(1)
NOTHING_TO_BREAK = {"/livez", "/readyz"}
# Of twenty valid requests to each operation so many are accepted at least. The others are refused for what no document
# can say and `agree` does not make right: a state, two lines of one kind in a fee plan. Which
# twenty they are changes with the code of `send` and with the modules that other tests have loaded, whose constants
# hypothesis draws from, so most floors leave room for a few.
FLOORS = {
    "GET /livez": 1,
    "GET /readyz": 1,
    "GET /v1/balance_transactions": 20,
    "GET /v1/balances": 20,
    "GET /v1/captures": 20,
    "GET /v1/captures/{id}": 20,
    "GET /v1/disputes": 20,
    "GET /v1/disputes/{id}": 20,
    "GET /v1/disputes/{id}/evidence": 20,
    "GET /v1/events": 16,
    "GET /v1/events/{id}": 20,
    "GET /v1/instruments/{id}": 20,
    "GET /v1/operator/audit": 20,
    "GET /v1/operator/deposits": 18,
    "GET /v1/operator/discrepancies": 20,
    "GET /v1/operator/discrepancies/{id}": 20,
    "GET /v1/operator/merchants": 20,
    "GET /v1/operator/merchants/{id}": 20,
    "GET /v1/operator/merchants/{id}/keys": 20,
    "GET /v1/operator/providers": 20,
    "GET /v1/operator/traces/{id}": 10,
    "GET /v1/operator/unresolved": 20,
    "GET /v1/operator/unresolved/{id}": 20,
    "GET /v1/payins": 20,
    "GET /v1/payins/{id}": 20,
    "GET /v1/payins/{id}/attempts": 20,
    "GET /v1/refunds": 20,
    "GET /v1/refunds/{id}": 20,
    "GET /v1/routing/profiles": 20,
    "GET /v1/routing/profiles/{id}": 20,
    "GET /v1/webhook_deliveries/{id}": 20,
    "GET /v1/webhook_endpoints": 20,
    "GET /v1/webhook_endpoints/{id}": 20,
    "GET /v1/webhook_endpoints/{id}/deliveries": 20,
    "POST /v1/callbacks/{provider}/boleto": 16,
    "POST /v1/callbacks/{provider}/card": 16,
    "POST /v1/callbacks/{provider}/mpesa": 16,
    "POST /v1/callbacks/{provider}/pix": 16,
    "POST /v1/callbacks/{provider}/pse": 16,
    "POST /v1/callbacks/spei": 16,
    "POST /v1/disputes/{id}/evidence": 16,
    "POST /v1/events/{id}/redeliver": 16,
    "POST /v1/instruments": 16,
    "POST /v1/instruments/{id}/deletions": 16,
    "POST /v1/operator/deposits/{id}/confirmations": 16,
    "POST /v1/operator/deposits/{id}/returns": 16,
    "POST /v1/operator/discrepancies/{id}/corrections": 16,
    "POST /v1/operator/discrepancies/{id}/resolutions": 16,
    "POST /v1/operator/keys/{id}/revocations": 16,
    "POST /v1/operator/keys/{id}/rotations": 16,
    "POST /v1/operator/merchants": 16,
    "POST /v1/operator/merchants/{id}/fee_plans": 15,
    "POST /v1/operator/merchants/{id}/keys": 16,
    "POST /v1/operator/merchants/{id}/settings": 16,
    "POST /v1/operator/providers/{provider}/drains": 16,
    "POST /v1/operator/providers/{provider}/forcings": 16,
    "POST /v1/operator/unresolved/{id}/inquiries": 16,
    "POST /v1/operator/unresolved/{id}/settlements": 16,
    "POST /v1/payins": 16,
    "POST /v1/payins/bulk": 14,
    "POST /v1/payins/{id}/cancellations": 16,
    "POST /v1/payins/{id}/captures": 16,
    "POST /v1/payins/{id}/refunds": 16,
    "POST /v1/routing/profiles": 16,
    "POST /v1/routing/profiles/{id}/activations": 16,
    "POST /v1/routing/profiles/{id}/deactivations": 16,
    "POST /v1/routing/simulate": 16,
    "POST /v1/sandbox/clock/advances": 16,
    "POST /v1/sandbox/payins/{id}/decline": 16,
    "POST /v1/sandbox/payins/{id}/dispute": 16,
    "POST /v1/sandbox/payins/{id}/expire": 16,
    "POST /v1/sandbox/payins/{id}/pay": 16,
    "POST /v1/webhook_deliveries/{id}/redeliveries": 16,
    "POST /v1/webhook_endpoints": 16,
    "POST /v1/webhook_endpoints/{id}": 16,
    "POST /v1/webhook_endpoints/{id}/deletions": 16,
    "POST /v1/webhook_endpoints/{id}/redeliveries": 10,  # so many are under way at once; more is the job's speed
    "POST /v1/webhook_endpoints/{id}/secret_rotations": 16,
    "POST /v1/webhook_endpoints/{id}/tests": 16,
}
ACCEPTED: Counter[str] = Counter()
SENT: Counter[str] = Counter()


def addressed(
    case: Any, mode: GenerationMode, *, key: str, run: str, find: Callable[[], str | None], known: dict[str, str]
) -> None:
    """Credentials, a fresh key, the server's own deadline, and in valid requests what exists; the rest is tested."""
    headers = dict(case.headers or {})
    headers.pop("Request-Timeout-Ms", None)
    headers.pop("Caudal-Signature", None)
    headers["Authorization"] = f"Bearer {key}"
    if case.method == "POST":
        headers["Idempotency-Key"] = f"{run}-{next(NUMBERS)}"
    case.headers = headers
    if "{provider}" in case.operation.path:  # whom nobody else's test asks for anything
        case.path_parameters["provider"] = "sandbox" if "callbacks" in case.operation.path else "sur"
    if isinstance(case.query, dict) and "after" in case.query:
        case.query.pop("before", None)
    if mode is GenerationMode.POSITIVE:
        if isinstance(case.body, dict):
            case.body = whole(case.body)
        if "{provider}" in case.operation.path and "callbacks" not in case.operation.path:
            case.body = {
                **case.body,
                "mode": "test",
                **({"until": "2090-01-01T00:00:00Z"} if "until" in case.body else {}),
            }
        if "{id}" in case.operation.path and (id := find()) is not None:
            case.path_parameters["id"] = id
        agree(case, known)


def agree(case: Any, known: dict[str, str]) -> None:
    """Makes right in a valid request what no document can say: which names exist, and what goes with what."""
    for payin in payins_in(case):
        if payin["method"] == "card":
            payin["instrument"] = {"id": known["instruments"]}  # its brand is what the card says
        if payin["method"] == "mpesa":
            payin.pop("expires_at", None)  # the phone asks for minutes
        if (payin.get("payer") or {}).get("phone"):
            payin["payer"]["phone"] = PHONE
    body, query = case.body, case.query
    match case.operation.label:
        case "GET /v1/operator/deposits" if "payin" in query:
            case.query = {**query, "payin": known["payins"], "mode": "test"}
            case.query.pop("merchant", None)
        case "GET /v1/operator/deposits" if "merchant" in query:
            case.query = {**query, "merchant": known["merchants"]}
        case "GET /v1/operator/deposits" if str(query.get("unapplied")).lower() == "false":
            case.query = {**query, "merchant": known["merchants"]}  # it says whose
        case "POST /v1/operator/deposits/{id}/returns":
            body.pop("destination", None)  # a transfer goes back to where it came from
        case "POST /v1/operator/providers/{provider}/forcings" if body["breaker"] == "automatic":
            body.pop("until", None)
        case "POST /v1/callbacks/spei":
            body["tracking_key"] = f"M{int(time.time())}N{next(NUMBERS)}"
        case "POST /v1/operator/merchants" if "shard" in body:
            body["shard"] = 0
        case "POST /v1/operator/discrepancies/{id}/corrections":
            case.body = {"correction": "ask_again", "facts": "c1.p2"}
        case "POST /v1/routing/profiles":
            body["rules"] = [{"name": body["name"], "choose": {"by": "least_cost"}}]  # names of providers
        case "POST /v1/routing/simulate":
            case.body = {"replay": {"days": 1 + len(str(body)) % 31}}
        case "POST /v1/instruments":
            body["card"]["expiry_year"] = EXPIRY_YEAR
            if body["card"].get("security_code"):
                body["card"]["security_code"] = body["card"]["security_code"][:3]
        case "POST /v1/payins/{id}/captures" | "POST /v1/payins/{id}/refunds":
            body.pop("destination", None)  # a card's money goes back the way it came
            if body.get("amount"):
                body["amount"] = min(body["amount"], AMOUNT)
        case "POST /v1/webhook_endpoints/{id}/redeliveries" if body.get("to"):
            body["from"], body["to"] = sorted((body["from"], body["to"]))
        case label if "callbacks/{provider}" in label and "payment" in body:
            agree_payment(body["payment"])


def agree_payment(told: dict[str, Any]) -> None:
    """What a provider says of a payment: amounts that can be, and what its method lets the payer do next."""
    told["authorized"] = min(told["authorized"], told["amount"])
    told["refunded"] = min(told["refunded"], told["captured"])
    if told["action"] is not None and told["action"]["type"] != ACTIONS[told["method"]]:
        told["action"] = None


def payins_in(case: Any) -> list[Any]:
    """The payins that a valid request asks for; of many, each has a key of its own."""
    if case.operation.label == "POST /v1/payins":
        return [case.body]
    if case.operation.label != "POST /v1/payins/bulk":
        return []
    case.body["payins"] = [{**item, "idempotency_key": f"many-{next(NUMBERS)}"} for item in case.body["payins"]]
    return [item["payin"] for item in case.body["payins"]]


def is_taken(case: Any, answer: Any) -> bool:
    """Whether it was done; of many payins, one at least."""
    if answer.status_code >= 300 or case.operation.label != "POST /v1/payins/bulk":
        return bool(answer.status_code < 300)
    return any(item["payin"] is not None for item in answer.json()["data"])


def whole(value: Any) -> Any:
    """The value with 1 for 1.0: to JSON Schema that is an integer, to the API it is not."""
    if isinstance(value, dict):
        return {name: whole(of) for name, of in value.items()}
    if isinstance(value, list):
        return [whole(of) for of in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_answer_breaks_the_document(mode: GenerationMode, running: Whole, say: Callable[[str], None]) -> None:
    schema = schemathesis.openapi.from_url(f"{running.api_url}/openapi.json")
    schema.config.generation.update(modes=[mode])
    refused = schema.config.checks.negative_data_rejection
    refused.expected_statuses = [*refused.expected_statuses, "413"]  # before anybody reads what else is wrong
    run, signed = f"{mode.value}-{running.pid}", Signed(running)
    with requests.Session() as session, ExitStack() as stack:
        objects = Objects(running, session)
        without_end = WithoutEnd(objects, running, session, many=24)
        stack.callback(without_end.heal)
        known, fresh = objects.once(), objects.fresh() | without_end.fresh()
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]
            if mode is GenerationMode.NEGATIVE and operation.path in NOTHING_TO_BREAK:
                continue
            session.auth = signed if "callbacks" in operation.path else None
            key = running.operator_key if "/operator/" in operation.path else objects.key_of_ana
            folder = operation.path.partition("/{id}")[0].rpartition("/")[2]
            find = fresh.get(operation.label, partial(known.get, folder))
            send(operation, mode, partial(addressed, key=key, run=run, find=find, known=known), session)
    if mode is GenerationMode.POSITIVE:
        say(f"valid requests accepted: {sum(ACCEPTED.values())} of {sum(SENT.values())}")
        for label, sent in sorted(SENT.items()):
            say(f"{ACCEPTED[label]:>3} of {sent:>3}  {label}, at least {FLOORS.get(label, 0)}")
        assert set(FLOORS) == set(SENT), "an operation without a floor"
        assert not [label for label, floor in FLOORS.items() if ACCEPTED[label] < floor]


def send(
    operation: Any, mode: GenerationMode, address: Callable[[Any, GenerationMode], None], session: requests.Session
) -> None:
    """A score of requests to one operation, the same in every run."""

    @hypothesis.settings(
        max_examples=20,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        address(case, mode)
        answer = case.call(session=session)
        if mode is GenerationMode.POSITIVE:
            SENT[operation.label] += 1
            ACCEPTED[operation.label] += is_taken(case, answer)
        # Wrong ids and headers have been made right; wrong bodies and queries have not.
        parts = case.meta.components.items()
        wrong = any(place.value in ("body", "query") and part.mode.is_negative for place, part in parts)
        if wrong and operation.label == "POST /v1/payins/bulk" and answer.status_code == 200:
            wrong = False  # it is one payin that is wrong, and is refused alone
            assert any(item["problem"] is not None for item in answer.json()["data"])
        case.validate_response(answer, checks=[*CHECKS, *([negative_data_rejection] if wrong else [])])

    ask()
