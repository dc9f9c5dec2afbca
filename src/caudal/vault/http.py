"""Merchants ask: keep a card, see it, erase it. The card number is sealed here, before anything else sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from caudal.catalogue import bin_of, brand_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Key
from caudal.kernel.context import Context
from caudal.kernel.errors import Invalid, Refused
from caudal.kernel.http import Request, Response, Route, no_body, ok
from caudal.kernel.idempotency import header_of, is_known, key_of
from caudal.merchants import Caller, authenticate
from caudal.vault import commands, store
from caudal.vault.asked import CreateInstrumentBody, instrument_asked
from caudal.vault.envelope import Envelopes, Secret
from caudal.vault.model import InstrumentBody, InstrumentRecord, InstrumentWithHolder, body_with_holder, place_of

READ: Final = "instruments:read"
WRITE: Final = "instruments:write"
_NOT_YET: Final = datetime(2000, 1, 1, tzinfo=UTC)


async def create(context: Context, request: Request) -> Response:
    """Keep a card in the vault."""
    caller = await authenticate(context, request, WRITE)
    key = _key(context, request, caller)
    asked = await _asked(context, request, caller, key)
    command = commands.CreateInstrument(
        record=_sealed(context, caller, asked), key_digest=caller.key_digest, key=key, request_id=request.id
    )
    return await _committed(context, caller.shard, command, request)


async def _asked(context: Context, request: Request, caller: Caller, key: Key | None) -> CreateInstrumentBody:
    """What is asked for; a repetition finds its answer though the card has expired meanwhile. Raises Invalid."""
    try:
        return instrument_asked(request.body, wall_clock() + timedelta(seconds=caller.clock_offset_s))
    except Invalid as refused:
        alone = [error.code for error in refused.errors] == ["expired_card"]
        if key is None or not alone or not await is_known(context, caller.shard, key):
            raise
        return instrument_asked(request.body, None)


def _sealed(context: Context, caller: Caller, asked: CreateInstrumentBody) -> InstrumentRecord:
    """What is asked for, as it is kept; the decision sets its times."""
    id, card, number = ids.uuid7(caller.slot), asked.card, asked.card.digits
    brand = brand_of(number)
    assert brand is not None, "a right number has a brand"
    secret = Secret(number=number, holder_name=card.holder_name.strip())
    place = place_of(caller.book, id)
    envelope = context.once(Envelopes).seal(secret, card.security_code, place)
    return InstrumentRecord(
        id=id,
        book=caller.book,
        version=1,
        type="card",
        brand=brand.brand,
        bin=bin_of(number),
        last4=number[-4:],
        expiry_month=card.expiry_month,
        expiry_year=card.expiry_year,
        country=asked.country,
        holder=envelope.holder,
        key_id=envelope.key_id,
        wrapped=envelope.wrapped,
        sealed=envelope.sealed,
        code=envelope.code,
        code_until=None,
        created_at=_NOT_YET,
        deleted_at=None,
    )


async def get(context: Context, request: Request) -> Response:
    """One instrument with the name of the card's holder."""
    caller = await authenticate(context, request, READ)
    found = await store.instrument(context, caller.shard, _id(request), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such instrument")
    return ok(body_with_holder(found, commands.holder_of(context, found)))


async def delete(context: Context, request: Request) -> Response:
    """Erase a card. What was paid with it stays as it is."""
    caller = await authenticate(context, request, WRITE)
    command = commands.DeleteInstrument(
        id=_id(request),
        book=caller.book,
        key_digest=caller.key_digest,
        key=_key(context, request, caller),
        request_id=request.id,
    )
    no_body(request)
    return await _committed(context, caller.shard, command, request)


def _key(context: Context, request: Request, caller: Caller) -> Key | None:
    """No money moves here, so a key is a merchant's choice."""
    if header_of(request) is None:
        return None
    return key_of(request, caller.book, context.sealer.fingerprint_keys)


def _id(request: Request) -> UUID:
    id = ids.parse("instr", request.parameters[0])
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


async def _committed(context: Context, shard: int, command: Any, request: Request) -> Response:
    result = await context.commit(shard, command, request.deadline)
    return respond(result.answer or command.render(result.outcome))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/instruments",
        handler=create,
        summary="Keep a card",
        who="merchant",
        scope=WRITE,
        body=CreateInstrumentBody,
        answer=InstrumentBody,
        answers=201,
        keyed="optional",
    ),
    Route(
        method="GET",
        path="/v1/instruments/{id}",
        handler=get,
        summary="Get an instrument",
        who="merchant",
        scope=READ,
        answer=InstrumentWithHolder,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/instruments/{id}/deletions",
        handler=delete,
        summary="Erase a card",
        who="merchant",
        scope=WRITE,
        answer=InstrumentBody,
        keyed="optional",
        codes=("not_found", "forbidden_transition"),
    ),
)
