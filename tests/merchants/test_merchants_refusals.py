"""Every refusal of every operator route, one row each."""

from __future__ import annotations

from caudal.kernel.context import Context
from tests.merchants.cast import Cast, Desk

MERCHANTS = "/v1/operator/merchants"
NOBODY = "mer_" + "0" * 32
NO_KEY = "key_" + "0" * 32
LINE = {"family": "instant_transfer", "currency": "MXN"}

# method, path ({mer}: Ana's), body that is right
ROUTES: list[tuple[str, str, object]] = [
    ("POST", MERCHANTS, {"name": "Beto", "country": "MX"}),
    ("GET", MERCHANTS, None),
    ("GET", MERCHANTS + "/{mer}", None),
    ("POST", MERCHANTS + "/{mer}/fee_plans", {"fee_plan": [LINE]}),
    ("POST", MERCHANTS + "/{mer}/settings", {"late_payments": "unapplied"}),
    ("POST", MERCHANTS + "/{mer}/keys", {"mode": "test"}),
    ("GET", MERCHANTS + "/{mer}/keys", None),
    ("POST", f"/v1/operator/keys/{NO_KEY}/rotations", {"overlap_s": 0}),
    ("POST", f"/v1/operator/keys/{NO_KEY}/revocations", None),
    ("GET", "/v1/operator/audit", None),
]
POSTS = [row for row in ROUTES if row[0] == "POST"]
OF_NOBODY = [(method, path.replace("{mer}", NOBODY), body) for method, path, body in ROUTES if "{mer}" in path]
NOT_FOUND = [*OF_NOBODY, *(row for row in ROUTES if "/keys/key_" in row[1])]
LISTS = [row[1] for row in ROUTES if row[0] == "GET" and not row[1].endswith("{mer}")]


async def test_only_an_operator_may_ask(context: Context, ana: Cast) -> None:
    for method, path, body in ROUTES:
        for key in (None, ana.key, "op_" + "A" * 43, "nonsense"):
            reply = await Desk(context, key).ask(method, path.replace("{mer}", ana.id), body, {"idempotency_key": "x"})
            assert (reply.status, reply.code) == (401, "unauthenticated"), (path, key)
            assert reply.headers[b"www-authenticate"].startswith(b"Bearer")


async def test_a_change_needs_an_idempotency_key(olga: Desk, ana: Cast) -> None:
    for method, path, body in POSTS:
        reply = await olga.ask(method, path.replace("{mer}", ana.id), body, {})
        assert (reply.status, reply.code) == (400, "key_missing"), path


async def test_what_is_not_there_is_not_found(olga: Desk) -> None:
    for method, path, body in NOT_FOUND:
        for there in (path, path.replace("0" * 32, "F" * 32), path.replace("0" * 32, "0" * 31)):
            reply = await olga.ask(method, there, body, {"idempotency_key": "x"})
            assert (reply.status, reply.code) == (404, "not_found"), there


UNREADABLE = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b"[]", 422, "invalid_request"),
    (b"{}", 422, "invalid_request"),
    (b'{"name": "a\\u0000b", "country": "MX"}', 422, "invalid_request"),
]


async def test_bodies_that_cannot_be_read(olga: Desk, ana: Cast) -> None:
    for _, path, body in POSTS:
        for raw, status, code in UNREADABLE if body else ():
            reply = await olga.post(path.replace("{mer}", ana.id), raw)
            assert (reply.status, reply.code) == (status, code), (path, raw)


