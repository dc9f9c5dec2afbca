"""Merchants ask: what they have, since when it is available, and every line of their statement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.contracts.pages import Looked, Page, Place, cursor_of, page_of
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.http import IdOf, Known, Request, Response, Route, ok, query_of
from caudal.kernel.money import CURRENCIES
from caudal.merchants import Caller, authenticate
from caudal.settlement import statement, store
from caudal.settlement.model import BalanceTransaction, BalanceTransactionBody, Kind, transaction_body

SCOPE: Final = "balances:read"
_SHOWN: Final = {
    ledger.Purpose.PENDING: "pending",
    ledger.Purpose.AVAILABLE: "available",
    ledger.Purpose.RESERVED: "reserved",
    ledger.Purpose.DISPUTED: "disputed",
    ledger.Purpose.UNAPPLIED: "unapplied",
}
_EXPORT_PAGE: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCKS_DIFFER: Final = timedelta(minutes=5)  # of the process that made the id, and of the database


class PendingDay(msgspec.Struct, frozen=True, kw_only=True):
    """What of `pending` becomes available when this day begins (UTC), minor units."""

    day: str
    amount: int


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's money in one currency, minor units. `pending` is earned, `unapplied` belongs to payers."""

    currency: str
    pending: int = 0
    available: int = 0
    reserved: int = 0
    disputed: int = 0
    unapplied: int = 0
    pending_by_day: list[PendingDay] = []


class BalanceList(msgspec.Struct, frozen=True, kw_only=True):
    """Balances by currency."""

    mode: Literal["test", "live"]
    data: list[Balance]


class BalanceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Balances as they are, or as they stood; `pending_by_day` is of now alone."""

    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


async def balances(context: Context, request: Request) -> Response:
    """The merchant's balances, now or at a time: what was booked until then (real time, in test mode too)."""
    caller = await authenticate(context, request, SCOPE)
    at = query_of(request, BalanceQuery).at
    if at is None:
        accounts = await ledger.balances(context, caller.shard, caller.book)
    else:
        accounts = await ledger.balances_at(context, caller.shard, caller.book, at)
    amounts: dict[str, dict[str, int]] = {}
    for account in accounts:
        name = ledger.account_name(account.id)
        if name.purpose in _SHOWN:
            amounts.setdefault(name.currency, {})[_SHOWN[name.purpose]] = account.credit_balance_minor
    days: dict[str, list[PendingDay]] = {}
    if at is None:
        days = await _pending_by_day(context, caller)
    data = [
        Balance(currency=currency, pending_by_day=days.get(currency, []), **of)
        for currency, of in sorted(amounts.items())
    ]
    return ok(BalanceList(mode="live" if caller.live else "test", data=data))


async def _pending_by_day(context: Context, caller: Caller) -> dict[str, list[PendingDay]]:
    days: dict[str, list[PendingDay]] = {}
    for currency, day, amount in await store.pending_by_day(context, caller.shard, caller.book):
        days.setdefault(currency, []).append(PendingDay(day=day.isoformat(), amount=amount))
    return days


class BalanceTransactionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the statement."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older lines")] = None
    before: Annotated[str | None, msgspec.Meta(description="cursor: the page before, newer lines")] = None
    kind: Kind | None = None
    currency: str | None = None
    payin: Annotated[str | None, msgspec.Meta(description="only lines of this payin, `payin_…`")] = None
    created_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    created_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_KNOWN: Final[dict[str, Known | IdOf]] = {
    "currency": Known(values=CURRENCIES, code="unknown_currency"),
    "payin": IdOf(prefix="payin", what="a payin"),
}


