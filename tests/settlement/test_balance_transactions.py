"""GET /v1/balance_transactions: every line, filtered, page by page, and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from caudal.kernel.context import Context
from caudal.kernel.money import decimal_of
from caudal.settlement import line, store
from caudal.settlement.statement import COLUMNS, accepts_csv, cells, text
from tests.payins.cast import DAY_S, Merchant

PATH = "/v1/balance_transactions"
CSV = {"accept": "text/csv"}


async def listed(ana: Merchant, query: str = "", **more: Any) -> list[dict[str, Any]]:
    answered = await ana.get(f"{PATH}?{query}" if query else PATH, **more)
    assert answered.status == 200, answered.body
    found: list[dict[str, Any]] = answered.json["data"]
    return found


async def exported(ana: Merchant, query: str = "") -> list[dict[str, str]]:
    answered = await ana.get(f"{PATH}?{query}" if query else PATH, headers=CSV)
    assert (answered.status, answered.headers["content-type"]) == (200, "text/csv; charset=utf-8; header=present")
    return list(csv.DictReader(io.StringIO(answered.body.decode(), newline="")))


@pytest.fixture
async def five(ana: Merchant) -> list[dict[str, Any]]:
    """Five payins of Ana's, paid one after the other, a day apart on her clock."""
    payins = []
    for place in range(5):
        payins.append(await ana.payin(amount=10_000 + place * 1_000))
        await ana.paid(payins[-1])
        await ana.advance(DAY_S)
    return payins


async def test_a_payment_is_a_line(ana: Merchant) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    seen, [found] = await ana.seen(payin), await listed(ana)
    assert found.pop("id").startswith("txn_")
    assert found == {
        "object": "balance_transaction",
        "mode": "test",
        "kind": "payment",
        "currency": "MXN",
        "gross": 10_000,
        "fee": 400,
        "net": 9_600,
        "subject": payin["id"],
        "payin": payin["id"],
        "available_on": (datetime.fromisoformat(seen["paid_at"]).date() + timedelta(days=1)).isoformat(),
        "created_at": seen["paid_at"],
    }


async def test_the_sum_of_all_nets_is_what_the_merchant_has(ana: Merchant, five: list[dict[str, Any]]) -> None:
    [balance] = (await ana.get("/v1/balances")).json["data"]
    assert sum(row["net"] for row in await listed(ana)) == balance["pending"] + balance["available"]


async def test_pages_go_back_and_forth_newest_first(ana: Merchant, five: list[dict[str, Any]]) -> None:
    everything = [row["id"] for row in await listed(ana)]
    first = (await ana.get(f"{PATH}?limit=2")).json
    second = (await ana.get(f"{PATH}?limit=2&after={first['next']}")).json
    third = (await ana.get(f"{PATH}?limit=2&after={second['next']}")).json
    pages = [[row["id"] for row in page["data"]] for page in (first, second, third)]
    assert pages == [everything[:2], everything[2:4], everything[4:]]
    assert [page["has_more"] for page in (first, second, third)] == [True, True, False]
    back = (await ana.get(f"{PATH}?limit=2&before={third['previous']}")).json
    assert [row["id"] for row in back["data"]] == pages[1]


async def test_filters_narrow(ana: Merchant, five: list[dict[str, Any]]) -> None:
    lines = await listed(ana)
    [only] = await listed(ana, f"payin={five[1]['id']}")
    assert only["payin"] == five[1]["id"]
    assert await listed(ana, "kind=payment&currency=MXN") == lines
    assert await listed(ana, "kind=refund") == await listed(ana, "currency=BRL") == []
    since, until = (lines[place]["created_at"].replace("+", "%2B") for place in (3, 1))
    assert await listed(ana, f"created_from={since}&created_to={until}") == lines[2:4]
    assert await listed(ana, f"payin=payin_{uuid4().hex}") == []


