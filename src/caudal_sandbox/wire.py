"""JSON in and out over HTTP, the same for the bank and the provider."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from caudal_sandbox.fields import json_object
from caudal_sandbox.http import Request, Response
from caudal_sandbox.problems import FieldError, Problem, invalid

encode = msgspec.json.Encoder().encode


def json_body(request: Request) -> dict[str, Any]:
    """Read a JSON object. Refuses other media types and what is not one."""
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be application/json.")
    return json_object(request.body)


def known_query(request: Request, *known: str) -> None:
    """Refuse parameters of the query that are not known."""
    errors = [
        FieldError(field=name, code="unknown_field", detail="This parameter is not known.")
        for name in request.query
        if name not in known
    ]
    if errors:
        raise invalid(errors)


def answer(shown: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer with a JSON object."""
    return Response(status=status, body=encode(shown), headers=headers or {})


def text(shown: dict[str, Any]) -> str:
    """Write JSON without blanks, names and texts as they are."""
    return encode(shown).decode()


def rfc3339(at_ms: int) -> str:
    """Write unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
