"""JSON in and out over HTTP, the same for the bank and the provider."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import web

from caudal_sandbox.fields import json_object
from caudal_sandbox.problems import FieldError, Problem, invalid


async def json_body(request: web.Request) -> dict[str, Any]:
    """Read a JSON object. Refuses other media types and what is not one."""
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be application/json.")
    return json_object(await request.read())


def known_query(request: web.Request, *known: str) -> None:
    """Refuse parameters of the query that are not known."""
    errors = [
        FieldError(field=name, code="unknown_field", detail="This parameter is not known.")
        for name in request.query
        if name not in known
    ]
    if errors:
        raise invalid(errors)


def answer(shown: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Answer with a JSON object."""
    return web.Response(
        status=status, body=msgspec.json.encode(shown), content_type="application/json", headers=headers
    )


def text(shown: dict[str, Any]) -> str:
    """Write JSON without blanks, names and texts as they are."""
    return msgspec.json.encode(shown).decode()


def rfc3339(at_ms: int) -> str:
    """Write unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
