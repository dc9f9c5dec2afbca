"""Operators look after what providers say and our books contradict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec

from caudal.contracts.pages import Looked, Place, cursor_of, page_of
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, ok, query_of
from caudal.kernel.parse import parser
from caudal.merchants import HOUSE_SHARD, authenticate_operator, operator_key
from caudal.payins import calls, commands, decide, store
from caudal.payins.http.answering import committed, id_of, merged, on_any
from caudal.payins.http.operations import DestinationAsked, sealed_destination
from caudal.payins.http.seen import seen_of
from caudal.payins.model import (
    CorrectionKind,
    Discrepancy,
    DiscrepancyBody,
    DiscrepancyCase,
    DiscrepancyKind,
    Proposal,
    discrepancy_case,
)


class DiscrepancyQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Discrepancies that nobody has resolved, of all merchants and modes; all of them with `all`."""

    all: bool = False
    kind: DiscrepancyKind | None = None
    provider: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: str | None = None


class DiscrepancyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of discrepancies, newest first."""

    data: list[DiscrepancyCase]
    has_more: bool
    next: str | None


class ResolveAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it was resolved, for whoever reads the trail."""

    resolution: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]


class CorrectAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Carry out one of its proposals, with the `facts` that the proposal named. `destination` where it needs one."""

    correction: CorrectionKind
    facts: Annotated[str, msgspec.Meta(min_length=2, max_length=100)]
    destination: DestinationAsked | None = None


_parse_resolve, _parse_correct = parser(ResolveAsked), parser(CorrectAsked)


async def discrepancies(context: Context, request: Request) -> Response:
    """What providers have said that contradicts our books, newest first, and what would put it right."""
    await authenticate_operator(context, request)
    asked = query_of(request, DiscrepancyQuery)
    before = cursor_of(asked.after) or (store.FAR_OFF, UUID(int=2**128 - 1))

    async def page_of_shard(shard: int) -> Looked[tuple[int, Discrepancy]]:
        found = await store.discrepancies_before(
            context,
            shard,
            before,
            all=asked.all,
            kind=asked.kind,
            provider=asked.provider,
            limit=asked.limit + 1,
        )
        return Looked([(shard, row) for row in found.rows], found.looked)

    rows, looked = await merged(context, _place, page_of_shard)
    page = page_of(rows, asked.limit, _place, looked=looked)
    proposed = await _proposed(context, page.rows)
    data = [discrepancy_case(row, proposed[row.id]) for _, row in page.rows]
    return ok(DiscrepancyList(data=data, has_more=page.has_more, next=page.next))


def _place(found: tuple[int, Discrepancy]) -> Place:
    return found[1].created_at, found[1].id


async def discrepancy(context: Context, request: Request) -> Response:
    """One of them."""
    await authenticate_operator(context, request)
    shard, found = await _found(context, request)
    return ok(discrepancy_case(found, (await _proposed(context, [(shard, found)]))[found.id]))


async def _found(context: Context, request: Request) -> tuple[int, Discrepancy]:
    """The one in the path, and its shard. Raises Refused("not_found")."""
    id = id_of("disc", request.parameters[0])
    found = await on_any(context, lambda shard: store.discrepancy(context, shard, id))
    if found is None:
        raise Refused("not_found", "there is no such discrepancy")
    return found


async def _proposed(context: Context, found: Sequence[tuple[int, Discrepancy]]) -> dict[UUID, tuple[Proposal, ...]]:
    """The proposals of each, from how everything stands now."""
    proposed = dict[UUID, tuple[Proposal, ...]]()
    for shard in sorted({shard for shard, _ in found}):
        rows = [row for of, row in found if of == shard]
        seen = await seen_of(context, shard, rows)
        proposed |= {row.id: decide.proposals(row, decide.known_of(seen, row)) for row in rows}
    return proposed


async def resolve_discrepancy(context: Context, request: Request) -> Response:
    """Says that a discrepancy was looked after, and how."""
    operator = await authenticate_operator(context, request)
    asked, id = _parse_resolve(request.body), id_of("disc", request.parameters[0])
    found = await on_any(context, lambda shard: store.discrepancy(context, shard, id))
    shard = HOUSE_SHARD if found is None else found[0]
    command = commands.ResolveDiscrepancy(
        id=id,
        operator=operator.on(shard),
        resolution=asked.resolution,
        entry=ids.uuid7(),
        key=operator_key(context, request, operator),
        request_id=request.id,
    )
    return await committed(context, shard, command, request)


async def correct_discrepancy(context: Context, request: Request) -> Response:
    """Carries out what is proposed, once, if nothing has changed since it was looked at."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    asked, (shard, found) = _parse_correct(request.body), await _found(context, request)
    payin = None if found.payin is None else await store.payin_row(context, shard, found.payin)
    offered = (await _proposed(context, [(shard, found)]))[found.id]
    needed = any(one.correction == asked.correction and one.destination == "needed" for one in offered)
    sealed = None
    if payin is not None and (needed or asked.destination is not None):
        deposit = decide.late_deposit(payin.method, decide.said_of(found.detail).key or "")
        sealed = sealed_destination(context, payin, asked.destination, deposit)
    command = commands.CorrectDiscrepancy(
        found=found,
        facts=None if payin is None else calls.facts_of(payin, settlement_days=0),
        chosen=decide.Chosen(
            operator=operator.on(shard),
            correction=asked.correction,
            facts=asked.facts,
            destination=sealed,
            entry=ids.uuid7(),
            nobody=b"" if payin is None else calls.nobody(context, payin.id),
        ),
        key=key,
        request_id=request.id,
    )
    return await committed(context, shard, command, request)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operator/discrepancies",
        handler=discrepancies,
        summary="List discrepancies with providers",
        who="operator",
        query=DiscrepancyQuery,
        answer=DiscrepancyList,
    ),
    Route(
        method="GET",
        path="/v1/operator/discrepancies/{id}",
        handler=discrepancy,
        summary="Get a discrepancy",
        who="operator",
        answer=DiscrepancyCase,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/operator/discrepancies/{id}/resolutions",
        handler=resolve_discrepancy,
        summary="Resolve a discrepancy",
        who="operator",
        body=ResolveAsked,
        answer=DiscrepancyBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path="/v1/operator/discrepancies/{id}/corrections",
        handler=correct_discrepancy,
        summary="Correct a discrepancy",
        who="operator",
        body=CorrectAsked,
        answer=DiscrepancyBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition", "insufficient_funds"),
    ),
)
