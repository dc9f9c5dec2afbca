"""A return that has failed here and was carried out after all: what its provider says of it, what an operator knows.

Each line of TABLE is a deposit as it stands (its return `lost`, `refused` or `returned`; `again`: lost, and asked for
once more; `twice`: that one has gone back), what the provider's callback says of the first order, what it says when it
is asked, what is proposed before and after (closed: it closed by itself), and what is unapplied, on its way back and
returned when that was carried out.
"""

from __future__ import annotations

from typing import Any

import pytest

from caudal.kernel.context import Context
from caudal.ledger import Purpose
from tests.api import Answered
from tests.payins.books import assert_in_order, house, postings_of, rows
from tests.payins.cast import Merchant
from tests.payins.desk import Desk
from tests.payins.test_corrections import corrected, does_what_it_says
from tests.payins.test_late_success import deposits, hours_later
from tests.payins.test_unresolved import tried

WHY = {"reason": "it stands in the provider's statement of 26 November"}

TABLE = """
stands    told       asked      first      then         unapplied returning returned
lost      succeeded  succeeded  ask_again  book_return          0         0    10000
lost      succeeded  unheard    ask_again  closed           10000         0        0
lost      succeeded  pending    ask_again  ask_again        10000         0        0
refused   succeeded  succeeded  ask_again  book_return          0         0    10000
refused   succeeded  failed     ask_again  closed           10000         0        0
returned  failed     failed     ask_again  by_hand              0         0    10000
returned  failed     succeeded  ask_again  closed               0         0    10000
again     succeeded  succeeded  ask_again  by_hand              0     10000        0
twice     succeeded  succeeded  ask_again  by_hand              0         0    10000
"""

CONFIRMED = """
deposit.unapplied provider_receivable→unapplied 10000
deposit.return_requested unapplied→clearing 10000
deposit.return_failed clearing→unapplied 10000
deposit.return_requested unapplied→clearing 10000
deposit.returned clearing→provider_receivable 10000
"""


