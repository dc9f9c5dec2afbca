"""POST /v1/payins: what a merchant gets, and what is refused; nothing that is refused is written."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caudal.connectors import spei
from caudal.kernel.context import Context
from tests.conftest import settings_of
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import DAY_S, Merchant

CURP, RFC = "BOXW310820HNERXN09", "GODE561231GR8"

# The change of a right body (`-` leaves a field out), then each error as field:code
REFUSED = """
amount=-                                    /amount:missing
amount=0                                    /amount:amount_out_of_range
amount=-1                                   /amount:amount_out_of_range
amount=799                                  /amount:amount_out_of_range
amount=40000001                             /amount:amount_out_of_range
amount=9223372036854775808                  /amount:amount_out_of_range
amount=1e3                                  /amount:invalid_type
amount=120.5                                /amount:invalid_type
amount="10000"                              /amount:invalid_type
amount=null                                 /amount:invalid_type
amount=true                                 /amount:invalid_type
amount={"value":1}                          /amount:invalid_type
currency=-                                  /currency:missing
currency="BRL"                              /currency:wrong_currency
currency="mxn"                              /currency:wrong_currency
currency="XTS"                              /currency:wrong_currency
currency=""                                 /currency:wrong_currency
currency=484                                /currency:invalid_type
country=-                                   /country:missing
country="AR"                                /method:unknown_method
country="XX"                                /country:unknown_country
country="mx"                                /country:unknown_country
method=-                                    /method:missing
method="oxxo"                               /method:unknown_method
method="SPEI"                               /method:unknown_method
method=["spei"]                             /method:invalid_type
capture="manual"                            /capture:not_supported
capture="perhaps"                           /capture:invalid_value
three_ds="demanded"                         /three_ds:not_supported
reference=""                                /reference:invalid_length
reference="{121}"                           /reference:invalid_length
reference=7                                 /reference:invalid_type
reference="a\\u0000b"                       /reference:invalid_text
description="{501}"                         /description:invalid_length
return_url="x"                              /return_url:invalid_url
return_url="javascript:alert(1)"            /return_url:invalid_url
return_url="https://a.mx/{2001}"            /return_url:invalid_url
expires_at="2020-01-01T00:00:00Z"           /expires_at:in_the_past
expires_at="9999-12-31T23:59:59-23:59"      /expires_at:too_far
expires_at="0001-01-01T00:00:00+23:59"      /expires_at:in_the_past
expires_at="2099-01-01T00:00:00"            /expires_at:invalid_value
expires_at="tomorrow"                       /expires_at:invalid_value
expires_at=1795000000                       /expires_at:invalid_type
metadata=[]                                 /metadata:invalid_type
metadata={"a":1}                            /metadata/a:invalid_type
metadata={"":"x"}                           /metadata/:invalid_length
metadata={"{41}":"x"}                       /metadata/{41}:invalid_length
metadata={"a":"{501}"}                      /metadata/a:invalid_length
metadata={"a":"\\u0000"}                   /metadata/a:invalid_text
metadata={"a":"x","b":"y","a":"x"}          /metadata/a:repeated
metadata={51}                               /metadata:too_many
payer="Ana"                                 /payer:invalid_type
payer={"nombre":"Ana"}                      /payer/nombre:unknown_field
payer={"name":""}                           /payer/name:invalid_length
payer={"name":"{201}"}                      /payer/name:invalid_length
payer={"name":"a","name":"b"}               /payer/name:repeated
payer={"name":1}                            /payer/name:invalid_type
payer={"email":"ana"}                       /payer/email:invalid_email
payer={"email":"ana@localhost"}             /payer/email:invalid_email
payer={"email":"a@b@c.mx"}                  /payer/email:invalid_email
payer={"phone":"5512345678"}                /payer/phone:invalid_phone
payer={"phone":"+0123456789"}               /payer/phone:invalid_phone
payer={"document":"BOXW310820HNERXN08"}     /payer/document:invalid_document
payer={"document":"GODE561331GR8"}          /payer/document:invalid_document
payer={"document":"GODE561231"}             /payer/document:invalid_document
payer={"document":"x"}                      /payer/document:invalid_document
payer={"address":{"street":"{251}"}}        /payer/address:invalid_length
payer={"address":"Reforma 1"}               /payer/address:invalid_type
instrument={"id":"x"}                       /instrument/id:not_supported
amuont=1                                    /amuont:unknown_field
"""


def sized(text: str) -> str:
    """`{201}` stands for 201 letters, `{51}` alone for an object with 51 keys."""
    if text == "{51}":
        return json.dumps({f"k{i}": "x" for i in range(51)})
    for length in (41, 121, 201, 251, 501, 2001):
        text = text.replace(f"{{{length}}}", "x" * length)
    return text


def body(changes: dict[str, str] | None = None) -> bytes:
    """A right body with some fields' JSON changed."""
    fields = {"amount": "10000", "currency": '"MXN"', "country": '"MX"', "method": '"spei"', **(changes or {})}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in fields.items() if value != "-") + "}").encode()


