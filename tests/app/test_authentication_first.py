"""Whoever has no key learns nothing but that: every operation authenticates before it looks at its body."""

from __future__ import annotations

import re
from itertools import product

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


async def asked(api: Api, route: Route, body: bytes, credentials: str, content_type: str = "") -> tuple[int, str]:
    path = route.path.replace("{provider}", "sandbox").replace("{method}", "pix")
    taken = route.takes[0] if route.takes else "application/json"
    headers = {"authorization": credentials, "content-type": content_type or taken}
    answered = await api.call(route.method, re.sub(r"\{[a-z_]+\}", "0", path), body or None, headers=headers)
    return answered.status, answered.code


def others(said: dict[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    """What was answered with something else than that a key is needed."""
    return {name: one for name, one in said.items() if one != (401, "unauthenticated")}


async def test_without_a_key_an_operation_says_401_and_nothing_of_its_body(context: Context) -> None:
    api = Api(context)
    for (what, body), (whose, credentials) in product(BODIES.items(), CREDENTIALS.items()):
        said = {named(route): await asked(api, route, body, credentials) for route in WITH_KEY}
        assert others(said) == {}, f"{what}, {whose}"


async def test_nor_that_its_type_is_not_taken(context: Context) -> None:
    api = Api(context)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "-"):
        said = {named(route): await asked(api, route, b"amount=1", "-", content_type) for route in WITH_KEY}
        assert others(said) == {}, content_type


async def test_whoever_has_a_key_hears_which_type_is_taken(context: Context) -> None:
    api = Api(context)
    await api.ana()
    answered = await api.post("/v1/payins", b"amount=1", headers={"content-type": "text/plain"})
    assert (answered.status, answered.code) == (415, "unsupported_media_type")


async def test_a_callback_without_its_signature_is_401_whatever_it_says(context: Context) -> None:
    api = Api(context)
    for what, body in BODIES.items():
        assert others({named(route): await asked(api, route, body, "-") for route in SIGNED}) == {}, what


def test_everything_else_is_public() -> None:
    assert {named(route) for route in ROUTES} - {named(route) for route in WITH_KEY + SIGNED} == PUBLIC