async def stands(ana: Merchant, desk: Desk, context: Context, how: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Brings the late deposit there; the key of its first order."""
    desk.says["refund"] = [{"refused": {"status": "failed"}, "returned": {}}.get(how, "nothing")]
    await tried(context, "deposit.return")
    if how not in ("refused", "returned"):
        await hours_later(context, monkeypatch)
        await tried(context, "deposit.return")
        assert (await deposits(ana))[0]["reason"] == "return_lost"
    if how in ("again", "twice"):
        [deposit] = await deposits(ana)
        assert (await ana.post(f"/v1/operator/deposits/{deposit['id']}/returns", key=ana.olga)).status == 201
    if how == "twice":
        assert await tried(context, "deposit.return") == 1
    return desk.refunds[0].key


async def says(desk: Desk, context: Context, key: str, asked: str) -> None:
    """From now on the provider says so of the first order when it is asked."""
    if key not in desk.operations and asked != "unheard":
        await desk.counter("sandbox", "mpesa")(context).refund(desk.refunds[0])
    if asked != "unheard" and desk.operations[key].status != asked:
        desk.settle(key, asked)


async def confirmed(ana: Merchant, deposit: str, body: Any = WHY, **more: Any) -> Answered:
    return await ana.post(f"/v1/operator/deposits/{deposit}/confirmations", body, key=more.pop("key", ana.olga), **more)


async def told(ana: Merchant, desk: Desk, key: str, status: str) -> None:
    """The provider's callback, twice; where it has never heard of the order it lies."""
    [payment] = desk.payments
    said: dict[str, Any] = {"id": "po_1", "key": key, "payment_key": payment, "account": desk.payments[payment].account}
    said |= {"kind": "refund", "amount": 10_000, "currency": "KES", "code": None, "updated_at": "2026-11-27T10:00:00Z"}
    for _ in range(2):
        assert (await ana.told("mpesa", "operation", {**said, "status": status})).status == 200


async def case_of(ana: Merchant) -> dict[str, Any]:
    [case] = [one for one in await ana.odd(all="true") if one["kind"] != "late_success"]
    assert (case["kind"], case["held"]["about"]) == ("contradicts_final_state", "deposit")
    return case


@pytest.mark.parametrize("line", TABLE.strip().splitlines()[1:], ids=lambda line: "-".join(line.split()[:3]))
async def test_a_word_that_contradicts_a_return_is_asked_about_and_put_right(
    ana: Merchant,
    desk: Desk,
    context: Context,
    late: str,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:
    how, said, asked, first, then, *parts = line.split()
    key = await stands(ana, desk, context, how, monkeypatch)
    await told(ana, desk, key, said)
    before = await rows(context, "select unapplied_minor, returning_minor, returned_minor from deposit")
    case = await case_of(ana)
    assert (case["proposals"][0]["correction"], case["answer"]) == (first, None)
    await says(desk, context, key, asked)
    orders = desk.count("refund")
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    assert desk.count("refund") == orders, "it only asks"
    assert await rows(context, "select unapplied_minor, returning_minor, returned_minor from deposit") == before
    case = await case_of(ana)
    if then == "closed":
        assert case["resolved_at"] is not None and "says what our books say" in case["resolution"]
    else:
        proposal = case["proposals"][0]
        assert (proposal["correction"], case["resolved_at"]) == (then, None)
    if then == "book_return":
        answered = await corrected(ana, case)
        assert (answered.status, answered.json["correction"]) == (201, "book_return"), answered.body
        await does_what_it_says(ana, context, proposal)
        assert (await corrected(ana, case)).code == "forbidden_transition", "once"
        await told(ana, desk, key, said)
        assert (await case_of(ana))["resolved_at"] is not None, "the same word again opens nothing"
    found = (await deposits(ana))[0]
    assert [str(found[f"amount_{part}"]) for part in ("unapplied", "returning", "returned")] == parts
    await assert_in_order(context)


async def test_what_is_booked_by_hand_is_what_a_return_books(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await stands(ana, desk, context, "lost", monkeypatch)
    asked, answered = len(desk.asked), await confirmed(ana, late, idempotency="once")
    assert (answered.status, answered.json["amount_returned"], answered.json["amount_unapplied"]) == (201, 10_000, 0)
    again = await confirmed(ana, late, idempotency="once")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, answered.body, "true")
    other = await confirmed(ana, late, {"reason": "another"}, idempotency="once")
    assert (other.status, other.code) == (422, "key_reused")
    assert await postings_of(context, late) == CONFIRMED.strip().splitlines()
    assert await house(context, Purpose.PROVIDER_RECEIVABLE, currency="KES") == 0
    events = await ana.events(types="deposit.return_failed,deposit.returned")
    assert [event["type"] for event in events] == ["deposit.return_failed", "deposit.returned"]
    assert events[-1]["data"] == answered.json
    trail = (await ana.get(f"/v1/operator/audit?subject={late}", key=ana.olga)).json["data"]
    assert [(one["action"], one["detail"]) for one in trail] == [
        ("outcome.settled", {"id": late, "object": "settlement", "outcome": "happened", **WHY})
    ]
    assert len(desk.asked) == asked and await tried(context, "deposit.return") == 0, "nobody is asked for anything"
    # A provider that says so, too, contradicts nothing; one that says otherwise does.
    await told(ana, desk, key, "succeeded")
    assert {one["kind"] for one in await ana.odd()} == {"late_success"}
    await told(ana, desk, key, "failed")
    assert (await case_of(ana))["proposals"][0]["correction"] == "ask_again"
    await assert_in_order(context)


async def test_a_case_that_is_open_meanwhile_needs_nothing_more(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await stands(ana, desk, context, "refused", monkeypatch)
    await told(ana, desk, key, "succeeded")
    stale = await case_of(ana)
    assert (await confirmed(ana, late)).status == 201
    assert {one["proposals"][0]["correction"] for one in await ana.odd()} == {"none_needed"}
    assert (await corrected(ana, stale)).code == "forbidden_transition"
    await assert_in_order(context)


async def test_after_a_second_order_no_word_is_taken_for_the_one_that_was_booked(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await stands(ana, desk, context, "again", monkeypatch)
    desk.says["refund"] = ["nothing"]
    for _ in range(2):
        await tried(context, "deposit.return")
        await hours_later(context, monkeypatch)
    assert (await confirmed(ana, late)).status == 201
    second = desk.refunds[-1].key
    assert second != first
    for key in (first, second):
        await told(ana, desk, key, "succeeded")
    words = [one["detail"]["key"] for one in await ana.odd() if one["kind"] == "contradicts_final_state"]
    assert sorted(words) == sorted((first, second)), "the payer may have it twice"
    await assert_in_order(context)


REFUSED = """
returning  on its way back
again      on its way back
returned   nothing of it is unapplied
twice      nothing of it is unapplied
confirmed  nothing of it is unapplied
waiting    no return of this deposit has failed
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines(), ids=lambda line: line.split()[0])
async def test_what_stands_otherwise_is_refused(
    ana: Merchant,
    desk: Desk,
    context: Context,
    late: str,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
) -> None:
    how, why = line.split(maxsplit=1)
    if how == "waiting":
        late = await ana.paid(await ana.payin(), 10_950)
    elif how != "returning":
        await stands(ana, desk, context, "lost" if how == "confirmed" else how, monkeypatch)
    if how == "confirmed":
        assert (await confirmed(ana, late)).status == 201
    before = await rows(context, "select id, version from deposit order by id")
    refused = await confirmed(ana, late)
    assert (refused.status, refused.code) == (409, "forbidden_transition")
    assert why in refused.json["detail"]
    assert await rows(context, "select id, version from deposit order by id") == before
    await assert_in_order(context)


async def test_money_that_a_bank_sent_back_after_all_leaves_the_bank(ana: Merchant, context: Context) -> None:
    deposit = await ana.paid(await ana.payin(), 10_950)
    assert (await ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga)).status == 201
    await rows(context, "update due set attempt = 1, said = 'no' where kind = 'deposit.return' returning 1")
    asked = {"outcome": "did_not_happen", "reason": "the bank says so"}
    settled = await ana.post(f"/v1/operator/unresolved/{deposit}/settlements", asked, key=ana.olga)
    assert settled.status == 201, settled.body
    assert (await confirmed(ana, deposit)).json["amount_returned"] == 950
    assert (await postings_of(context, deposit))[-2:] == [
        "deposit.return_requested unapplied→clearing 950",
        "deposit.returned clearing→bank 950",
    ]
    await assert_in_order(context)


async def test_who_may_not_and_what_is_not_said_is_refused(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stands(ana, desk, context, "lost", monkeypatch)
    for body, code, field in (
        (None, "malformed_json", {}),
        ({}, "invalid_request", {"/reason": "missing"}),
        ({"reason": "so"}, "invalid_request", {"/reason": "invalid_value"}),
        ({"reason": "x" * 1001}, "invalid_request", {"/reason": "invalid_value"}),
        ({**WHY, "amount": 1}, "invalid_request", {"/amount": "unknown_field"}),
    ):
        refused = await confirmed(ana, late, body)
        assert (refused.code, refused.fields) == (code, field)
    assert (await confirmed(ana, late, idempotency=None)).code == "key_missing"
    assert (await confirmed(ana, late, key=ana.key)).status == 401
    for unknown in ("dep_01a19b981dc071f08000014be2d90c77", "dep_1", "payin_" + late[4:]):
        assert (await confirmed(ana, unknown)).code == "not_found"
    await context.rows("update operator set revoked_at = now() returning 1")
    assert (await confirmed(ana, late)).status == 401
    assert await rows(context, "select returned_minor from deposit") == [(0,)]