WRONG: list[tuple[str, object, dict[str, str]]] = [
    (MERCHANTS, {}, {"/name": "missing", "/country": "missing"}),
    (MERCHANTS, {"name": " ", "country": "mx"}, {"/name": "invalid_length", "/country": "unknown_country"}),
    (MERCHANTS, {"name": "a" * 101, "country": "XX"}, {"/name": "invalid_length", "/country": "unknown_country"}),
    (MERCHANTS, {"name": 1, "country": None}, {"/name": "invalid_type", "/country": "invalid_type"}),
    (
        MERCHANTS,
        {"name": "", "contry": "MX", "late_payments": "maybe"},
        {
            "/contry": "unknown_field",
            "/country": "missing",
            "/late_payments": "invalid_value",
            "/name": "invalid_length",
        },
    ),
    (
        MERCHANTS + "/{mer}/fee_plans",
        {"fee_plan": [{"family": "barter", "currency": "QQQ", "fixed_minor": -1, "basis_points": 10_001}]},
        {
            "/fee_plan/0/family": "unknown_family",
            "/fee_plan/0/currency": "unknown_currency",
            "/fee_plan/0/fixed_minor": "out_of_range",
            "/fee_plan/0/basis_points": "out_of_range",
        },
    ),
    (
        MERCHANTS + "/{mer}/fee_plans",
        {"fee_plan": [LINE, LINE, {**LINE, "currency": "USD", "fixed_minor": 1.5}, 7]},
        {"/fee_plan/1": "repeated", "/fee_plan/2/fixed_minor": "invalid_type", "/fee_plan/3": "invalid_type"},
    ),
    (MERCHANTS + "/{mer}/fee_plans", {"fee_plan": [LINE] * 201}, {"/fee_plan": "too_many"}),
    (
        MERCHANTS + "/{mer}/fee_plans",
        {"fee_plan": [{**LINE, "refund_fixed_minor": -1, "dispute_fixed_minor": 10**16, "settlement_days": 91}]},
        {
            "/fee_plan/0/refund_fixed_minor": "out_of_range",
            "/fee_plan/0/dispute_fixed_minor": "out_of_range",
            "/fee_plan/0/settlement_days": "out_of_range",
        },
    ),
    (MERCHANTS + "/{mer}/settings", {"late_payments": True}, {"/late_payments": "invalid_type"}),
    (MERCHANTS + "/{mer}/settings", {"refunds_beyond_balance": "maybe"}, {"/refunds_beyond_balance": "invalid_value"}),
    (MERCHANTS + "/{mer}/settings", {}, {"/late_payments": "missing"}),
    (MERCHANTS + "/{mer}/settings", {"late_payments": None}, {"/late_payments": "invalid_type"}),
    (
        MERCHANTS + "/{mer}/keys",
        {"mode": "both", "name": "", "scopes": ["payins:read", "payins:read", "payin:write"]},
        {
            "/mode": "invalid_value",
            "/name": "invalid_length",
            "/scopes/1": "repeated",
            "/scopes/2": "unknown_scope",
        },
    ),
    (MERCHANTS + "/{mer}/keys", {"mode": "test", "scopes": []}, {"/scopes": "missing"}),
    (f"/v1/operator/keys/{NO_KEY}/rotations", {"overlap_s": 604_801}, {"/overlap_s": "out_of_range"}),
    (f"/v1/operator/keys/{NO_KEY}/rotations", {"overlap_s": -1}, {"/overlap_s": "out_of_range"}),
]


async def test_every_wrong_field_is_named(olga: Desk, ana: Cast) -> None:
    for path, body, wrong in WRONG:
        reply = await olga.post(path.replace("{mer}", ana.id), body)
        assert (reply.status, reply.code, reply.wrong) == (422, "invalid_request", wrong), body


async def test_every_wrong_parameter_of_a_list_is_named(olga: Desk, ana: Cast) -> None:
    for path in (path.replace("{mer}", ana.id) for path in LISTS):
        reply = await olga.get(path + "?limit=101&offset=3")
        assert (reply.status, reply.wrong) == (422, {"?limit": "invalid_value", "?offset": "unknown_field"})
        assert (await olga.get(path + "?after=nonsense")).status == 422
        assert (await olga.get(path + "?limit=0")).status == 422


async def test_a_revocation_takes_no_body(olga: Desk) -> None:
    reply = await olga.post(f"/v1/operator/keys/{NO_KEY}/revocations", {"reason": "lost"})
    assert (reply.status, reply.code) == (422, "invalid_request")


async def test_nothing_is_written_by_what_is_refused_at_the_edge(context: Context, olga: Desk) -> None:
    before = await context.row("select (select count(*) from key), (select count(*) from audit)")
    await olga.post(MERCHANTS, {"name": ""})
    await olga.post(f"{MERCHANTS}/{NOBODY}/keys", {"mode": "test"})
    assert await context.row("select (select count(*) from key), (select count(*) from audit)") == before
