"""Cards come in, are shown without their number, and are erased; nobody sees another's."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest

from caudal.kernel.context import Context
from caudal.vault.envelope import Opened
from tests.payins.books import wrong_in
from tests.vault.cast import AMEX, CARD, VISA, Keeper

INSTRUMENTS = "/v1/instruments"
NOBODYS = "instr_01a207d8f3a07b1480000150c29e6d07"


async def test_a_card_is_kept_and_shown_without_its_number(ana: Keeper) -> None:
    answered = await ana.keep(country="BR")
    assert answered.status == 201
    made = answered.json
    assert made["id"].startswith("instr_") and made["object"] == "instrument"
    assert (made["mode"], made["type"], made["status"], made["country"]) == ("test", "card", "active", "BR")
    assert made["created_at"] and made["deleted_at"] is None
    shown = {"brand": "visa", "bin": "41111111", "last4": "1111", "expiry_month": 12, "expiry_year": 2040}
    assert made["card"] == shown


async def test_the_holder_is_shown_to_whoever_asks_for_the_card_and_stored_nowhere_else(ana: Keeper) -> None:
    answered = await ana.keep("once", holder_name="  María José  ")
    assert b"Mar" not in answered.body
    seen = await ana.get(f"{INSTRUMENTS}/{answered.json['id']}")
    assert seen.status == 200 and seen.json["card"]["holder_name"] == "María José"
    assert {**seen.json["card"], "holder_name": ...} == {**answered.json["card"], "holder_name": ...}
    [event] = [e for e in (await ana.get("/v1/events")).json["data"] if e["type"].startswith("instrument")]
    assert "holder_name" not in event["data"]["card"]


async def test_an_event_tells_what_the_answer_tells(ana: Keeper) -> None:
    made = await ana.kept()
    erased = (await ana.erase(made["id"])).json
    events = (await ana.get("/v1/events?types=instrument.created,instrument.deleted")).json["data"]
    assert [(e["type"], e["subject"], e["data"]) for e in events] == [
        ("instrument.created", made["id"], made),
        ("instrument.deleted", made["id"], erased),
    ]


async def test_a_repeated_request_keeps_one_card(ana: Keeper) -> None:
    first, second = await ana.keep("k1"), await ana.keep("k1")
    assert first.body == second.body and second.headers["idempotent-replayed"] == "true"
    reused = await ana.keep("k1", security_code="321")
    assert (reused.status, reused.code) == (422, "key_reused")
    assert (await ana.context.rows("select count(*) from instrument")) == [(1,)]


async def test_a_repetition_finds_its_answer_though_the_card_has_expired(
    ana: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await ana.keep("k1")
    monkeypatch.setattr("caudal.vault.http.wall_clock", lambda: datetime(2041, 2, 1, tzinfo=UTC))
    repeated = await ana.keep("k1")
    assert (repeated.status, repeated.body) == (201, first.body)
    for key in (None, "k2"):
        assert (await ana.keep(key)).fields == {"/card/expiry_year": "expired_card"}
    assert (await ana.keep("k1", expiry_month=13)).fields == {"/card/expiry_month": "invalid_expiry"}


async def test_without_a_key_each_request_keeps_a_card(ana: Keeper) -> None:
    first, second = await ana.kept(), await ana.kept()
    assert first["id"] != second["id"]


async def test_nothing_shown_or_kept_tells_whether_two_numbers_are_the_same(ana: Keeper) -> None:
    one, again = await ana.kept(), await ana.kept()
    rows = [msgspec.structs.asdict(await ana.record(made["id"])) for made in (one, again)]
    same = {name for name in rows[0] if rows[0][name] == rows[1][name] and rows[0][name] is not None}
    clear = {"book", "version", "type", "brand", "bin", "last4", "expiry_month", "expiry_year", "key_id"}
    assert same == clear, "the digits that are shown, and nothing made of the others"


@pytest.mark.parametrize("number, bin", [("675964982648", "67"), (AMEX, "378282"), (VISA, "41111111")])
async def test_a_short_number_shows_less_of_itself(ana: Keeper, number: str, bin: str) -> None:
    assert (await ana.kept(number=number, security_code=...))["card"]["bin"] == bin


async def test_seeing_the_holder_opens_neither_number_nor_code(ana: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await ana.kept()
    for name in ("number", "code"):
        monkeypatch.delattr(Opened, name)
    assert (await ana.get(f"{INSTRUMENTS}/{made['id']}")).json["card"]["holder_name"] == "ANA PEREZ"


async def test_a_card_is_erased_once(ana: Keeper, context: Context, database_url: str) -> None:
    made = await ana.kept()
    erased = await ana.erase(made["id"])
    assert erased.status == 200
    assert erased.json["status"] == "deleted"
    assert erased.json["deleted_at"] is not None and erased.json["card"]["last4"] == "1111"
    record = await ana.record(made["id"])
    gone = (record.sealed, record.wrapped, record.key_id, record.code, record.code_until, record.holder)
    assert gone == (None,) * 6
    seen = await ana.get(f"{INSTRUMENTS}/{made['id']}")
    assert (seen.status, seen.json["card"]["holder_name"]) == (200, None)
    again = await ana.erase(made["id"])
    assert (again.status, again.code) == (409, "forbidden_transition")
    assert await context.rows("select 1 from due") == []
    assert await wrong_in(database_url) == []


async def test_an_erasure_is_repeated_under_its_key(ana: Keeper) -> None:
    made = await ana.kept()
    path = f"{INSTRUMENTS}/{made['id']}/deletions"
    first, second = await ana.post(path, idempotency="e"), await ana.post(path, idempotency="e")
    assert (first.status, first.body) == (second.status, second.body) == (200, first.body)
    refused = [await ana.post(path, idempotency="f") for _ in range(2)]
    assert [answered.status for answered in refused] == [409, 409] and refused[0].body == refused[1].body


async def test_cards_of_others_are_not_there(ana: Keeper, caro: Keeper) -> None:
    made = await ana.kept()
    ana_live = await ana.key_of("live")
    for key in (caro.key, ana_live):
        assert (await ana.get(f"{INSTRUMENTS}/{made['id']}", key=key)).status == 404
        assert (await ana.erase(made["id"], key=key)).status == 404
    for id in (NOBODYS, "x", VISA, "payin_" + "0" * 32):
        assert (await ana.get(f"{INSTRUMENTS}/{id}")).code == "not_found"
        assert (await ana.erase(id)).code == "not_found"
    assert (await ana.record(made["id"])).sealed is not None


async def test_a_key_may_do_what_its_scopes_say(ana: Keeper) -> None:
    made = await ana.kept()
    ana.key = await ana.key_of("test", scopes=("instruments:read",))
    assert (await ana.get(f"{INSTRUMENTS}/{made['id']}")).status == 200
    assert (await ana.keep()).code == "forbidden" and (await ana.erase(made["id"])).code == "forbidden"
    ana.key = await ana.key_of("test", scopes=("instruments:write", "payins:read"))
    assert (await ana.get(f"{INSTRUMENTS}/{made['id']}")).code == "forbidden"
    assert (await ana.keep()).status == 201


# What is asked, and the errors by field
REFUSED = """
number=-                          /card/number:missing
number=4111111111111111           /card/number:invalid_type
number=""                         /card/number:invalid_card_number
number="4111111111111112"         /card/number:invalid_card_number
number="411111111111111"          /card/number:invalid_card_number
number="9999999999999995"         /card/number:invalid_card_number
number="4111x1111y1111z1111"      /card/number:invalid_card_number
number=["4111111111111111"]       /card/number:invalid_type
expiry_month=-                    /card/expiry_month:missing
expiry_month=13                   /card/expiry_month:invalid_expiry
expiry_month=0                    /card/expiry_month:invalid_expiry
expiry_month="12"                 /card/expiry_month:invalid_type
expiry_month=1.5                  /card/expiry_month:invalid_type
expiry_year=2020                  /card/expiry_year:expired_card
expiry_year=20                    /card/expiry_year:expired_card
expiry_year=9999                  /card/expiry_year:invalid_expiry
holder_name=-                     /card/holder_name:missing
holder_name=""                    /card/holder_name:invalid_holder_name
holder_name="4111 1111 1111 1111"  /card/holder_name:invalid_holder_name
security_code="12"                /card/security_code:invalid_security_code
security_code="1234"              /card/security_code:invalid_security_code
security_code=123                 /card/security_code:invalid_type
cvv="123"                         /card/cvv:unknown_field
country="XX"                      /country:unknown_country
country="KE"                      -
country="AR"                      /country:unknown_brand
type="cash"                       /type:invalid_value
type=-                            /type:missing
card=-                            /card:missing
card="4111111111111111"           /card:invalid_type
number="1",expiry_month=13,holder_name="",security_code="x",country="XX"    /card/number:invalid_card_number \
/card/expiry_month:invalid_expiry /card/holder_name:invalid_holder_name /card/security_code:invalid_security_code \
/country:unknown_country
"""


@pytest.mark.parametrize("line", REFUSED.replace("\\\n", "").strip().splitlines())
async def test_every_wrong_field_is_named_and_nothing_is_written(ana: Keeper, line: str) -> None:
    changes, _, wanted = line.partition("  ")
    body: dict[str, object] = {"type": "card", "card": dict(CARD)}
    for change in changes.split(","):
        name, _, text = change.partition("=")
        place = body if name in ("type", "card", "country") else body["card"]
        assert isinstance(place, dict)
        if text == "-":
            del place[name]
        else:
            place[name] = json.loads(text)
    answered = await ana.post(INSTRUMENTS, body, idempotency="refused")
    if wanted.strip() == "-":
        assert answered.status == 201
        return
    assert answered.status == 422, answered.body
    assert answered.fields == dict(one.split(":") for one in wanted.split())
    rows = await ana.context.rows("select 1 from instrument union all select 1 from key where subject is not null")
    assert len(rows) == 0


async def test_a_number_of_another_brand_has_another_security_code(ana: Keeper) -> None:
    assert (await ana.kept(number=AMEX, security_code="1234"))["card"]["bin"] == "378282"
    assert (await ana.keep(number=AMEX, security_code="123")).fields == {"/card/security_code": "invalid_security_code"}
    assert (await ana.kept(security_code=...))["card"]["brand"] == "visa"


async def test_a_revoked_key_keeps_nothing(ana: Keeper) -> None:
    await ana.kept()
    await ana.context.rows("update api_key set revoked_at = now(), version = version + 1 returning 1")
    answered = await ana.keep("late")
    assert (answered.status, answered.code) == (401, "unauthenticated")
    assert (await ana.context.rows("select count(*) from instrument")) == [(1,)]
