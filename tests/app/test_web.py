"""The API's edge: sizes, content types, routes, methods, headers; whatever comes gets a problem and never a 500."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from caudal.app.web import Web
from caudal.kernel.context import Context
from tests.api import Api

BODY = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}

# method, path, with a body?, status, code
ROUTES = """
GET     /                           -     404  no_such_route
GET     /v1                         -     404  no_such_route
GET     /v1/payin                   -     404  no_such_route
GET     /v1/payins/a/b              -     404  no_such_route
POST    /v1/payins/x                -     405  method_not_allowed
POST    /v1/events                  -     405  method_not_allowed
GET     /v1/callbacks/spei          -     405  method_not_allowed
GET     /v1/payins/x/cancellations  -     405  method_not_allowed
PUT     /v1/payins                  {}    405  method_not_allowed
DELETE  /v1/payins/x                -     405  method_not_allowed
PATCH   /v1/payins                  {}    405  method_not_allowed
TRACE   /livez                      -     405  method_not_allowed
GET     /v1/payins/                 -     200  None
GET     /v1/payins?limit=0          -     422  invalid_request
GET     /v1/payins?limit=101        -     422  invalid_request
GET     /v1/payins?limit=x          -     422  invalid_request
GET     /v1/payins?limit=1&limit=2  -     422  invalid_request
GET     /v1/payins?colour=red       -     422  invalid_request
GET     /v1/payins?status=lost      -     422  invalid_request
GET     /v1/payins?after=x          -     422  invalid_request
GET     /v1/payins?before=x         -     422  invalid_request
GET     /v1/payins?limit            -     422  invalid_request
GET     /v1/payins?method=%00       -     422  invalid_request
GET     /v1/payins?created_from=now -     422  invalid_request
GET     /v1/payins?created_from=2026-01-01T00:00:00  -  422  invalid_request
GET     /v1/payins?method=%ff       -     200  None
GET     /v1/events?after=x          -     422  invalid_request
GET     /v1/events?since=x          -     422  invalid_request
GET     /v1/events?types=           -     200  None
GET     /v1/balances?x=1            -     200  None
"""


@pytest.fixture
async def ana(context: Context) -> Api:
    api = Api(context)
    await api.ana()
    return api


async def test_every_wrong_address_gets_its_problem(ana: Api) -> None:
    wrong = []
    for line in ROUTES.strip().splitlines():
        method, path, body, status, code = line.split()
        answered = await ana.call(method, path, {} if body == "{}" else None)
        if (answered.status, answered.code) != (int(status), code):
            wrong.append(f"{line}: {answered.status} {answered.body.decode()[:200]}")
    assert not wrong, "\n".join(wrong)


async def test_a_method_that_is_not_allowed_hears_which_ones_are(ana: Api) -> None:
    assert (await ana.call("DELETE", "/v1/payins")).headers["allow"] == "GET, POST"
    assert (await ana.call("POST", "/v1/events")).headers["allow"] == "GET"
    assert (await ana.call("PUT", "/v1/payins/x/cancellations")).headers["allow"] == "POST"


async def test_a_get_with_a_body_is_answered_as_without(ana: Api) -> None:
    for body in (BODY, b"\xff" * 100, b"{" * 80_000):
        assert (await ana.call("GET", "/v1/payins", body)).status == 200


async def test_only_json_is_taken(ana: Api) -> None:
    for type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonp", "", "application/json2"):
        answered = await ana.post("/v1/payins", BODY, headers={"content-type": type})
        assert (answered.status, answered.code) == (415, "unsupported_media_type"), type
    for type in ("application/json", "Application/JSON", "application/json; charset=utf-8", "application/json ;x=y"):
        assert (await ana.post("/v1/payins", BODY, headers={"content-type": type})).status == 201, type


async def sent(context: Context, key: str, chunks: Iterable[bytes], headers: dict[str, str]) -> tuple[int, bytes, int]:
    """A body in chunks; status, answer, and how many chunks were taken."""
    named = {"authorization": f"Bearer {key}", "content-type": "application/json", "idempotency-key": "k", **headers}
    left, out, taken = list(chunks), list[Any](), 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        out.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/payins", "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in named.items()]
    await Web(context)(scope, receive, send)
    return out[0]["status"], out[1]["body"], taken


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(context: Context, ana: Api) -> None:
    status, body, taken = await sent(context, ana.key, [b" " * 100], {"content-length": "65537"})
    assert (status, b"too_large" in body, taken) == (413, True, 0)
    for length in ("-1", "x", "1e9", "9" * 30):
        status, _, taken = await sent(context, ana.key, [b" "], {"content-length": length})
        assert (status, taken) == (413, 0), length


async def test_a_body_without_a_length_is_read_no_further_than_the_limit(context: Context, ana: Api) -> None:
    status, body, taken = await sent(context, ana.key, [b" " * 30_000] * 10, {})
    assert (status, b"too_large" in body, taken) == (413, True, 3)
    status, body, _ = await sent(context, ana.key, [b" " * 65_537], {})
    assert (status, b"too_large" in body) == (413, True)


async def test_a_body_in_chunks_is_one_body(context: Context, ana: Api) -> None:
    whole = b'{"amount":10000,"currency":"MXN","country":"MX","method":"spei"}'
    status, _, _ = await sent(context, ana.key, [whole[i : i + 5] for i in range(0, len(whole), 5)], {})
    assert status == 201


async def test_a_caller_that_hangs_up_in_the_middle_of_its_body_has_asked_for_nothing(
    context: Context, ana: Api
) -> None:
    headers = [(b"authorization", f"Bearer {ana.key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/payins", "query_string": b"", "headers": headers}
    headers.append((b"idempotency-key", b"k"))
    whole = b'{"amount":10000,"currency":"MXN","country":"MX","method":"spei"}'
    messages = [{"type": "http.request", "body": whole, "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        pass

    await Web(context)(scope, receive, send)
    assert await context.rows("select count(*) from payin") == [(0,)]


async def test_a_request_has_an_id_its_own_or_one_of_ours(ana: Api) -> None:
    given = await ana.get("/v1/payins", headers={"request-id": "mine-7"})
    assert given.headers["request-id"] == "mine-7"
    for id in ("", "a b", "x" * 121, "é", "a\r\nb"):
        made = (await ana.get("/v1/payins", headers={"request-id": id})).headers["request-id"]
        assert made.startswith("req_") and len(made) == 36, id


async def test_a_deadline_that_is_none_is_refused(ana: Api) -> None:
    for given in ("0", "-1", "1.5", "x", "60001", "", "\xb2"):
        answered = await ana.get("/v1/payins", headers={"request-timeout-ms": given})
        assert (answered.status, answered.code) == (422, "invalid_request"), given
    assert (await ana.get("/v1/payins", headers={"request-timeout-ms": "60000"})).status == 200


async def test_another_version_of_the_api_is_refused(ana: Api) -> None:
    assert (await ana.get("/v1/payins", headers={"caudal-version": "2026-11-01"})).status == 200
    assert (await ana.get("/v1/payins", headers={"caudal-version": "2025-01-01"})).status == 422


async def test_health_needs_no_key(ana: Api) -> None:
    for path in ("/livez", "/readyz", "/openapi.json"):
        assert (await ana.get(path, key="")).status == 200


async def test_no_answer_ever_shows_what_is_inside(ana: Api) -> None:
    asked = [
        await ana.get("/v1/payins/x'; drop table payin; --"),
        await ana.post("/v1/payins", b"{'x': \\"),
        await ana.get("/x"),
    ]
    for answered in asked:
        text = answered.body.decode().lower()
        assert 400 <= answered.status < 500
        assert not any(word in text for word in ("traceback", "psycopg", "select ", "site-packages", ".py", "sk_test"))


async def test_a_defect_of_ours_is_a_500_without_its_reason(ana: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("the secret reason")

    monkeypatch.setattr(Context, "_read", broken)
    answered = await ana.get("/v1/payins", key="sk_test_" + "A" * 43)
    assert (answered.status, answered.code) == (500, "internal_error")
    assert b"secret" not in answered.body
