"""Whoever has no key learns nothing but that: every operation authenticates before it looks at query, headers and body.

What is no HTTP, too large, or for a path that there is not, the edge says before (test_edge.py).
"""

from __future__ import annotations

import gc
import re
import time
from itertools import product

import msgspec

from caudal.app.openapi import document
from caudal.app.routes import ROUTES
from caudal.connectors import spei
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.kernel.http import Route
from caudal.kernel.ids import public
from tests.api import Api

BODIES = {
    "no body": b"",
    "no JSON": b'{"amount":',
    "no object": b"[7]",
    "unknown fields": b'{"nonsense": true}',
    "no text": b"\x00\xff",
}
CREDENTIALS = {"none": "-", "a stranger's": "Bearer sk_test_" + "x" * 43, "no key": "Basic cGF5"}
QUERIES = ("", "?nonsense=1", "?limit=all&limit=0&after=%00&types=x", "?=&&", "?%ff=\xff")
HEADERS: tuple[dict[str, str], ...] = (
    {"caudal-version": "1999-01-01"},
    {"request-timeout-ms": "soon"},
    {"request-timeout-ms": "0"},
    {"request-timeout-ms": "9" * 400},
    {"idempotency-key": ""},
    {"idempotency-key": "\xe9" * 256},
    {"request-id": "\x00", "traceparent": "00-0-0-zz", "tracestate": "=,,", "accept": "\xff"},
    {"caudal-signature": "t=never"},
)
WITH_KEY = [route for route in ROUTES if route.who in ("merchant", "operator")]
UNKNOWN, FORBIDDEN = (401, "unauthenticated"), (403, "forbidden")
SIGNED = [route for route in ROUTES if route.who == "provider"]
PUBLIC = {"GET /livez", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /docs/errors", "GET /docs/banks"}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


async def asked(
    api: Api, route: Route, body: bytes, credentials: str, query: str = "", **headers: str
) -> tuple[int, str]:
    path = route.path.replace("{provider}", "sandbox").replace("{method}", "pix")
    taken = route.takes[0] if route.takes else "application/json"
    sent = {"authorization": credentials, "content-type": taken} | headers
    answered = await api.call(route.method, re.sub(r"\{[a-z_]+\}", "0", path) + query, body or None, headers=sent)
    return answered.status, answered.code


def others(said: dict[str, tuple[int, str]], but: tuple[int, str] = UNKNOWN) -> dict[str, tuple[int, str]]:
    """What was answered with something else than that a key is needed."""
    return {name: one for name, one in said.items() if one != but}


def test_these_are_the_operations_of_the_document() -> None:
    paths = msgspec.json.decode(document())["paths"]
    secured = {f"{method.upper()} {path}" for path, of in paths.items() for method in of if of[method]["security"]}
    hidden = {named(route) for route in ROUTES if route.hidden}
    assert secured == {named(route) for route in WITH_KEY + SIGNED} - hidden


async def test_without_a_key_an_operation_says_401_and_nothing_of_its_body(context: Context) -> None:
    api = Api(context)
    for (what, body), (whose, credentials) in product(BODIES.items(), CREDENTIALS.items()):
        said = {named(route): await asked(api, route, body, credentials) for route in WITH_KEY}
        assert others(said) == {}, f"{what}, {whose}"


async def test_nor_that_its_type_is_not_taken(context: Context) -> None:
    api = Api(context)
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "-"):
        kind = {"content-type": content_type}
        said = {named(route): await asked(api, route, b"amount=1", "-", **kind) for route in WITH_KEY + SIGNED}
        assert others(said) == {}, content_type


async def test_nor_anything_of_its_query_and_its_headers(context: Context) -> None:
    api = Api(context)
    for query, headers in [*product(QUERIES, [{}]), *product([""], HEADERS), (QUERIES[1], HEADERS[0])]:
        for whose, credentials in CREDENTIALS.items():
            said = {
                named(route): await asked(api, route, b"", credentials, query, **headers) for route in WITH_KEY + SIGNED
            }
            assert others(said) == {}, f"{whose}, {query}, {headers}"


