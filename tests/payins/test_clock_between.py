"""A process that stands still between a question and its answer has an old answer, not a late one: what was on its way
when it asked may have arrived since. The clock that says whether "not found" is an outcome is read before the question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from caudal.connectors import CAPABILITIES
from caudal.kernel.context import Context
from caudal.payins import store
from caudal.payins.commands import SubmitAgain
from tests.payins.books import assert_in_order
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import deposits, hours_later
from tests.payins.test_unresolved import tried

Still = Callable[[dict[str, Any]], Callable[[], Awaitable[None]]]


@pytest.fixture
def still(context: Context, monkeypatch: pytest.MonkeyPatch) -> Still:
    """Two hours pass behind a "not found", and what was on its way arrives in the provider's books."""

    def jumps(books: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        way = dict(books)
        books.clear()

        async def jump() -> None:
            await hours_later(context, monkeypatch)
            books.update(way)

        return jump

    return jumps


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider of cards would not know the same key again."""
    monkeypatch.setitem(CAPABILITIES, "card", msgspec.structs.replace(CAPABILITIES["card"], deduplicates=False))


async def test_a_payment(ana: Merchant, desk: Desk, context: Context, still: Still) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.says["payment"] = [still(desk.payments)]
    assert await tried(context, "payin.submit") == 1, "the same key again finds it"
    assert (await ana.seen(payin))["status"] == "paid" and await ana.odd() == []
    await assert_in_order(context)


async def test_a_payment_whose_key_is_not_known_again(
    ana: Merchant, desk: Desk, context: Context, still: Still, once: None
) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.says["payment"] = [still(desk.payments)]
    assert await tried(context, "payin.submit") == 0
    assert (await ana.seen(payin))["status"] == "submitting"
    assert await tried(context, "payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "paid" and await ana.odd() == []
    await assert_in_order(context)


async def test_operations(ana: Merchant, desk: Desk, context: Context, still: Still, once: None) -> None:
    desk.says["capture"], desk.says["refund"] = ["lost"], ["lost"]
    capture = (await ana.capture(await ana.card(capture="manual"), 3_000)).json
    refund = (await ana.refund(await ana.card(), 4_000)).json
    desk.says["operation"] = [still(desk.operations)]
    assert await tried(context, "payin.operate") == 1, "whoever asks later finds what has arrived"
    assert await tried(context, "payin.operate") == 1
    for one in (f"captures/{capture['id']}", f"refunds/{refund['id']}"):
        assert (await ana.get(f"/v1/{one}")).json["status"] == "succeeded"
    assert await ana.odd() == []
    await assert_in_order(context)


async def test_a_return(ana: Merchant, desk: Desk, context: Context, still: Still, late: str) -> None:
    desk.says["refund"] = ["lost"]
    assert await tried(context, "deposit.return") == 0
    desk.says["operation"] = [still(desk.operations)]
    assert await tried(context, "deposit.return") == 0
    assert (await deposits(ana))[0]["amount_returning"] == 10_000
    assert await tried(context, "deposit.return") == 1
    assert (desk.count("refund"), (await deposits(ana))[0]["amount_returned"]) == (1, 10_000)
    await assert_in_order(context)


async def test_what_somebody_else_sends_again_meanwhile_is_not_judged_by_what_was_sent_before(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing"]
    payin = await ana.card()

    async def sent() -> None:
        row = await store.payin_row(context, 0, UUID(key_of(payin)))
        assert row is not None
        again = SubmitAgain(id=row.id, attempt=1, book=row.book, within=timedelta(seconds=60))
        assert (await context.commit(0, again)).outcome

    await hours_later(context, monkeypatch)
    desk.says["payment"] = [sent]
    await tried(context, "payin.submit")
    assert (await ana.seen(payin))["status"] == "submitting", "it may be on its way"
    await tried(context, "payin.submit")
    assert (await ana.seen(payin))["status"] == "failed", "nobody has sent it since"
    await assert_in_order(context)
