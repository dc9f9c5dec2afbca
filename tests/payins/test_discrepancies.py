"""Discrepancies: operators see them, look after them and say how; every word stands in the audit trail."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from caudal.kernel.context import Context
from caudal.payins.model import CorrectionKind, DiscrepancyKind
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk


@pytest.fixture
async def found(ana: Merchant, desk: Desk) -> list[dict[str, Any]]:
    """Three of them, newest first."""
    payin = await ana.pix()
    for amount in (1, 2, 3):
        await ana.told("pix", "payment", desk.told(key_of(payin), amount=amount))
    return await ana.odd()


def path(discrepancy: dict[str, Any]) -> str:
    return f"/v1/operator/discrepancies/{discrepancy['id']}/resolutions"


async def test_operators_see_what_a_provider_said_newest_first(ana: Merchant, found: list[dict[str, Any]]) -> None:
    assert [one["detail"]["amount_minor"] for one in found] == [3, 2, 1]
    first = found[0]
    assert (first["object"], first["mode"], first["provider"], first["kind"]) == (
        "discrepancy",
        "test",
        "sandbox",
        "other_amount",
    )
    assert (first["resolved_at"], first["resolution"]) == (None, None)
    assert first["id"].startswith("disc_") and first["payin"].startswith("payin_")


async def test_by_pages(ana: Merchant, found: list[dict[str, Any]]) -> None:
    page = (await ana.get("/v1/operator/discrepancies?limit=2", key=ana.olga)).json
    assert page["data"] == found[:2] and page["has_more"] is True
    rest = (await ana.get(f"/v1/operator/discrepancies?limit=2&after={page['next']}", key=ana.olga)).json
    assert rest["data"] == found[2:] and rest["has_more"] is False


async def test_one_is_resolved_with_a_word_and_leaves_the_list(
    ana: Merchant, found: list[dict[str, Any]], context: Context
) -> None:
    answered = await ana.post(path(found[1]), {"resolution": "the provider has corrected it"}, key=ana.olga)
    assert answered.status == 201 and answered.json["resolution"] == "the provider has corrected it"
    assert answered.json["resolved_at"] is not None
    assert [one["id"] for one in await ana.odd()] == [found[0]["id"], found[2]["id"]]
    listed = [{name: one[name] for name in answered.json} for one in await ana.odd(all="true")]
    assert answered.json in listed
    trail = await rows(
        context, "select actor, action, subject, convert_from(detail, 'UTF8') from audit order by at, id"
    )
    actor, action, subject, detail = trail[-1]
    assert (action, subject) == ("discrepancy.resolved", found[1]["id"])
    assert (actor,) in await rows(context, "select 'operator_' || replace(id::text, '-', '') from operator")
    assert "the provider has corrected it" in detail
    await assert_in_order(context)


async def test_the_same_key_resolves_it_once_and_another_is_refused(ana: Merchant, found: list[dict[str, Any]]) -> None:
    asked = {"resolution": "done"}
    first = await ana.post(path(found[0]), asked, key=ana.olga, idempotency="k")
    assert (await ana.post(path(found[0]), asked, key=ana.olga, idempotency="k")).body == first.body
    answered = await ana.post(path(found[0]), asked, key=ana.olga)
    assert (answered.status, answered.code) == (409, "forbidden_transition")


async def test_merchants_see_none_and_resolve_none(ana: Merchant, found: list[dict[str, Any]]) -> None:
    assert (await ana.get("/v1/operator/discrepancies")).status in (401, 403)
    assert (await ana.post(path(found[0]), {"resolution": "mine"})).status in (401, 403)
    assert len(await ana.odd()) == 3
    assert not [event for event in await ana.events() if event["type"].startswith("discrepancy")]


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {"/resolution": "missing"}),
        ({"resolution": "ok"}, {"/resolution": "invalid_value"}),
        ({"resolution": "r" * 1001}, {"/resolution": "invalid_value"}),
        ({"resolution": 7}, {"/resolution": "invalid_type"}),
        ({"resolution": "done", "by": "me"}, {"/by": "unknown_field"}),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_fields(ana: Merchant, found: list[dict[str, Any]], asked: Any, fields: Any) -> None:
    answered = await ana.post(path(found[0]), asked, key=ana.olga)
    assert (answered.status, answered.fields) == (422, fields)


async def test_one_that_is_not_there(ana: Merchant, found: list[dict[str, Any]]) -> None:
    for id in ("disc_" + "0" * 32, "payin_" + "0" * 32, "x"):
        answered = await ana.post(path({"id": id}), {"resolution": "done"}, key=ana.olga)
        assert answered.status == 404


PAGE = Path(__file__).parents[2] / "docs" / "unknown-outcomes.md"


def test_the_page_names_every_kind_and_every_correction_and_no_other() -> None:
    _, told = PAGE.read_text("utf-8").split("| what is said | kind |", 1)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in told.splitlines() if line[:1] == "|"][1:]
    assert all(len(row) == 4 for row in cells), "four cells a row"
    kinds = {kind for _, kind, _, _ in cells} - {"by what differs"}
    assert kinds == {f"`{kind}`" for kind in get_args(DiscrepancyKind)}
    meant = re.findall(r"^- ((?:`\w+`(?:, )?)+):", told, re.MULTILINE)
    explained = {word for line in meant for word in re.findall(r"`(\w+)`", line)}
    assert explained == set(get_args(CorrectionKind))
    named = {word for *_, before, after in cells for word in re.findall(r"`(\w+)`", f"{before} {after}")}
    assert named <= explained | set(get_args(DiscrepancyKind)), "a row proposes what nobody explains"