async def test_nor_does_a_key_without_the_scope(context: Context) -> None:
    api = Api(context)
    scopes = {route.scope for route in WITH_KEY if route.who == "merchant"}
    assert None not in scopes
    for has in ("events:read", "payins:read"):
        ana, operator = public("mer", await api.ana()), await api.operator()
        asks = {"mode": "test", "scopes": [has]}
        api.key = (await api.post(f"/v1/operator/merchants/{ana}/keys", asks, key=operator)).json["secret"]
        lacking = [route for route in WITH_KEY if route.who == "merchant" and route.scope != has]
        for query, headers in [*product(QUERIES, [{}]), *product([""], HEADERS[:-1])]:
            said = {named(r): await asked(api, r, b"", f"Bearer {api.key}", query, **headers) for r in lacking}
            assert others(said, FORBIDDEN) == {}, f"{query}, {headers}"
        said = {
            named(route): await asked(api, route, b"a=1", f"Bearer {api.key}", **{"content-type": "text/plain"})
            for route in lacking
        }
        assert others(said, FORBIDDEN) == {}


async def test_whoever_has_a_key_hears_what_is_wrong_with_the_head(context: Context) -> None:
    api = Api(context)
    await api.ana()
    operator = f"Bearer {await api.operator()}"
    for route in WITH_KEY:
        key = operator if route.who == "operator" else f"Bearer {api.key}"
        for headers in HEADERS[:4]:
            assert await asked(api, route, b"", key, **headers) == (422, "invalid_request"), named(route)
        if route.query is None:
            assert await asked(api, route, b"", key, QUERIES[1]) == (422, "invalid_request"), named(route)
        assert await asked(api, route, b"", key, **HEADERS[-1]) == UNKNOWN, "a signature is a credential"


async def test_whoever_has_a_key_hears_which_type_is_taken(context: Context) -> None:
    api = Api(context)
    await api.ana()
    answered = await api.post("/v1/payins", b"amount=1", headers={"content-type": "text/plain"})
    assert (answered.status, answered.code) == (415, "unsupported_media_type")


async def test_a_callback_without_its_signature_is_401_whatever_it_says(context: Context) -> None:
    api = Api(context)
    for what, body in BODIES.items():
        assert others({named(route): await asked(api, route, body, "-") for route in SIGNED}) == {}, what


async def test_a_callback_with_its_signature_hears_what_is_wrong_with_its_head(context: Context) -> None:
    at, raw = int(time.time()), b'{"tracking_key":"T","clabe":"646180000000000000","amount":1,"currency":"MXN"}'
    signed = {"spei-signature": spei.signature("test secret", at, raw), "authorization": "-"}
    api = Api(context)
    for headers in HEADERS[:4]:
        answered = await api.call("POST", "/v1/callbacks/spei", raw, headers=signed | headers)
        assert (answered.status, list(answered.fields)) == (422, [next(iter(headers)).title()])
    assert (await api.call("POST", "/v1/callbacks/spei", raw, headers=signed)).status == 200


def test_everything_else_is_public() -> None:
    assert {named(route) for route in ROUTES} - {named(route) for route in WITH_KEY + SIGNED} == PUBLIC


async def test_what_is_refused_leaves_no_circle_of_frames_behind(ana: Api) -> None:
    wrong = {"caudal-version": "1"}, {"request-timeout-ms": "0"}, {"content-type": "text/plain"}, {"x": "y"}
    for told, key in product(wrong, ({}, {"authorization": "-"})):
        path = "/v1/payins?nonsense=1" if "x" in told else "/v1/payins"
        gc.collect()
        gc.disable()
        try:
            assert (await ana.call("POST", path, b"{}", headers=told | key)).status in (401, 415, 422)
            left = [found for found in gc.get_objects() if isinstance(found, CaudalError)]
        finally:
            gc.enable()
        assert not left, (path, told, key)
