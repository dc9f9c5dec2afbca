"""The statement as CSV (RFC 4180): one line a balance transaction, amounts in minor units and as decimals.

A spreadsheet takes a text that begins with one of `= + - @`, a tab or a line break for a formula; such a text gets an
apostrophe before it (OWASP, "CSV Injection"). Numbers are numbers, negative ones too.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from caudal.kernel.money import decimal_of
from caudal.settlement.model import BalanceTransaction, transaction_body

CONTENT_TYPE: Final = b"text/csv; charset=utf-8; header=present"
COLUMNS: Final = (
    "id",
    "created_at",
    "kind",
    "currency",
    "gross_minor",
    "fee_minor",
    "net_minor",
    "gross",
    "fee",
    "net",
    "subject",
    "payin",
    "available_on",
)
_WEIGHT: Final = re.compile(r"[01](\.[0-9]{0,3})?")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def accepts_csv(accept: str | None) -> bool:
    """Whether a request's `Accept` names text/csv, and JSON not more gladly (RFC 9110, 12.5.1)."""
    weights = dict(_weighted(part) for part in (accept or "").split(","))
    return weights.get("text/csv", 0.0) > 0 and weights["text/csv"] >= weights.get("application/json", 0.0)


def _weighted(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
    return name, float(weight) if _WEIGHT.fullmatch(weight) else 0.0


async def pages(
    first: Sequence[BalanceTransaction], more: AsyncIterator[Sequence[BalanceTransaction]]
) -> AsyncIterator[bytes]:
    """The header with the first page, then page after page."""
    yield _lines([COLUMNS]) + _lines(map(cells, first))
    async for page in more:
        yield _lines(map(cells, page))


def cells(line: BalanceTransaction) -> tuple[str, ...]:
    """The columns of one line."""
    body = transaction_body(line)
    amounts = (line.gross_minor, line.fee_minor, line.net_minor)
    return (
        *(text(body.id), body.created_at, text(body.kind), text(body.currency)),
        *map(str, amounts),
        *(decimal_of(amount, line.currency) for amount in amounts),
        *(text(body.subject), text(body.payin or ""), body.available_on or ""),
    )


def text(value: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode()
