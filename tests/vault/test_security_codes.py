"""A security code serves one payment or an hour, whichever ends first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from caudal.app.worker import JOBS
from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Answer, Decision, Due, Lane, Table, View
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.kernel.errors import Refused
from caudal.vault import INSTRUMENTS, InstrumentRecord, open_card, refuse_unusable, spend_code
from caudal.vault import JOBS as VAULT_JOBS
from tests.payins.books import wrong_in
from tests.vault.cast import VISA, Keeper


class Pay(msgspec.Struct, frozen=True, kw_only=True):
    """What a payin's first commit does with an instrument, and no more."""

    id: UUID
    book: int
    key: None = None
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((INSTRUMENTS, self.id),)

    def decide(self, view: View) -> Decision | Refused:
        found = view.get(INSTRUMENTS, self.id)
        refusal = refuse_unusable(found, self.book)
        if refusal is not None or found is None:
            return refusal or Refused("not_found", "never")
        puts, done = spend_code(found)
        return Decision(outcome=found, puts=puts, done=done)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


async def pay(context: Context, record: InstrumentRecord, book: int | None = None) -> InstrumentRecord | Refused:
    command = Pay(id=record.id, book=record.book if book is None else book)
    outcome: InstrumentRecord | Refused = (await context.commit(0, command)).outcome
    return outcome


async def test_the_first_payment_has_the_code_and_the_second_has_not(ana: Keeper, context: Context) -> None:
    record = await ana.record((await ana.kept())["id"])
    first = await pay(context, record)
    assert isinstance(first, InstrumentRecord)
    card = open_card(context, first)
    assert (card.number, card.holder_name, card.brand) == (VISA, "ANA PEREZ", "visa")
    assert (card.expiry_month, card.expiry_year, card.security_code) == (12, 2040, "123")
    second = await pay(context, record)
    assert isinstance(second, InstrumentRecord)
    assert (open_card(context, second).number, open_card(context, second).security_code) == (VISA, None)
    assert (await ana.record((await ana.kept(security_code=...))["id"])).code_until is None


async def test_a_payment_takes_the_code_and_its_work_from_the_database(ana: Keeper, context: Context) -> None:
    record = await ana.record((await ana.kept())["id"])
    assert await context.rows("select kind from due") == [("instrument.forget_code",)]
    await pay(context, record)
    assert await context.rows("select code, code_until from instrument") == [(None, None)]
    assert await context.rows("select 1 from due") == []


async def test_a_card_of_another_or_an_erased_one_pays_nothing(ana: Keeper, caro: Keeper, context: Context) -> None:
    made = await ana.kept()
    record = await ana.record(made["id"])
    elses = await caro.record((await caro.kept())["id"])
    refused = await pay(context, record, book=elses.book)
    assert isinstance(refused, Refused) and refused.code == "not_found"
    await ana.erase(made["id"])
    refused = await pay(context, record)
    assert isinstance(refused, Refused) and refused.code == "forbidden_transition"
    with pytest.raises(Refused):
        open_card(context, await ana.record(made["id"]))


async def test_an_unused_code_goes_after_an_hour(ana: Keeper, context: Context, database_url: str) -> None:
    assert set(VAULT_JOBS) <= set(JOBS)
    made = await ana.kept()
    before = await ana.record(made["id"])
    assert before.code_until is not None
    assert before.code_until - before.created_at == timedelta(hours=1)
    await context.rows("update due set at = at - interval '61 minutes' returning 1")
    [due] = (await context.commit(0, ClaimDue(lease_s=30.0))).outcome
    assert await run_job(context, 0, due, JOBS)
    after = await ana.record(made["id"])
    assert (after.code, after.code_until) == (None, None) and after.sealed == before.sealed
    assert await context.rows("select 1 from due") == []
    assert (await ana.get(f"/v1/instruments/{made['id']}")).json["status"] == "active"
    assert await wrong_in(database_url) == []


async def test_forgetting_finds_nothing_to_do_where_the_card_was_used_or_erased(ana: Keeper, context: Context) -> None:
    for made in (await ana.kept(), await ana.kept()):
        record = await ana.record(made["id"])
        assert record.code_until is not None
        due = Due(at=record.code_until, kind="instrument.forget_code", subject=record.id, book=record.book)
        await ana.erase(made["id"])
        assert await run_job(context, 0, due, JOBS)
    assert await context.rows("select distinct version from instrument") == [(2,)]


async def test_a_code_that_waited_too_long_is_not_used_even_if_it_is_still_there(ana: Keeper, context: Context) -> None:
    record = await ana.record((await ana.kept())["id"])
    late = msgspec.structs.replace(record, code_until=wall_clock() - timedelta(seconds=1))
    assert open_card(context, record).security_code == "123" and open_card(context, late).security_code is None


async def test_a_code_that_stays_too_long_is_found_by_the_check(ana: Keeper, database_url: str) -> None:
    await ana.kept()
    await ana.context.rows("update instrument set code_until = now() - interval '11 minutes' returning 1")
    assert [line.partition(" ")[0].strip(":") for line in await wrong_in(database_url)] == ["code_kept_too_long"]


@pytest.mark.parametrize(
    "change", ["bin = '42222222'", "last4 = '2222'", "expiry_year = 2041", "brand = 'elo'", "book = book + 2"]
)
async def test_a_changed_card_is_found_by_the_check(ana: Keeper, database_url: str, change: str) -> None:
    await ana.kept()
    assert await wrong_in(database_url) == []
    await ana.context.rows(f"update instrument set {change} returning 1")
    assert [line.partition(" ")[0].strip(":") for line in await wrong_in(database_url)] == ["event_of_instrument"]