@pytest.mark.parametrize("looked_at", [1, 2, 5])
async def test_a_rare_filter_looks_at_so_many_lines_a_page_and_loses_none(
    ana: Merchant, five: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(store, "LOOKED_AT", looked_at)
    asked, made = f"{PATH}?payin={five[2]['id']}", five[2]["id"]
    page = (await ana.get(asked)).json
    assert looked_at == 5 or (page["data"], page["has_more"]) == ([], True)
    seen = page["data"]
    while page["next"] is not None:
        page = (await ana.get(f"{asked}&after={page['next']}")).json
        seen += page["data"]
    assert [row["payin"] for row in seen] == [made]
    assert [row["payin"] for row in await exported(ana, f"payin={made}")] == [made]
    oldest = (await ana.get(f"{PATH}?limit=4")).json["next"]
    page = (await ana.get(f"{asked}&before={oldest}")).json
    seen = page["data"]
    while page["previous"] is not None:
        page = (await ana.get(f"{asked}&before={page['previous']}")).json
        seen = page["data"] + seen
    assert [row["payin"] for row in seen] == [made]


async def test_everybody_sees_their_own_lines_only(ana: Merchant, caro: Merchant) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    assert await listed(caro) == [] and await exported(caro) == []
    assert await listed(caro, f"payin={payin['id']}") == []
    assert await listed(ana, key=await ana.key_of("live")) == []
    blind = await ana.key_of("test", scopes=("payins:read",))
    assert (await ana.get(PATH, key=blind)).code == "forbidden"
    assert (await ana.get(PATH, key=blind, headers=CSV)).code == "forbidden"


WRONG = """
kind=gift                ?kind          invalid_value
payin=dep_1              ?payin         invalid_value
payin=                   ?payin         invalid_value
limit=0                  ?limit         invalid_value
after=x                  ?after         invalid_cursor
before=x&after=x         ?before        contradiction
created_from=yesterday   ?created_from  invalid_value
currency=%00             ?currency      invalid_text
colour=red               ?colour        unknown_field
"""


@pytest.mark.parametrize("row", WRONG.strip().splitlines())
async def test_what_is_wrong_is_named_in_both_forms(ana: Merchant, row: str) -> None:
    query, field, code = row.split()
    for headers in ({}, CSV):
        answered = await ana.get(f"{PATH}?{query}", headers=headers)
        assert (answered.status, answered.fields) == (422, {field: code})
        assert answered.headers["content-type"] == "application/problem+json"


# CSV


async def test_the_csv_has_every_line_whatever_the_limit(ana: Merchant, five: list[dict[str, Any]]) -> None:
    lines, found = await listed(ana), await exported(ana, "limit=1")
    assert tuple(found[0]) == COLUMNS
    assert [row["id"] for row in found] == [row["id"] for row in lines]
    for row, line_ in zip(found, lines, strict=True):
        assert [int(row[f"{name}_minor"]) for name in ("gross", "fee", "net")] == [
            line_[name] for name in ("gross", "fee", "net")
        ]
        assert Decimal(row["net"]) * 100 == line_["net"]
    assert len(await exported(ana, f"payin={five[0]['id']}")) == 1
    assert (await ana.get(f"{PATH}?before=x", headers=CSV)).fields == {"?before": "contradiction"}


async def test_an_empty_statement_is_a_header(ana: Merchant) -> None:
    answered = await ana.get(PATH, headers=CSV)
    assert answered.body == ",".join(COLUMNS).encode() + b"\r\n"
    assert answered.headers["content-disposition"] == 'attachment; filename="balance_transactions.csv"'


async def many(context: Context, ana: Merchant, count: int) -> None:
    """So many adjustments of nothing, all of one instant."""
    async with context.pool.connection() as connection:
        await connection.execute(
            "insert into balance_transaction select 0, gen_random_uuid(), book, now(), 'adjustment', 'MXN', 0, 0, 0,"
            " merchant, 'adjustment' from book, generate_series(1, %s) where merchant = %s and book %% 2 = 0",
            (count, ana.merchant),
        )


async def test_a_long_statement_is_sent_in_parts(ana: Merchant, context: Context) -> None:
    await many(context, ana, 2_500)
    found = await exported(ana)
    assert len(found) == len({row["id"] for row in found}) == 2_500


async def test_a_part_that_fails_breaks_the_body_off(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await many(context, ana, 2_500)
    whole, calls = context.named_rows, 0

    async def failing(*asked: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise ConnectionError("the database has gone")
        return await whole(*asked)

    monkeypatch.setattr(context, "named_rows", failing)
    with pytest.raises(ConnectionError):
        await ana.get(PATH, headers=CSV)


@pytest.mark.parametrize(
    ("accept", "csv_wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/csv", True),
        ("Text/CSV; charset=utf-8", True),
        ("text/csv, application/json", True),
        ("application/json, text/csv;q=0.9", False),
        ("application/json;q=0.5, text/csv;q=0.9, */*;q=0.1", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("text/csv;q=²", False),
        (",;,", False),
    ],
)
def test_csv_is_for_whoever_asks_for_it(accept: str | None, csv_wanted: bool) -> None:
    assert accepts_csv(accept) is csv_wanted


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (12_050, "MXN", "120.50"),
        (-5, "MXN", "-0.05"),
        (0, "MXN", "0.00"),
        (-120_050, "CLP", "-120050"),
        (1_234_567, "BHD", "1234.567"),
        (10**15, "BRL", "10000000000000.00"),
    ],
)
def test_decimals_are_exact(amount: int, currency: str, shown: str) -> None:
    assert decimal_of(amount, currency) == shown


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_text_is_a_formula(value: str) -> None:
    assert text(value) == f"'{value}"
    assert text("payin_1") == "payin_1"


def test_an_amount_that_is_negative_stays_a_number() -> None:
    told: dict[str, Any] = {"id": uuid4(), "subject": uuid4(), "payin": None, "at": datetime.now(UTC)}
    record = line(
        book=2, currency="MXN", kind="refund", gross_minor=-500, fee_minor=50, subject_kind="refund", **told
    ).record
    row = dict(zip(COLUMNS, cells(record), strict=True))
    assert (row["gross_minor"], row["gross"], row["net"], row["available_on"]) == ("-500", "-5.00", "-5.50", "")
