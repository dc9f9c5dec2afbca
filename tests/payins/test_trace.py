"""`GET /v1/operator/traces/{id}` and `caudal trace`: one payment's whole story, and nobody's name in it."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from rich.console import Console

from caudal.app.trace import Trace
from caudal.app.trace.gaps import gaps
from caudal.app.trace.gather import story_of
from caudal.app.trace.view import show
from caudal.connectors import Declined, Unresolved
from caudal.kernel.context import Context
from caudal.payins import JOBS
from tests.payins.cast import CARD, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.several import merchant, three_providers
from tests.payins.test_cascade import DECLINED
from tests.payins.test_late_success import ended


async def traced(ana: Merchant, id: str) -> dict[str, Any]:
    answered = await ana.get(f"/v1/operator/traces/{id}", key=ana.olga)
    assert answered.status == 200, answered.body
    found: dict[str, Any] = answered.json
    return found


def kinds(story: dict[str, Any], *wanted: str) -> Sequence[str]:
    return [step["what"] for step in story["steps"] if step["kind"] in wanted]


def on_a_terminal(story: dict[str, Any]) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    show(msgspec.convert(story, Trace), console)
    return console.export_text()


async def test_a_card_payin_with_captures_refund_and_dispute_is_told_whole(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card(capture="manual")
    capture = (await ana.capture(payin, 6_000)).json
    refund = (await ana.refund(payin, 1_000)).json
    story = await traced(ana, payin["id"])
    assert (story["payin"], story["status"], story["mode"], story["amount"]) == (payin["id"], "paid", "test", 10_000)
    assert (story["captured"], story["refunded"], story["complete"]) == (6_000, 1_000, True)
    assert kinds(story, "attempt")[0] == "asks sandbox"
    assert kinds(story, "state")[:2] == ["created", "authorized"]
    assert "capture asked for" in kinds(story, "operation") and "refund succeeded" in kinds(story, "operation")
    told = [
        event["type"] for event in await ana.events() if event["subject"] in (payin["id"], capture["id"], refund["id"])
    ]
    assert sorted(kinds(story, "event")) == sorted(told) and len(told) > 4
    [[booked]] = await context.rows("select count(*) from transfer")
    assert len(kinds(story, "posting")) == booked > 0, "all of this ledger is about this payin"
    assert len(kinds(story, "batch")) >= 4
    assert [step["at"] for step in story["steps"]] == sorted(step["at"] for step in story["steps"])
    for id in (capture["id"], refund["id"], (await ana.events())[-1]["id"]):
        assert (await traced(ana, id)) == story


@pytest.fixture
async def cascading(database_url: str, tmp_path: Path) -> AsyncIterator[Merchant]:
    """A merchant of a process with three providers."""
    async with three_providers(database_url, tmp_path) as opened:
        yield await merchant(opened)


@pytest.mark.parametrize("said", ["busy", DECLINED], ids=["outage", "decline"])
async def test_a_cascade_is_told_whole(cascading: Merchant, desk: Desk, said: Any) -> None:
    desk.says["submit"] = [said]
    story = await traced(cascading, (await cascading.card())["id"])
    assert [what for what in kinds(story, "attempt") if what.startswith("asks ")] == ["asks acme", "asks bravo"]
    assert kinds(story, "state") == ["created", "submitting", "paid"]
    assert story["complete"]


async def test_what_lost_an_event_is_not_told_as_whole(ana: Merchant, desk: Desk, database_url: str) -> None:
    payin = await ana.card()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("delete from event where subject = %s", (UUID(key_of(payin)),))
    assert not (await traced(ana, payin["id"]))["complete"]


async def test_every_call_to_a_provider_ends_and_says_what_it_took(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [Declined(reason="do_not_honor", detail="no")]
    refused, card, pix = await ana.ask("card", "1"), await ana.card(), await ana.asked("pix")
    for payin, how in ((refused.json, "declined"), (card, "paid"), (pix, "pending")):
        asks, ends = [step for step in (await traced(ana, payin["id"]))["steps"] if step["kind"] == "attempt"]
        assert (asks["what"], ends["what"]) == ("asks sandbox", f"sandbox: {how}")
        took = datetime.fromisoformat(ends["at"]) - datetime.fromisoformat(asks["at"])
        assert ends["detail"]["duration_us"] == took / timedelta(microseconds=1) > 0
    refund = (await ana.refund(card, 1_000)).json
    [done] = [step for step in (await traced(ana, refund["id"]))["steps"] if step["what"] == "refund succeeded"]
    assert done["detail"]["duration_us"] > 0


async def test_under_a_moved_test_clock_a_call_takes_real_time(ana: Merchant, desk: Desk) -> None:
    await ana.advance(86_400)
    card = await ana.card()
    [took] = durations(await traced(ana, card["id"]))
    assert 0 < took < 3_600_000_000
    await ana.advance(86_400)
    assert durations(await traced(ana, card["id"])) == [took]


def durations(story: dict[str, Any]) -> list[int]:
    return [step["detail"]["duration_us"] for step in story["steps"] if "duration_us" in step["detail"]]


async def test_work_that_waits_after_a_try_in_vain_is_in_it(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(capture="manual")
    assert not kinds(await traced(ana, payin["id"]), "due")
    desk.says["capture"] = ["nothing", "nothing"]
    desk.says["find_operation"] = [Unresolved(kind="retry", detail="busy")]
    await ana.capture(payin, 6_000)
    await ana.work(*JOBS)
    [waits] = [step for step in (await traced(ana, payin["id"]))["steps"] if step["kind"] == "due"]
    assert waits["what"].endswith("is tried again") and waits["detail"]["last_answer"]


async def test_what_is_not_kept_any_more_is_told(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card()
    whole = await story_of(context, 0, UUID(key_of(payin)))
    assert whole is not None and list(gaps(whole)) == []
    later = whole._replace(payin=whole.payin._replace(read_at=whole.payin.read_at + timedelta(days=31)))
    assert [gone.partition(":")[0] for gone in gaps(later)] == ["deliveries"]
    many = whole._replace(rows={**whole.rows, "attempts": whole.rows["batches"] * 1_000})
    assert list(gaps(many)) == ["attempts: there may be more than the first 1000"]
    [[gone]] = await context.rows("with gone as (delete from batch returning 1) select count(*) from gone")
    story = await traced(ana, payin["id"])
    assert gone > 0 and not story["complete"]
    assert story["missing"] == [
        "batches: those of 2 of 2 changes are gone, being kept for a day, or the test clock has been moved since"
    ]
    text = on_a_terminal(story)
    assert "This is not all:" in text and "batches: those of 2 of 2" in text and "took " in text
    await context.rows("with gone as (delete from event returning 1) select count(*) from gone")
    assert [words.partition(":")[0] for words in (await traced(ana, payin["id"]))["missing"]] == ["events", "batches"]


async def test_a_late_success_and_its_way_back_are_in_it(ana: Merchant, desk: Desk) -> None:
    late = await ended(ana, desk, "declined")
    desk.pay(key_of(late))
    await ana.told("mpesa", "payment", desk.told(key_of(late)))
    story = await traced(ana, late["id"])
    assert kinds(story, "deposit") and kinds(story, "discrepancy"), story["steps"]
    [case] = await ana.odd()
    assert (await traced(ana, case["id"]))["payin"] == late["id"]


async def test_a_payin_of_a_moved_test_clock_keeps_its_events(ana: Merchant) -> None:
    await ana.advance(86_400)
    payin = await ana.payin()
    deposit = await ana.paid(payin)
    story = await traced(ana, payin["id"])
    assert story["complete"] and "payin.paid" in kinds(story, "event") and kinds(story, "posting")
    assert (await traced(ana, deposit))["payin"] == payin["id"]


async def test_who_pays_is_not_in_it(ana: Merchant, desk: Desk) -> None:
    payer = {"name": "Zacarías Quintana", "email": "zac@quintana.example", "document": "11144477735"}
    payin = await ana.asked("boleto", payer=payer)
    text = (await ana.get(f"/v1/operator/traces/{payin['id']}", key=ana.olga)).body.decode()
    card = await ana.card()
    text += (await ana.get(f"/v1/operator/traces/{card['id']}", key=ana.olga)).body.decode()
    for secret in (*payer.values(), CARD["number"], CARD["holder_name"], "Quintana"):
        assert str(secret) not in text


async def test_ids_as_logs_and_tables_have_them_lead_to_it(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card(capture="manual")
    capture = (await ana.capture(payin)).json
    [[delivery]] = await context.rows(
        "insert into webhook_delivery (shard, id, created_at, book, endpoint, event_seq, event_at, type, subject,"
        " cause, status, attempts)"
        " select shard, gen_random_uuid(), at, book, gen_random_uuid(), seq, at, type, subject,"
        " 'event', 'failed', 1 from event where subject = %s and type = 'capture.succeeded' returning id::text",
        (UUID(capture["id"][8:]),),
    )
    for bare in (payin["id"][6:], str(UUID(payin["id"][6:])), capture["id"][8:], delivery):
        assert (await traced(ana, bare))["payin"] == payin["id"], bare


async def test_merchants_do_not_see_it_and_what_is_not_there_is_not_found(ana: Merchant) -> None:
    payin = await ana.payin()
    assert (await ana.get(f"/v1/operator/traces/{payin['id']}")).status == 401
    none = "0" * 32
    for id in (
        "payin_" + none,
        "capture_" + none,
        "dep_" + none,
        "evt_" + none,
        "mer_" + none,
        none,
        "delivery_" + none,
        "evidence_" + none,
        "x",
        "payin_zz",
        "evt_",
        "_",
    ):
        answered = await ana.get(f"/v1/operator/traces/{id}", key=ana.olga)
        assert (answered.status, answered.code) == (404, "not_found"), id


async def test_a_terminal_of_eighty_columns_shows_every_step(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card()
    text = on_a_terminal(await traced(ana, payin["id"]))
    assert "This is not all" not in text
    assert payin["id"] in text and "100.00 BRL" in text and "payin.paid" in text and "asks sandbox" in text
    assert max(len(line) for line in text.splitlines()[3:]) <= 80


@pytest.mark.parametrize("reference", ["Pedido [/rojo] 7", "[bold]A[link]B", "[42]"])
async def test_what_a_merchant_wrote_is_no_markup(ana: Merchant, reference: str) -> None:
    payin = await ana.payin(reference=reference)
    assert f"reference {reference}" in on_a_terminal(await traced(ana, payin["id"]))
