"""The API's edge: sizes, content types, routes, methods, headers; whatever comes gets a problem and never a 500."""

from __future__ import annotations

import pytest

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
GET     /v1/payins?created_from=3   -     422  invalid_request
GET     /v1/payins?created_to=1.5   -     422  invalid_request
GET     /v1/balances?at=3           -     422  invalid_request
GET     /v1/payins?created_from=2026-01-01T00:00:00  -  422  invalid_request
GET     /v1/payins?method=%ff       -     422  invalid_request
GET     /v1/payins?&                -     422  invalid_request
GET     /v1/payins/payin_x?x=1      -     422  invalid_request
POST    /v1/payins?x=1              {}    422  invalid_request
GET     /v1/events?after=x          -     422  invalid_request
GET     /v1/events?since=x          -     422  invalid_request
GET     /v1/events?types=           -     422  invalid_request
GET     /v1/balances?x=1            -     422  invalid_request
GET     /v1/balances?at=yesterday   -     422  invalid_request
GET     /v1/balances?at=2026-01-01T00:00:00     -     422  invalid_request
GET     /v1/balances?at=2026-01-01T00:00:00Z    -     200  None
GET     /livez?x=1                  -     200  None
"""


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


async def test_a_request_has_an_id_its_own_or_one_of_ours(ana: Api) -> None:
    given = await ana.get("/v1/payins", headers={"request-id": "mine-7"})
    assert given.headers["request-id"] == "mine-7"
    for id in ("", "a b", "x" * 121, "é", "a\r\nb"):
        made = (await ana.get("/v1/payins", headers={"request-id": id})).headers["request-id"]
        assert made.startswith("req_") and len(made) == 36, id


async def test_a_deadline_that_is_none_is_refused(ana: Api) -> None:
    for given in ("0", "-1", "1.5", "x", "60001", "", "\xb2", "9" * 5000):
        answered = await ana.get("/v1/payins", headers={"request-timeout-ms": given})
        assert (answered.status, answered.fields) == (422, {"Request-Timeout-Ms": "invalid_value"}), given
    assert (await ana.get("/v1/payins", headers={"request-timeout-ms": "60000"})).status == 200


async def test_another_version_of_the_api_is_refused(ana: Api) -> None:
    assert (await ana.get("/v1/payins", headers={"caudal-version": "2026-11-01"})).status == 200
    answered = await ana.get("/v1/payins", headers={"caudal-version": "2025-01-01"})
    assert (answered.status, answered.fields) == (422, {"Caudal-Version": "invalid_value"})


# What is asked, and the errors that it gets
PARAMETERS = """
/v1/payins?after=x                                     ?after:invalid_cursor
/v1/payins?before=x                                    ?before:invalid_cursor
/v1/payins?email=a&before=x                            ?before:invalid_cursor
/v1/payins?a                                           ?:invalid_value
/v1/payins?a=1&b=2                                     ?a:unknown_field ?b:unknown_field
/v1/payins?limit=0&limit=0&method=pyx                  ?limit:invalid_value ?limit:invalid_value ?method:unknown_method
/v1/payins?method=SPEI                                 ?method:unknown_method
/v1/payins?country=mx&currency=mxn                     ?country:unknown_country ?currency:unknown_currency
/v1/payins?currency=                                   ?currency:unknown_currency
/v1/payins?status=lost&method=spei                     ?status:invalid_value
/v1/payins/x?expand=payer                              ?expand:unknown_field
/v1/balances?currency=MXN                              ?currency:unknown_field
/v1/events?types=payin.lost                            ?types:unknown_type
/v1/events?types=payin.paid,payin.lost,+lost           ?types:unknown_type ?types:unknown_type
/v1/events?types=merchant.created                      ?types:unknown_type
/v1/events?after=x                                     ?after:invalid_cursor
"""


async def test_every_parameter_that_is_wrong_is_named(ana: Api) -> None:
    for line in PARAMETERS.strip().splitlines():
        path, *expected = line.split()
        errors = (await ana.get(path)).json.get("errors", [])
        assert [f"{error['field']}:{error['code']}" for error in errors] == expected, line
    assert (await ana.get("/v1/events?types=payin.paid,+payin.created")).status == 200
    assert (await ana.get("/v1/payins?method=spei&country=MX&currency=MXN")).status == 200


async def test_a_parameter_and_a_value_that_are_nearly_right_hear_what_is(ana: Api) -> None:
    near = {
        "/v1/payins?crated_from=2026-01-01T00:00:00Z": "there is no such parameter; did you mean created_from?",
        "/v1/payins?method=SPEI": "'SPEI' is not known; did you mean spei?",
        "/v1/payins?currency=mxn": "'mxn' is not known; did you mean MXN?",
        "/v1/events?types=payins.paid": "'payins.paid' is not known; did you mean payin.paid?",
        "/v1/payins/x?x=1": "this operation has no parameters",
        "/v1/payins?limit=1000": "at most 100",
        "/v1/payins?limit=abc": "a whole number is needed, and this is a text",
        "/v1/payins?created_from=yesterday": "a time with its zone is needed, as in 2026-11-28T09:30:00Z",
        "/v1/payins?country=ZZ": "'ZZ' is not known",
    }
    for path, detail in near.items():
        assert [error["detail"] for error in (await ana.get(path)).json["errors"]] == [detail], path


async def test_a_state_that_is_none_hears_which_there_are(ana: Api) -> None:
    [error] = (await ana.get("/v1/payins?status=payed")).json["errors"]
    assert error["detail"].startswith("one of submitting, ") and error["detail"].endswith("; did you mean paid?")


async def test_a_body_where_none_belongs_is_named(ana: Api) -> None:
    made = (await ana.create()).json
    answered = await ana.post(f"/v1/payins/{made['id']}/cancellations", {"reason": "x"})
    assert (answered.status, answered.fields) == (422, {"": "unexpected"})


async def test_an_operators_wrong_parameters_are_named_too(ana: Api) -> None:
    olga = await ana.operator()
    asked = {
        "/v1/operator/merchants?before=x": {"?before": "invalid_cursor"},
        "/v1/operator/merchants?after=x&before=x": {"?before": "contradiction"},
        "/v1/operator/deposits?after=x": {"?after": "invalid_cursor"},
        "/v1/operator/deposits?unapplied=false": {"?merchant": "missing"},
        "/v1/operator/audit?sinse=x": {"?sinse": "unknown_field"},
        "/v1/operator/merchants/mer_x?x=1": {"?x": "unknown_field"},
    }
    for path, expected in asked.items():
        answered = await ana.get(path, key=olga)
        assert (answered.status, answered.fields) == (422, expected), path


async def test_health_needs_no_key(ana: Api) -> None:
    for path in ("/livez", "/readyz", "/openapi.json"):
        assert (await ana.get(path, key="")).status == 200


async def test_a_shard_whose_time_is_ahead_is_told_and_goes_on(ana: Api, context: Context) -> None:
    healthy = (await ana.get("/readyz", key="")).json
    assert (healthy["status"], healthy["reasons"]) == ("ok", [])
    await context.rows("update shard set last_at = now() + interval '3 days 2 seconds' where id = 0 returning 1")
    answered = await ana.get("/readyz", key="")
    assert answered.status == 200
    assert answered.json["reasons"] == ["the time of shard 0 is ahead of the database's clock by 3 days 00:00:01"]
    assert (await ana.create()).status == 201


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


async def test_a_defect_behind_a_key_may_have_had_its_effect(ana: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("the secret reason")

    monkeypatch.setattr(Context, "commit", broken)
    answered = await ana.post("/v1/payins", BODY)
    assert (answered.status, answered.code, answered.json["retry"]) == (500, "unknown_outcome", "same_key")
    assert b"secret" not in answered.body


# traceparent, and what the log says of it
TRACES = {
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
    "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-later": (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "00f067aa0ba902b7",
    ),
    "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01": None,
    "00-00000000000000000000000000000000-00f067aa0ba902b7-01": None,
    "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": None,
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01": None,
    "00-4bf9-00f0-01": None,
    "\xff": None,
    "": None,
}


async def test_a_log_line_names_the_request_and_the_callers_trace(
    ana: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(Context, "_read", broken)
    for given, trace in TRACES.items():
        caplog.clear()
        headers = {"traceparent": given, "request-id": "mine-7"}
        answered = await ana.get("/v1/payins", key="sk_test_" + "A" * 43, headers=headers)
        assert answered.status == 500
        said = [record.__dict__ for record in caplog.records if record.name == "caudal.app.web"]
        expected = ("mine-7", *(trace or (None, None)))
        assert [(one["request_id"], one.get("trace_id"), one.get("parent_id")) for one in said] == [expected], given
