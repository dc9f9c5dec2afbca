"""What a provider may have done and has not said: nothing is asked for twice where it would be done twice.

A provider that does not know the same key again is asked how it stands until that is an outcome; then nothing happened.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from caudal.connectors import CAPABILITIES
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import ended, hours_later
from tests.payins.test_unresolved import listed, tried


@pytest.fixture(params=[True, False], ids=["knows the key again", "does not"])
def deduplicates(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    for method in ("card", "mpesa"):
        changed = msgspec.structs.replace(CAPABILITIES[method], deduplicates=request.param)
        monkeypatch.setitem(CAPABILITIES, method, changed)
    return bool(request.param)


async def test_a_payment_is_submitted_again_only_where_the_key_is_known(
    ana: Merchant, desk: Desk, context: Context, deduplicates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing", "nothing"]
    payin = await ana.card()
    assert await tried(context, "payin.submit") == 0
    assert desk.count("submit") == (2 if deduplicates else 1)
    assert (await ana.seen(payin))["status"] == "submitting", "never declined, never given to another"
    [one] = await listed(ana)
    assert one["id"] == payin["id"]
    desk.says["payment"] = ["busy"]
    await hours_later(context, monkeypatch)
    assert await tried(context, "payin.submit") == 0, "no answer is no outcome however late"
    assert await tried(context, "payin.submit") == 1
    assert desk.count("submit") == (2 if deduplicates else 1)
    assert (await ana.seen(payin))["status"] == "failed"
    await assert_in_order(context)


@pytest.mark.parametrize("verb", ["capture", "refund", "void"])
async def test_so_is_an_operation(
    ana: Merchant, desk: Desk, context: Context, deduplicates: bool, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payin = await ana.card(capture="automatic" if verb == "refund" else "manual")
    desk.says[verb] = ["nothing", "nothing"]
    match verb:
        case "capture":
            made = await ana.capture(payin)
        case "refund":
            made = await ana.refund(payin, 4_000)
        case _:
            made = await ana.cancel(payin)
    assert made.status < 300
    assert await tried(context, "payin.operate") == 0
    assert desk.count(verb) == (2 if deduplicates else 1)
    [one] = await listed(ana)
    assert (one["kind"], one["status"]) == (verb, "pending")
    await hours_later(context, monkeypatch)
    assert await tried(context, "payin.operate") == 1
    assert desk.count(verb) == (3 if deduplicates else 1)
    seen = await ana.seen(payin)
    done = {"capture": ("paid", 0), "refund": ("paid", 4_000), "void": ("cancelled", 0)}[verb]
    undone = ("paid", 0) if verb == "refund" else ("authorized", 0)
    assert (seen["status"], seen["amount_refunded"]) == (done if deduplicates else undone)
    await assert_in_order(context)


async def test_what_only_the_worker_asks_for_is_asked_for_once(
    ana: Merchant, desk: Desk, context: Context, deduplicates: bool
) -> None:
    await ana.card(capture="manual")
    desk.says["void"] = ["nothing", "nothing"]
    await ana.advance(8 * 86_400)
    for _ in range(2):
        assert await tried(context, "payin.operate") == 0
    assert desk.count("void") == (2 if deduplicates else 1)


async def test_a_return_that_nobody_confirms_waits_for_an_operator(
    ana: Merchant, desk: Desk, context: Context, deduplicates: bool
) -> None:
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    desk.says["refund"] = ["nothing", "nothing"]
    for _ in range(2):
        assert await tried(context, "deposit.return") == 0
    assert desk.count("refund") == (2 if deduplicates else 1)
    [one] = await listed(ana)
    assert (one["kind"], one["amount"]) == ("return", 10_000)
    await assert_in_order(context)


async def test_an_answer_that_comes_while_it_is_asked_for_counts_once(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()

    async def meanwhile() -> Any:
        assert (await ana.told("card", "payment", desk.told(key_of(payin)))).status == 200

    desk.says["payment"] = [meanwhile]
    assert await tried(context, "payin.submit") == 1
    assert (await ana.seen(payin))["amount_received"] == 10_000
    assert [event["type"] for event in await ana.events(types="payin.paid")] == ["payin.paid"]
    await assert_in_order(context)
