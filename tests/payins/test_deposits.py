"""POST /v1/callbacks/spei: what a deposit is for, as docs/money.md has it; who is believed; what counts once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from caudal import ledger
from caudal.connectors import spei
from caudal.kernel.commit.model import Head
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from caudal.payins import store
from caudal.payins.rows import DEPOSITS
from tests.payins.books import assert_in_order, balances, house, postings_of, rows
from tests.payins.cast import WAITS_S, Merchant, key_of

# A payin of 10000 whose fee is 300 + 1 % = 400. What happened before, whether the merchant accepts late money, and the
# deposit; then the payin (status, reason, received), the deposit (reason, unapplied), what the merchant has (pending,
# unapplied), and the deposit's transfers (r received, h held part, f fee, u unapplied).
TREATMENT = """
before       late deposit  | status    reason    got   | reason         left  | earned left  | transfers
-            yes  10000    | paid      -         10000 | -              0     | 9600   0     | r10000 f400
-            yes  10950    | paid      -         10000 | surplus        950   | 9600   950   | r10000 f400 u950
-            yes  9999     | pending   -         9999  | partial        9999  | 0      9999  | u9999
-            yes  1        | pending   -         1     | partial        1     | 0      1     | u1
4000         yes  6000     | paid      -         10000 | -              0     | 9600   0     | h4000 r6000 f400
4000         yes  7000     | paid      -         10000 | surplus        1000  | 9600   1000  | h4000 r6000 f400 u1000
4000         yes  5999     | pending   -         9999  | partial        5999  | 0      9999  | u5999
1,2,3        yes  9994     | paid      -         10000 | -              0     | 9600   0     | h6 r9994 f400
10000        yes  10000    | paid      -         10000 | closed         10000 | 9600   10000 | u10000
10950        yes  1        | paid      -         10000 | closed         1     | 9600   951   | u1
cancel       yes  10000    | cancelled requested 0     | closed         10000 | 0      10000 | u10000
4000,cancel  yes  6000     | cancelled requested 4000  | closed         6000  | 0      10000 | u6000
cancel       no   10000    | cancelled requested 0     | closed         10000 | 0      10000 | u10000
expire       yes  10000    | paid      late      10000 | -              0     | 9600   0     | r10000 f400
expire       yes  10001    | paid      late      10000 | surplus        1     | 9600   1     | r10000 f400 u1
expire       yes  4000     | expired   -         4000  | partial        4000  | 0      4000  | u4000
expire,4000  yes  6000     | paid      late      10000 | -              0     | 9600   0     | h4000 r6000 f400
4000,expire  yes  6000     | paid      late      10000 | -              0     | 9600   0     | h4000 r6000 f400
4000,expire  yes  1000     | expired   underpaid 5000  | partial        1000  | 0      5000  | u1000
4000,expire  yes  7000     | paid      late      10000 | surplus        1000  | 9600   1000  | h4000 r6000 f400 u1000
expire,10000 yes  1        | paid      late      10000 | closed         1     | 9600   1     | u1
expire       no   10000    | expired   -         0     | late           10000 | 0      10000 | u10000
expire       no   1        | expired   -         0     | late           1     | 0      1     | u1
4000,expire  no   6000     | expired   underpaid 4000  | late           6000  | 0      10000 | u6000
10000        no   1        | paid      -         10000 | closed         1     | 9600   1     | u1
-            no   10000    | paid      -         10000 | -              0     | 9600   0     | r10000 f400
-            yes  10000USD | pending   -         0     | wrong_currency 10000 | 0      10000 | u10000
4000         yes  6000USD  | pending   -         4000  | wrong_currency 6000  | 0      10000 | u6000
10000        yes  1USD     | paid      -         10000 | wrong_currency 1     | 9600   1     | u1
cancel       yes  1USD     | cancelled requested 0     | wrong_currency 1     | 0      1     | u1
expire       no   1USD     | expired   -         0     | wrong_currency 1     | 0      1     | u1
lapse        no   10000    | pending   -         0     | late           10000 | 0      10000 | u10000
lapse        no   1        | pending   -         0     | late           1     | 0      1     | u1
lapse        yes  10000    | paid      late      10000 | -              0     | 9600   0     | r10000 f400
"""
POSTINGS = {
    "r": "payin.received bank→pending ",
    "h": "payin.held_applied unapplied→pending ",
    "f": "payin.fee pending→fees ",
    "u": "deposit.unapplied bank→unapplied ",
}


async def scene(ana: Merchant, before: str, late: str) -> dict[str, Any]:
    """A payin to which these things have happened."""
    payin = await ana.payin()
    for step in before.strip("-").split(","):
        if step == "expire":
            await ana.advance()
        elif step == "lapse":  # its time is over, and nobody has come yet to let it expire
            book = "(select book from payin where id = %s::uuid)"
            query = "update book set clock_offset_s = %s where book = " + book + " returning 1"
            assert await rows(ana.context, query, WAITS_S + 1, key_of(payin)) == [(1,)]
        elif step == "cancel":
            assert (await ana.cancel(payin)).status == 200
        elif step:
            await ana.paid(payin, int(step))
    await ana.settings("accept" if late == "yes" else "unapplied")
    return payin


async def outcome(ana: Merchant, payin: dict[str, Any], deposit: str) -> list[str]:
    """Everything that a row of the table says behind its first bar."""
    seen, held = await ana.seen(payin), await balances(ana)
    query = "select coalesce(reason, '-'), unapplied_minor from deposit where id = %s::uuid"
    [(why, unapplied)] = await rows(ana.context, query, deposit.removeprefix("dep_"))
    reason = (seen["status_reason"] or "-").removesuffix("_by_merchant")
    sums = [sum(of.get(name, 0) for of in held.values()) for name in ("pending", "unapplied")]
    return [seen["status"], reason, str(seen["amount_received"]), why, str(unapplied), *map(str, sums)]


async def test_what_a_deposit_is_for(ana: Merchant, context: Context) -> None:
    wrong = []
    for line in TREATMENT.strip().splitlines()[1:]:
        asked, *expected = (cells.split() for cells in line.split("|"))
        ana.merchant, ana.key = await first_merchant(context, "Ana", "MX")
        payin = await scene(ana, asked[0], asked[1])
        amount, currency = asked[2].removesuffix("USD"), "USD" if asked[2].endswith("USD") else "MXN"
        deposit = await ana.paid(payin, int(amount), currency=currency)
        found = await outcome(ana, payin, deposit)
        posted = await postings_of(context, deposit)
        if found != [cell for cells in expected[:3] for cell in cells] or posted != [
            POSTINGS[t[0]] + t[1:] for t in expected[3]
        ]:
            wrong.append(f"{line}\n    {found} {posted}")
    assert not wrong, "\n" + "\n".join(wrong)
    await assert_in_order(context)


async def test_a_deposit_to_nobodys_account_is_the_houses_until_it_is_returned(ana: Merchant, context: Context) -> None:
    strange = [spei.of_number("646180", 77), spei.of_number("002180", 7), "646180000000000000"]
    for clabe in strange:
        await ana.paid({"next_action": {"clabe": clabe}, "amount": 100})
    assert await house(context, ledger.Purpose.UNAPPLIED) == 300
    assert await rows(context, "select distinct book, payin, reason from deposit") == [(0, None, "unknown_account")]
    assert await balances(ana) == {}
    await assert_in_order(context)


async def test_a_payin_says_when_the_last_of_its_money_came_and_what_it_cost(ana: Merchant) -> None:
    payin = await ana.payin()
    await ana.paid(payin, 4000)
    half = await ana.seen(payin)
    assert (half["next_action"]["amount"], half["fees"], half["paid_at"]) == (6000, 0, None)
    await ana.paid(payin, 6000)
    whole = await ana.seen(payin)
    assert (whole["next_action"], whole["fees"], whole["amount_received"]) == (None, 400, 10_000)
    assert whole["created_at"] < whole["paid_at"] < whole["expires_at"]


async def test_booking_decides_and_when_the_payers_bank_sent_it_is_kept(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    early, late = payin["created_at"], "2099-01-01T06:00:00.5-06:00"
    await ana.advance()
    await ana.paid(payin, 4000, paid_at=early)
    await ana.paid(payin, 6000, paid_at=late)
    assert (await ana.seen(payin))["status_reason"] == "late"
    await ana.settings("unapplied")
    other = await ana.payin()
    await ana.advance()
    deposit = await ana.paid(other, paid_at=other["created_at"])
    assert (await ana.seen(other))["status"] == "expired"
    shown = (await ana.get("/v1/operator/deposits", key=ana.olga)).json["data"]
    assert [(one["id"], one["reason"], one["paid_at"]) for one in shown] == [(deposit, "late", other["created_at"])]
    query = "select paid_at from deposit order by created_at"
    kept = [datetime.fromisoformat(at) for at in (early, late, other["created_at"])]
    assert await rows(context, query) == [(at,) for at in kept]
    assert (await ana.events(types="deposit.unapplied"))[-1]["data"]["paid_at"] == other["created_at"]
    await assert_in_order(context)


async def test_a_report_without_a_time_is_booked_all_the_same(ana: Merchant, context: Context) -> None:
    await ana.paid(await ana.payin())
    assert await rows(context, "select paid_at from deposit") == [(None,)]


# Given out later


async def test_money_for_a_clabe_that_is_given_out_later_stays_nobodys(ana: Merchant, context: Context) -> None:
    number = spei.number_of("646180", (await ana.payin())["next_action"]["clabe"])
    assert number is not None
    clabe = spei.of_number("646180", number + 4)  # the next payin's: the deposit is an event, too
    early = await ana.deposit(clabe, 10_000, "T1")
    payin = await ana.payin()
    assert payin["next_action"]["clabe"] == clabe
    again = await ana.deposit(clabe, 10_000, "T1")
    assert (again.status, again.body) == (200, early.body)
    assert (await ana.seen(payin))["status"] == "pending"
    assert await house(context, ledger.Purpose.UNAPPLIED) == 10_000
    assert await rows(context, "select payin, reason from deposit") == [(None, "unknown_account")]
    await ana.paid(payin)
    assert (await ana.seen(payin))["status"] == "paid"
    assert await balances(ana) == {"MXN": {"pending": 9600}}
    returned = await ana.post(f"/v1/operator/deposits/{early.json['deposit']}/returns", key=ana.olga)
    assert (returned.status, returned.json["amount_returning"]) == (201, 10_000)
    await assert_in_order(context)


# Counted once


async def test_a_report_that_comes_again_changes_nothing(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    first = await ana.deposit(payin["next_action"]["clabe"], 10_000, "T1")
    for _ in range(3):
        again = await ana.deposit(payin["next_action"]["clabe"], 10_000, "T1")
        assert (again.status, again.body) == (200, first.body)
    assert await rows(context, "select count(*) from deposit") == [(1,)]
    assert await balances(ana) == {"MXN": {"pending": 9600}}


async def test_fifty_reports_of_one_transfer_at_once_are_one_deposit(ana: Merchant, context: Context) -> None:
    clabe = (await ana.payin())["next_action"]["clabe"]
    answered = await asyncio.gather(*(ana.deposit(clabe, 10_000, "T1") for _ in range(50)))
    assert {(one.status, one.body) for one in answered} == {(200, answered[0].body)}
    assert await rows(context, "select count(*) from deposit") == [(1,)]
    await assert_in_order(context)


async def test_another_story_under_a_known_tracking_key_is_a_contradiction(ana: Merchant, context: Context) -> None:
    clabe = (await ana.payin())["next_action"]["clabe"]
    await ana.deposit(clabe, 4000, "T1")
    other = (await ana.payin())["next_action"]["clabe"]
    told = [
        await ana.deposit(clabe, 4001, "T1"),
        await ana.deposit(other, 4000, "T1"),
        await ana.deposit(clabe, 4000, "T1", currency="USD"),
    ]
    told += [await ana.deposit(other, 4000, "T1")]
    assert [(one.status, one.code) for one in told] == [(409, "contradiction")] * 4
    assert await rows(context, "select count(*), sum(amount_minor)::bigint from deposit") == [(1, 4000)]
    odd = [(one["kind"], one["detail"]["account"], one["detail"]["amount_minor"]) for one in await ana.odd()]
    assert odd == [("other_amount", clabe, 4000), ("other_account", other, 4000), ("other_amount", clabe, 4001)]
    assert {(one["provider"], one["detail"]["payer_name"]) for one in await ana.odd()} == {("spei", "")}
    await assert_in_order(context)


async def test_a_transfer_split_by_the_payer_is_put_together_in_any_order(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    await asyncio.gather(*(ana.paid(payin, amount) for amount in (1000, 2000, 3000, 4000)))
    assert (await ana.seen(payin))["status"] == "paid"
    assert await balances(ana) == {"MXN": {"pending": 9600}}
    assert await rows(context, "select distinct applied_minor = amount_minor, reason from deposit") == [(True, None)]
    await assert_in_order(context)


# Who is believed


async def test_what_is_not_signed_by_the_bank_is_not_believed(ana: Merchant, context: Context) -> None:
    clabe, now = (await ana.payin())["next_action"]["clabe"], int(time.time())
    refused = {
        "unsigned": await ana.deposit(clabe, 10_000, signature="-"),
        "malformed": await ana.deposit(clabe, 10_000, signature="t=,v1="),
        "forged": await ana.deposit(clabe, 10_000, secret="a guess"),
        "tampered": await ana.deposit(clabe, 10_000, "T1", raw=b'{"amount":1}'),
        "stale": await ana.deposit(clabe, 10_000, at=now - 301),
        "early": await ana.deposit(clabe, 10_000, at=now + 310),
    }
    assert {name: (one.status, one.code) for name, one in refused.items()} == dict.fromkeys(
        refused, (401, "unauthenticated")
    )
    assert await rows(context, "select count(*) from deposit") == [(0,)]
    assert (await ana.deposit(clabe, 10_000, at=now - 290)).status == 200


@pytest.mark.parametrize("jump_s", [7_200, -7_200])
async def test_a_process_whose_own_clock_jumps_takes_reports_by_the_databases_clock(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch, jump_s: int
) -> None:
    clabe, now = (await ana.payin())["next_action"]["clabe"], time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump_s)
    assert (await ana.deposit(clabe, 10_000, at=int(now))).status == 200
    assert (await ana.deposit(clabe, 10_000, "T2", at=int(now) + jump_s)).status == 401


async def test_the_secret_of_one_mode_never_pays_the_other(ana: Merchant, context: Context) -> None:
    live = await ana.key_of("live")
    body = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
    test, real = await ana.payin(), (await ana.post("/v1/payins", body, key=live)).json
    await ana.paid(test, secret="live secret", tracking="T1")
    await ana.paid(real, tracking="T1")
    assert (await ana.seen(test))["status"] == "pending"
    assert (await ana.get(f"/v1/payins/{real['id']}", key=live)).json["status"] == "pending"
    for live_money in (False, True):
        assert await house(context, ledger.Purpose.UNAPPLIED, live=live_money) == 10_000
    await assert_in_order(context)


async def test_a_report_with_errors_is_a_422_with_every_field(ana: Merchant) -> None:
    raw = b'{"tracking_key":"a b","clabe":"1","amount":0,"payer":"x"}'
    signature = spei.signature("test secret", int(time.time()), raw)
    answered = await ana.deposit("", 1, raw=raw, signature=signature)
    fields = {"/payer": "unknown_field", "/currency": "missing"}
    fields |= dict.fromkeys(("/tracking_key", "/clabe", "/amount"), "invalid_value")
    assert (answered.status, answered.fields) == (422, fields)
    unknown = await ana.deposit(spei.of_number("646180", 7), 100, currency="XTS")
    assert (unknown.status, unknown.fields) == (422, {"/currency": "unknown_currency"})


# What it costs


FEES = """
fixed  points  amount  fee
300    100     10050   401
300    100     10049   400
0      1       5000    1
0      1       4999    0
900    0       800     900
0      10000   800     800
"""


async def test_the_fee_is_the_fixed_part_once_and_a_share_half_up(ana: Merchant, context: Context) -> None:
    before = 0
    for line in FEES.strip().splitlines()[1:]:
        fixed, points, amount, fee = map(int, line.split())
        await ana.price(fixed, points)
        ana.key = await ana.key_of("test")  # the old one remembers the old price for a second
        payin = await ana.payin(amount=amount)
        for part in (amount // 2, amount - amount // 2):
            await ana.paid(payin, part)
        assert (await ana.seen(payin))["fees"] == fee, line
        before += amount - fee
        assert (await balances(ana))["MXN"].get("pending", 0) == before, line
    await assert_in_order(context)


async def test_a_payin_costs_what_it_cost_when_it_was_made(ana: Merchant, context: Context) -> None:
    old = await ana.payin()
    await ana.price(0, 1000)
    await ana.paid(old)
    assert ((await ana.seen(old))["fees"], old["fee_plan"]) == (400, 1)
    fresh = Merchant(context, ana.merchant, await ana.key_of("test"), ana.olga)
    new = await fresh.payin()
    await ana.paid(new)
    assert ((await ana.seen(new))["fees"], new["fee_plan"]) == (1000, 2)
    await assert_in_order(context)


async def test_a_fee_that_is_larger_than_the_payment_says_that_the_balance_went_below_zero(ana: Merchant) -> None:
    await ana.price(1_000, 0)
    payin = await ana.payin(amount=800)
    deposit = await ana.paid(payin)
    assert await balances(ana) == {"MXN": {"available": -200}}, "nothing is pending; it is asked of the rest"
    told = await ana.events()
    assert [event["type"] for event in told] == ["payin.created", "payin.paid", "balance.went_negative"]
    balance = ledger.account_id(told[-1]["data"] and 2, "MXN", ledger.Purpose.AVAILABLE)
    assert told[-1]["subject"] == told[-1]["data"]["id"] and balance
    assert told[-1]["data"]["amount"] == -200 and told[-1]["data"]["cause"] == "payin.fee_available"
    assert deposit
    await ana.paid(await ana.payin(amount=5_000))
    assert await balances(ana) == {"MXN": {"pending": 4_000, "available": -200}}
    assert [event["type"] for event in await ana.events()][3:] == ["payin.created", "payin.paid"], "nothing new is owed"
    await ana.advance()
    assert await balances(ana) == {"MXN": {"available": 3_800}}
    await assert_in_order(ana.context)


async def test_operators_see_the_deposits_of_one_payin(ana: Merchant) -> None:
    payin, other = await ana.payin(), await ana.payin()
    await ana.paid(other)
    first, second, late = [await ana.paid(payin, amount) for amount in (4_000, 6_500, 700)]

    async def seen(**asked: object) -> list[tuple[str, str | None]]:
        query = "".join(f"&{name}={value}" for name, value in asked.items())
        answer = await ana.get(f"/v1/operator/deposits?payin={payin['id']}{query}", key=ana.olga)
        assert answer.status == 200, answer.body
        return [(one["id"], one["reason"]) for one in answer.json["data"]]

    assert await seen(unapplied="false") == [(late, "closed"), (second, "surplus"), (first, None)]
    assert await seen() == [(late, "closed"), (second, "surplus")], "what is left over"
    path = f"/v1/operator/deposits?payin={payin['id']}&unapplied=false&limit=2"
    page = (await ana.get(path, key=ana.olga)).json
    rest = (await ana.get(f"{path}&after={page['next']}", key=ana.olga)).json
    assert [one["id"] for one in page["data"] + rest["data"]] == [late, second, first] and not rest["has_more"]
    whole = (await ana.get(f"/v1/operator/deposits?payin={other['id']}&unapplied=false", key=ana.olga)).json["data"]
    assert [(one["payin"], one["reason"]) for one in whole] == [(other["id"], None)]


async def test_deposits_of_a_payin_that_cannot_be_named_so(ana: Merchant) -> None:
    payin = await ana.payin()
    path, unknown = "/v1/operator/deposits?payin=", "payin_" + "0" * 32
    assert (await ana.get(path + unknown, key=ana.olga)).json == {"data": [], "has_more": False, "next": None}
    both = await ana.get(f"{path}{payin['id']}&merchant=house", key=ana.olga)
    assert (both.status, both.fields) == (422, {"?merchant": "contradiction"})
    assert (await ana.get(path + payin["id"])).status == 401


async def test_a_return_that_is_asked_for_as_the_money_comes_is_kept_whole(ana: Merchant, context: Context) -> None:
    known = await store.deposit(context, 0, UUID(hex=(await ana.paid(await ana.payin()))[4:]))
    assert known is not None and known.version == 1
    at = datetime(2026, 11, 27, 10, tzinfo=UTC)
    head = Head(shard=0, event_seq=0, posting_seq=0, chain=b"", at=at, clock=at)
    for asked in ({"destination": b"sealed"}, {"sent_until": at}, {}):
        new = msgspec.structs.replace(known, id=uuid4(), **asked)
        for query, parameters in DEPOSITS.inserting(head, [new]):
            await context.rows(query, tuple(parameters))
        assert await store.deposit(context, 0, new.id) == new
