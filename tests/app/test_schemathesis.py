"""The API against its own document: whatever is sent, no answer breaks the OpenAPI document and none is a 500.

Prints the share of valid requests that were accepted, so that a document which allows what the API refuses shows.
"""

from __future__ import annotations

import itertools
from collections import Counter
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
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.whole import Whole

schemathesis.openapi.format("cursor", st.just("AAMD7WzxCAABogfZIQB1w4AAAZpB4H8r"))
schemathesis.openapi.format("mx-curp-or-rfc", st.just("GODE561231GR8"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
NUMBERS = itertools.count(1)
PLANNED = {"/livez", "/readyz"}
ACCEPTED: Counter[str] = Counter()
SENT: Counter[str] = Counter()


def known_ids(running: Whole, run: str, session: requests.Session) -> dict[str, str]:
    """An object of each kind, by the folder in which its path stands."""

    def made(path: str, key: str, body: dict[str, Any]) -> str:
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"{run}-{next(NUMBERS)}"}
        answer = session.post(running.api_url + path, json=body, headers=headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    asked = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
    merchant = made("/v1/operator/merchants", running.operator_key, {"name": "Caro", "country": "MX", "fee_plan": []})
    keys = f"/v1/operator/merchants/{merchant}/keys"
    key = made(keys, running.operator_key, {"mode": "test", "name": "shop"})
    return {"payins": made("/v1/payins", running.key, asked), "merchants": merchant, "keys": key}


def fresh(case: Any, key: str, run: str) -> None:
    """Credentials, a key of its own, and the server's own deadline: what is under test is the rest."""
    headers = dict(case.headers or {})
    headers.pop("Request-Timeout-Ms", None)
    headers.pop("Caudal-Signature", None)
    headers["Authorization"] = f"Bearer {key}"
    if case.method == "POST":
        headers["Idempotency-Key"] = f"{run}-{next(NUMBERS)}"
    case.headers = headers
    if isinstance(case.query, dict) and "after" in case.query:
        case.query.pop("before", None)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
def test_no_answer_breaks_the_document(mode: GenerationMode, running: Whole) -> None:
    schema = schemathesis.openapi.from_url(f"{running.api_url}/openapi.json")
    schema.config.generation.update(modes=[mode])
    run = f"{mode.value}-{running.pid}"
    with requests.Session() as session:
        known = known_ids(running, run, session)
        for result in schema.get_all_operations():
            operation: Any = result.ok()  # type: ignore[union-attr]
            if operation.path in PLANNED or "callbacks" in operation.path:
                continue
            key = running.operator_key if "/operator/" in operation.path else running.key
            send(operation, mode, key, run, session, known)
    if mode is GenerationMode.POSITIVE:
        print(f"\nvalid requests accepted: {sum(ACCEPTED.values())} of {sum(SENT.values())}")
        for label, sent in sorted(SENT.items()):
            print(f"  {ACCEPTED[label]:>3} of {sent:>3}  {label}")
        assert ACCEPTED["POST /v1/payins"] > 0


def send(
    operation: Any, mode: GenerationMode, key: str, run: str, session: requests.Session, known: dict[str, str]
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
        fresh(case, key, run)
        folder = operation.path.partition("/{id}")[0].rpartition("/")[2]
        if mode is GenerationMode.POSITIVE and folder in known and case.path_parameters:
            case.path_parameters["id"] = known[folder]
        answer = case.call(session=session)
        if mode is GenerationMode.POSITIVE:
            SENT[operation.label] += 1
            ACCEPTED[operation.label] += answer.status_code < 300
        case.validate_response(answer, checks=CHECKS)

    ask()