NOT_JSON = [
    b"{",
    b"amount=10000&currency=MXN",
    b"\xff",
    b'{"amount": 1,}',
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    body({"reference": '"\\ud800"'}),
    body({"reference": '"a\x00"'}),
    body({"amount": "NaN"}),
    body()[:-1],
    body() * 2,
]


async def written(context: Context) -> list[tuple[Any, ...]]:
    """How many keys, payins, events and batches there are."""
    query = "select (select count(*) from key), (select count(*) from payin), (select count(*) from event)"
    return await context.rows(query)


# What a merchant gets


async def test_a_payin_is_pending_at_once_and_says_where_to_pay(ana: Merchant) -> None:
    made = await ana.payin(reference="order 7", payer={"name": "Ana Pérez"}, metadata={"cart": "7"})
    id, clabe = made.pop("id"), made["next_action"]["clabe"]
    created, expires = made.pop("created_at"), made.pop("expires_at")
    assert made == {
        "object": "payin",
        "mode": "test",
        "status": "pending",
        "status_reason": None,
        "amount": 10_000,
        "currency": "MXN",
        "country": "MX",
        "method": "spei",
        "provider": None,
        "instrument": None,
        "capture": "automatic",
        **{f"amount_{name}": 0 for name in ("authorized", "captured", "received", "refunded", "disputed")},
        "fees": 0,
        "fee_plan": 1,
        "reference": "order 7",
        "description": None,
        "metadata": {"cart": "7"},
        "return_url": None,
        "next_action": {
            "type": "show_bank_details",
            "clabe": clabe,
            "beneficiary": "caudal",
            "amount": 10_000,
            "currency": "MXN",
            "expires_at": expires,
            "payer_page": None,
        },
        "dispute": None,
        "paid_at": None,
        "available_on": None,
    }
    assert id.startswith("payin_") and spei.number_of("646180", clabe) is not None
    assert datetime.fromisoformat(expires) - datetime.fromisoformat(created) == timedelta(days=3)


async def test_every_payin_has_a_clabe_of_its_own_with_a_right_check_digit(ana: Merchant) -> None:
    made = await asyncio.gather(*(ana.payin() for _ in range(300)))
    clabes = {payin["next_action"]["clabe"] for payin in made}
    assert len(clabes) == 300
    assert all(spei.number_of("646180", clabe) is not None for clabe in clabes)


async def test_a_number_that_comes_round_is_given_out_again_only_when_its_payin_has_ended(
    ana: Merchant, context: Context
) -> None:
    first = await ana.payin()
    [(seq,)] = await rows(context, "select event_seq from shard where id = 0")

    async def come_round() -> None:
        await rows(context, "update shard set event_seq = %s where id = 0 returning id", seq - 1 + 5 * 10**10)

    await come_round()
    assert (await ana.create("k")).status == 500
    owner = "select count(*) from deposit_account where payin = %s::uuid"
    assert await rows(context, owner, first["id"].removeprefix("payin_")) == [(1,)]
    assert await rows(context, "select count(*) from payin") == [(1,)]
    await rows(context, "update shard set event_seq = %s where id = 0 returning id", seq)
    await ana.cancel(first)
    await come_round()
    second = await ana.payin()
    assert second["next_action"]["clabe"] == first["next_action"]["clabe"]
    await ana.paid(second)
    assert ((await ana.seen(first))["status"], (await ana.seen(second))["status"]) == ("cancelled", "paid")


async def test_the_answer_is_what_get_shows_but_for_the_payer(ana: Merchant) -> None:
    payer = {"name": "Ana Pérez", "email": "ana@example.com", "document": CURP.lower(), "phone": "+525512345678"}
    made = await ana.payin(payer={**payer, "address": {"street": "Reforma 1"}})
    seen = await ana.seen(made)
    assert seen.pop("payer") == {**payer, "document": CURP, "address": {"street": "Reforma 1"}}
    assert seen == made


async def test_limits_are_inside(ana: Merchant) -> None:
    for amount in (800, 40_000_000):
        assert (await ana.payin(amount=amount))["amount"] == amount
    for document in (CURP, RFC):
        await ana.payin(payer={"document": document})
    await ana.payin(reference="r" * 120, description="d" * 500, metadata={f"{i:040}": "v" * 500 for i in range(50)})


