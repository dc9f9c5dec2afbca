"""Whoever has no key learns nothing but that: every operation authenticates before it looks at anything else."""

from __future__ import annotations

import re

import pytest

from caudal.app.routes import ROUTES
from caudal.kernel.context import Context
from caudal.kernel.http import Route
from tests.api import Api

BODIES = {
    "no body": b"",
    "no JSON": b'{"amount":',
    "no object": b"[7]",
    "unknown fields": b'{"nonsense": true}',
    "no text": b"\x00\xff",
}
CREDENTIALS = {"none": "-", "a stranger's": "Bearer sk_test_" + "x" * 43, "no key": "Basic cGF5"}
WITH_KEY = [route for route in ROUTES if route.who in ("merchant", "operator")]
SIGNED = [route for route in ROUTES if route.who == "provider"]
PUBLIC = {"GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /docs/errors"}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


async def asked(context: Context, route: Route, body: bytes, credentials: str) -> tuple[int, str]:
    path = route.path.replace("{provider}", "sandbox").replace("{method}", "pix")
    headers = {"authorization": credentials, "content-type": route.takes[0] if route.takes else "application/json"}
    answered = await Api(context).call(route.method, re.sub(r"\{[a-z_]+\}", "0", path), body or None, headers=headers)
    return answered.status, answered.code


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_without_a_key_an_operation_says_401_and_nothing_of_its_body(
    context: Context, body: str, credentials: str
) -> None:
    found = {named(route): await asked(context, route, BODIES[body], CREDENTIALS[credentials]) for route in WITH_KEY}
    assert {name: said for name, said in found.items() if said != (401, "unauthenticated")} == {}


@pytest.mark.parametrize("body", BODIES)
async def test_a_callback_without_its_signature_is_401_whatever_it_says(context: Context, body: str) -> None:
    found = {named(route): await asked(context, route, BODIES[body], "-") for route in SIGNED}
    assert {name: said for name, said in found.items() if said != (401, "unauthenticated")} == {}


def test_everything_else_is_public() -> None:
    assert {named(route) for route in ROUTES} - {named(route) for route in WITH_KEY + SIGNED} == PUBLIC
