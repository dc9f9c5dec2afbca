"""The OpenAPI 3.1 document, made of the routes: whatever a handler takes and gives stands in its Route.

It is served at `/openapi.json` and published; the reference at `/docs` is rendered from it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from caudal.app import events
from caudal.app.openapi.operations import HEADERS, PARAMETERS, SECURITY, TAGS, operation
from caudal.app.openapi.problems import example
from caudal.app.openapi.schemas import components
from caudal.app.openapi.webhooks import webhooks
from caudal.app.routes import ROUTES
from caudal.contracts.problems import PROBLEMS, ProblemBody
from caudal.contracts.webhooks import WebhookEndpointData
from caudal.kernel.http import encode

_DESCRIPTION: Final = (
    "Payments for emerging markets. JSON in UTF-8; amounts are integers in minor units; every refusal is a problem "
    "(RFC 9457) with a stable `code` and every field that is wrong. Unknown fields are refused."
)


@cache
def parsed() -> dict[str, Any]:
    """The document. Nobody changes it."""
    routes = [route for route in ROUTES if not route.hidden]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "caudal",
            "version": events.VERSION,
            "summary": "A self-hosted payments platform for emerging markets",
            "description": _DESCRIPTION,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{"url": "/", "description": "the caudal that serves this document"}],
        "tags": [{"name": name, "description": text} for name, text in dict.fromkeys(TAGS.values())],
        "paths": paths,
        "webhooks": webhooks(),
        "components": {
            "schemas": components(
                {route.body: None for route in routes if route.body is not None},
                {
                    ProblemBody: None,
                    WebhookEndpointData: None,
                    **{route.answer: None for route in routes if route.answer is not None},
                },
            ),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "examples": {code: example(code) for code in PROBLEMS},
            "securitySchemes": SECURITY,
        },
    }


@cache
def document() -> bytes:
    """The document as JSON."""
    return encode(parsed())