async def test_the_merchant_may_name_the_expiry(ana: Merchant) -> None:
    for days in (1, 29):
        at = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=123456)
        made = await ana.payin(expires_at=at.isoformat())
        assert datetime.fromisoformat(made["expires_at"]) == at
    made = await ana.payin(expires_at=at.astimezone().isoformat())
    assert made["expires_at"] == at.isoformat(timespec="microseconds")[:26] + "Z"


async def test_the_payer_is_sealed_and_in_no_event_and_no_stored_answer(ana: Merchant, context: Context) -> None:
    await ana.payin(payer={"name": "Zacarías", "email": "zacarias@example.com", "document": CURP})
    for text in (b"zacarias", "Zacarías".encode(), CURP.encode()):
        for table in ("key k", "event k", "payer k", "payin k", "payin_search k"):
            query = f"select count(*) from {table} where position(%s in convert_to(k::text, 'UTF8')) > 0"
            assert await rows(context, query, text) == [(0,)], table
            hexed = text.hex().encode()
            assert await rows(context, query, hexed) == [(0,)], table


# What is refused


async def test_every_refusal_names_the_field_and_why(ana: Merchant, context: Context) -> None:
    before = await written(context)
    wrong = []
    for line in REFUSED.strip().splitlines():
        change, *expected = map(sized, line.rsplit(maxsplit=1))
        name, _, value = change.strip().partition("=")
        raw = body({name: sized(value.replace("\\\\", "\\"))})
        answered = await ana.post("/v1/payins", raw)
        found = [f"{field}:{code}" for field, code in answered.fields.items()]
        if (answered.status, answered.code, found) != (422, "invalid_request", expected):
            wrong.append(f"{line}\n    {answered.status} {answered.body.decode()[:300]}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert await written(context) == before


async def test_all_errors_come_at_once(ana: Merchant) -> None:
    raw = body({"amount": "1", "return_url": '"x"', "reference": '""', "payer": '{"email":"x","document":"x"}'})
    answered = await ana.post("/v1/payins", raw)
    assert answered.fields == {
        "/amount": "amount_out_of_range",
        "/reference": "invalid_length",
        "/return_url": "invalid_url",
        "/payer/email": "invalid_email",
        "/payer/document": "invalid_document",
    }
    raw = body({"amount": '"1"', "currency": "-", "refrence": '"x"', "payer": '{"emial":"x"}'})
    answered = await ana.post("/v1/payins", raw)
    assert answered.fields == {
        "/refrence": "unknown_field",
        "/amount": "invalid_type",
        "/currency": "missing",
        "/payer/emial": "unknown_field",
    }


async def test_a_field_of_a_wrong_type_hides_no_wrong_value_of_another(ana: Merchant) -> None:
    raw = body({"amount": '"x"', "currency": '"BRL"', "metadata": '{"":"x"}', "payer": '{"email":"x","name":7}'})
    assert (await ana.post("/v1/payins", raw)).fields == {
        "/amount": "invalid_type",
        "/payer/name": "invalid_type",
        "/currency": "wrong_currency",
        "/metadata/": "invalid_length",
        "/payer/email": "invalid_email",
    }
    raw = body(
        {"amount": "0", "currency": '"x"', "country": "-", "method": '"pxi"', "expires_at": '"2020-01-01T00:00Z"'}
    )
    assert (await ana.post("/v1/payins", raw)).fields == {
        "/country": "missing",
        "/expires_at": "invalid_value",
        "/method": "unknown_method",
        "/currency": "unknown_currency",
        "/amount": "amount_out_of_range",
    }


async def test_a_wrong_currency_hides_no_wrong_amount_and_a_wrong_country_no_wrong_method(ana: Merchant) -> None:
    raw = body({"amount": "1", "currency": '"BRL"'})
    assert (await ana.post("/v1/payins", raw)).fields == {
        "/currency": "wrong_currency",
        "/amount": "amount_out_of_range",
    }
    raw = body({"country": '"XX"', "method": '"spie"'})
    answered = await ana.post("/v1/payins", raw)
    assert answered.fields == {"/country": "unknown_country", "/method": "unknown_method"}
    assert answered.json["errors"][1]["detail"] == "did you mean spei?"


async def test_an_unknown_field_gets_the_nearest_name(ana: Merchant) -> None:
    answered = await ana.post("/v1/payins", body({"refrence": '"x"', "payer": '{"emial":"x"}'}))
    details = {error["field"]: error["detail"] for error in answered.json["errors"]}
    assert details["/refrence"].endswith("did you mean reference?")
    assert details["/payer/emial"].endswith("did you mean email?")


DETAILS = """
{"country":"mx"}                         /country       did you mean MX?
{"country":"BR","currency":"BRL"}        /method        spei is offered in MX; methods in BR: boleto, card, pix
{"card":"4111"}                          /card          there is no such field
{"expires_at":"2999-01-01T00:00:00Z"}    /expires_at    SPEI waits at most 30 days
{"expires_at":"tomorrow"}                /expires_at    a time with its zone is needed
{"metadata":{"ok":"1","bad":{},"b/d":5}} /metadata/bad  a text is needed, and this is an object
{"metadata":{"ok":"1","bad":{},"b/d":5}} /metadata/b~1d a text is needed, and this is a whole number
{"metadata":{"":"x"}}                    /metadata/     a key has 1 to 40 characters
"""


@pytest.mark.parametrize("line", DETAILS.strip().splitlines())
async def test_what_is_wrong_with_a_field_is_said_for_people(ana: Merchant, line: str) -> None:
    asked, field, said = line.split(maxsplit=2)
    answered = await ana.create(**json.loads(asked))
    details = {error["field"]: error["detail"] for error in answered.json["errors"]}
    assert said in details[field] and "Expected" not in str(details), details
    assert field != "/card" or details[field] == said


async def test_a_problem_has_everything_that_rfc_9457_and_a_program_need(ana: Merchant) -> None:
    answered = await ana.post("/v1/payins", body({"amount": "1"}), headers={"request-id": "mine-7"})
    problem = answered.json
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers["request-id"] == problem["request_id"] == "mine-7"
    assert problem["type"] == "/docs/errors#invalid_request" and problem["status"] == 422
    assert (problem["retry"], set(problem)) == (
        "no",
        {"type", "title", "status", "detail", "code", "errors", "retry", "request_id"},
    )


async def test_what_is_not_json_is_a_400(ana: Merchant, context: Context) -> None:
    before = await written(context)
    for raw in NOT_JSON:
        answered = await ana.post("/v1/payins", raw)
        assert (answered.status, answered.code) == (400, "malformed_json"), raw[:80]
    assert await written(context) == before


async def test_json_that_is_no_object_is_refused(ana: Merchant) -> None:
    for raw in (b"[]", b'"x"', b"null", b"7", b"[" * 500 + b"]" * 500):
        answered = await ana.post("/v1/payins", raw)
        assert (answered.status, answered.code) == (422, "invalid_request"), raw[:20]


async def test_no_body_is_a_400(ana: Merchant) -> None:
    answered = await ana.post("/v1/payins")
    assert (answered.status, answered.code) == (400, "malformed_json")


async def test_a_merchant_without_a_price_for_the_method_is_told_so(ana: Merchant) -> None:
    made = await ana.post("/v1/operator/merchants", {"name": "Free", "country": "MX", "fee_plan": []}, key=ana.olga)
    path = f"/v1/operator/merchants/{made.json['id']}/keys"
    key = await ana.post(path, {"mode": "test", "name": "first"}, key=ana.olga)
    answered = await ana.post("/v1/payins", body(), key=key.json["secret"])
    assert (answered.status, answered.fields) == (422, {"/method": "no_fee_plan"})


async def test_a_repetition_finds_its_answer_though_the_price_is_gone(ana: Merchant, database_url: str) -> None:
    first = await ana.create("k")
    priced = {"family": "card", "currency": "BRL", "fixed_minor": 0, "basis_points": 0}
    changed = await ana.post(ana.path + "/fee_plans", {"fee_plan": [priced]}, key=ana.olga)
    assert changed.status == 201, changed.body
    async with Context(settings_of(database_url), name="another") as context:  # it remembers no price of before
        again = Merchant(context, ana.merchant, ana.key, ana.olga)
        assert (await again.create("other")).fields == {"/method": "no_fee_plan"}
        repeated = await again.create("k")
        assert (repeated.status, repeated.body) == (201, first.body)
        assert (await again.create("k", amount=10_001)).code == "key_reused"


async def test_an_expiry_that_the_batch_finds_past_is_refused_and_not_stored(ana: Merchant, context: Context) -> None:
    made = await ana.payin()
    await ana.advance(DAY_S)
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    before = await written(context)
    answered = await ana.create("k", expires_at=at)
    assert (answered.status, answered.fields) == (422, {"/expires_at": "in_the_past"})
    assert await written(context) == before
    assert (await ana.create("k")).status == 201
    assert (await ana.seen(made))["status"] == "pending"
    await assert_in_order(context)