class BalanceTransactionList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the statement, newest first.

    With filters a page may hold fewer than `limit`, or none, though `has_more`: so much was looked at.
    """

    data: list[BalanceTransactionBody]
    has_more: bool
    next: str | None
    previous: str | None


async def list_(context: Context, request: Request) -> Response:
    """The merchant's statement, newest first: every change of what it has. As CSV for whoever accepts text/csv."""
    caller = await authenticate(context, request, SCOPE)
    asked = query_of(request, BalanceTransactionQuery, _KNOWN)
    if asked.after is not None and asked.before is not None:
        raise _wrong("?before", "contradiction", "after and before exclude each other")
    payin = None if asked.payin is None else ids.parse("payin", asked.payin)
    narrow = store.Filter(
        kind=asked.kind,
        currency=asked.currency,
        payin=payin,
        since=max(asked.created_from or store.LONG_AGO, _made_at(payin)),
        until=asked.created_to or store.FAR_OFF,
    )
    if statement.accepts_csv(request.header(b"accept")):
        return await _export(context, caller, asked, narrow)
    page = await _page(context, caller, asked, narrow)
    data = [transaction_body(line) for line in page.rows]
    return ok(BalanceTransactionList(data=data, has_more=page.has_more, next=page.next, previous=page.previous))


def _made_at(payin: UUID | None) -> datetime:
    """When a payin was made, by its id: no line of it is older, so nothing older is looked through."""
    if payin is None:
        return store.LONG_AGO
    return _EPOCH + min(timedelta(milliseconds=payin.int >> 80) - _CLOCKS_DIFFER, store.FAR_OFF - _EPOCH)


def _wrong(field: str, code: str, detail: str) -> Invalid:
    error = FieldError(field=field, code=code, detail=detail)
    return Invalid("invalid_request", "the query has errors", errors=(error,))


async def _page(
    context: Context, caller: Caller, asked: BalanceTransactionQuery, narrow: store.Filter
) -> Page[BalanceTransaction]:
    limit = asked.limit + 1
    if asked.before is not None:
        after = cursor_of(asked.before, "before") or (store.LONG_AGO, store.FIRST)
        newer = await store.transactions_after(context, caller.shard, caller.book, after, narrow, limit)
        return page_of(newer.rows, asked.limit, _place, backwards=True, looked=newer.looked)
    before = cursor_of(asked.after) or (store.FAR_OFF, store.LAST)
    found = await store.transactions_before(context, caller.shard, caller.book, before, narrow, limit)
    return page_of(found.rows, asked.limit, _place, first=asked.after is None, looked=found.looked)


def _place(line: BalanceTransaction) -> Place:
    return line.created_at, line.id


async def _export(context: Context, caller: Caller, asked: BalanceTransactionQuery, narrow: store.Filter) -> Response:
    """All that the filters leave, read and sent page by page. What cannot begin is a problem like any other."""
    if asked.before is not None:
        raise _wrong("?before", "contradiction", "a CSV has every line; before does not go with it")

    async def page_before(before: Place) -> Looked[BalanceTransaction]:
        return await store.transactions_before(context, caller.shard, caller.book, before, narrow, _EXPORT_PAGE)

    async def more(page: Looked[BalanceTransaction]) -> AsyncIterator[Sequence[BalanceTransaction]]:
        while (last := _place(page.rows[-1]) if len(page.rows) == _EXPORT_PAGE else page.looked) is not None:
            page = await page_before(last)
            yield page.rows

    first = await page_before(cursor_of(asked.after) or (store.FAR_OFF, store.LAST))
    return Response(
        content_type=statement.CONTENT_TYPE,
        headers=((b"content-disposition", b'attachment; filename="balance_transactions.csv"'),),
        stream=statement.pages(first.rows, more(first)),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/balances",
        handler=balances,
        summary="Get balances",
        who="merchant",
        scope=SCOPE,
        query=BalanceQuery,
        answer=BalanceList,
    ),
    Route(
        method="GET",
        path="/v1/balance_transactions",
        handler=list_,
        summary="List balance transactions",
        who="merchant",
        scope=SCOPE,
        query=BalanceTransactionQuery,
        answer=BalanceTransactionList,
        also=("text/csv",),
    ),
)
