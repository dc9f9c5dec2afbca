"""Which problems an operation can answer with, and what they look like."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caudal.app import examples
from caudal.app.openapi.schemas import reference_to
from caudal.contracts.problems import PROBLEMS, answer_of
from caudal.kernel.errors import CaudalError, Fault, FieldError, Invalid, Refused, Retry, Unknown
from caudal.kernel.http import Route

Schema = dict[str, Any]

_DETAILS: Final = {
    "malformed_http": "the request cannot be read; the connection ends",
    "malformed_json": "the body is not JSON: Input data was truncated",
    "invalid_key": "the Idempotency-Key cannot be used",
    "key_missing": "a request that moves money needs an Idempotency-Key",
    "unauthenticated": "there is no such API key, or it has ended",
    "forbidden": "the API key does not have the scope payins:write",
    "not_found": "there is no such payin",
    "no_such_route": "there is no /v1/payin",
    "method_not_allowed": "/v1/balances takes GET",
    "forbidden_transition": "a payin that is paid cannot be cancelled",
    "contradiction": "this tracking key was reported before with other content",
    "key_in_progress": "the first request with this Idempotency-Key has not ended",
    "request_timeout": "the whole request has to arrive within 30 s",
    "too_large": "at most 65536 bytes",
    "unsupported_media_type": "send Content-Type: application/json",
    "invalid_request": "the request has errors",
    "key_reused": "this Idempotency-Key was used for another request",
    "insufficient_funds": "the unapplied balance does not cover the return",
    "head_too_large": "at most 100 headers and 32768 bytes",
    "too_many_requests": "too many of this merchant's requests wait already",
    "internal_error": "the batch failed",
    "unknown_outcome": "the commit's answer was lost; ask with the same key",
    "overloaded": "the queue is longer than the request's deadline",
    "stopping": "this process is stopping",
    "try_again": "the shard was busy; nothing was written",
    "database_unavailable": "the database does not answer; nothing was written",
}
_ERRORS: Final = {
    "invalid_request": (
        FieldError(field="/amount", code="amount_out_of_range", detail="SPEI takes 8.00 MXN to 400,000.00 MXN"),
        FieldError(
            field="/reference_id", code="unknown_field", detail="there is no such field; did you mean reference?"
        ),
    ),
    "key_missing": (FieldError(field="Idempotency-Key", code="missing", detail="this header is needed"),),
    "invalid_key": (
        FieldError(field="Idempotency-Key", code="invalid_value", detail="1 to 255 printable ASCII characters"),
    ),
}


def codes_of(route: Route) -> list[str]:
    """Every problem that an operation can answer with, in the order of the table."""
    codes = {"invalid_request", "internal_error", *route.codes}
    if route.who != "anybody":
        codes |= {"unauthenticated", "database_unavailable"}
    if route.who in ("merchant", "operator"):
        codes.add("too_many_requests")
    if route.scope is not None:
        codes.add("forbidden")
    if "{" in route.path:
        codes.add("not_found")
    if route.body is not None:
        codes.add("malformed_json")
    if route.method == "POST":
        codes |= {"too_large", "unsupported_media_type", "unknown_outcome", "stopping", "try_again"}
    if route.method == "POST" and route.who != "provider":  # what has already happened is never turned away
        codes.add("overloaded")
    if route.keyed not in ("no", "each"):
        codes |= {"invalid_key", "key_in_progress", "key_reused"}
    if route.keyed == "required":
        codes.add("key_missing")
    return [code for code in PROBLEMS if code in codes]


def responses(codes: list[str]) -> dict[str, Schema]:
    """The answers of an operation that are problems, by status."""
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    return {str(status): _response(status, by_status[status]) for status in sorted(by_status)}


def _response(status: int, codes: list[str]) -> Schema:
    headers: Schema = {"Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"$ref": "#/components/headers/WwwAuthenticate"}
    if any(isinstance(error_of(code), Retry) for code in codes):
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    content = {
        "schema": reference_to("ProblemBody"),
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }
    return {
        "description": ". ".join(PROBLEMS[code].title for code in codes) + ".",
        "headers": headers,
        "content": {"application/problem+json": content},
    }


def example(code: str) -> Schema:
    """A problem of this kind, as it is sent."""
    body: Schema = msgspec.json.decode(answer_of(error_of(code), examples.REQUEST_ID).body)
    return {"summary": PROBLEMS[code].title, "description": PROBLEMS[code].meaning, "value": body}


def error_of(code: str) -> CaudalError:
    """An error with this code, of the class that carries it."""
    kind: type[CaudalError] = Refused
    if PROBLEMS[code].status in (408, 429, 503) or code == "key_in_progress":
        kind = Retry
    elif code == "unknown_outcome":
        kind = Unknown
    elif code == "internal_error":
        kind = Fault
    detail = _DETAILS.get(code) or PROBLEMS[code].meaning
    if code in _ERRORS:
        return Invalid(code, detail, errors=_ERRORS[code])
    return kind(code, detail)
