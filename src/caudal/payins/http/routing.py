"""Merchants ask where a payin went, where one would go, and where those of a time would have gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from caudal.connectors import CAPABILITIES
from caudal.kernel import ids
from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, ok
from caudal.kernel.parse import all_errors, partial_parser
from caudal.merchants import Caller, authenticate
from caudal.payins import calls, decide, simulation, store
from caudal.payins.asked import BRANDS_IN, CreatePayinBody, method_of
from caudal.payins.http.answering import id_of
from caudal.payins.model import AttemptsOfPayin, attempts_of
from caudal.payins.simulation import ReplayBody
from caudal.routing import (
    ATTEMPTS,
    Candidate,
    Considered,
    Facts,
    Profile,
    ProfileAsked,
    profile,
    profile_rules,
    provider_names,
)

READ: Final = "payins:read"
ROUTING: Final = "routing:read"
DAYS_MAX: Final = 31
_NOT_YET: Final = datetime(2000, 1, 1, tzinfo=UTC)


async def attempts(context: Context, request: Request) -> Response:
    """Every provider that was asked for a payin, and why it was that one."""
    caller = await authenticate(context, request, READ)
    found = await store.payin(context, caller.shard, id_of("payin", request.parameters[0]), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such payin")
    payin, routed_by = found[0], found[0].details().routing
    return ok(
        AttemptsOfPayin(
            payin=ids.public("payin", payin.id),
            routing_profile=None if routed_by is None else ids.public("rprof", routed_by),
            risk_score=payin.details().risk_score,
            data=attempts_of(payin),
        )
    )


class ReplayAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which payins: of the last days, or of a time. Real time, whatever a test book's own clock says."""

    days: Annotated[int | None, Meta(description=f"the last days, 1 to {DAYS_MAX}", examples=[7])] = None
    created_from: Annotated[Annotated[datetime, Meta(tz=True)] | None, Meta(description="created then or later")] = None
    created_to: Annotated[Annotated[datetime, Meta(tz=True)] | None, Meta(description="created before; now")] = None


class SimulateAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/routing/simulate`: one `payin`, or a `replay`; by a draft, a kept profile, or the active one."""

    payin: Annotated[CreatePayinBody | None, Meta(description="as `POST /v1/payins` would be asked")] = None
    replay: Annotated[ReplayAsked | None, Meta(description="payins that there are")] = None
    profile: Annotated[ProfileAsked | None, Meta(description="a draft; it is not kept")] = None
    profile_id: Annotated[str | None, Meta(description="a profile that is kept: rprof_…")] = None


class SimulationBody(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen. `provider` would be asked first, then the other candidates if nothing comes of it."""

    provider: str | None
    max_attempts: int
    candidates: tuple[Candidate, ...]
    considered: tuple[Considered, ...]
    replay: ReplayBody | None


_read = partial_parser(SimulateAsked)


async def simulate(context: Context, request: Request) -> Response:
    """Say which provider would be chosen, and why; or where the payins of a time would have gone. Writes nothing."""
    caller = await authenticate(context, request, ROUTING)
    asked = _asked(context, caller, request.body)
    rules = await _profile(context, caller, asked)
    attempts_max = ATTEMPTS if rules is None else rules.attempts_max
    if asked.replay is not None:
        since, until = _window(asked.replay)
        replayed = await simulation.replay(context, caller, rules, since, until, request.deadline)
        return ok(
            SimulationBody(provider=None, max_attempts=attempts_max, candidates=(), considered=(), replay=replayed)
        )
    assert asked.payin is not None, "one of them is asked for"
    way = calls.Route(rules, await _facts(context, caller, asked.payin), caller.live)
    if rules is not None and rules.looks_at_rates:
        await calls.remembered(context, request.deadline)
    found = calls.choice(context, way)
    return ok(
        SimulationBody(
            provider=found.candidates[0].provider if found.candidates else None,
            max_attempts=attempts_max,
            candidates=found.candidates,
            considered=found.considered,
            replay=None,
        )
    )


def _asked(context: Context, caller: Caller, body: bytes) -> SimulateAsked:
    """A right request. Raises Invalid with every wrong field."""
    asked, told = _read(body)
    rules = [_one_of(asked), _window_errors(asked), _payin_errors(asked, caller)]
    if isinstance(getattr(asked, "profile", None), ProfileAsked):
        assert asked.profile is not None
        rules += profile_rules(asked.profile, provider_names(context, live=caller.live), "/profile")
    errors = all_errors(told, rules)
    if errors:
        raise Invalid("invalid_request", "the request has errors", errors=tuple(errors))
    return asked


def _one_of(asked: SimulateAsked) -> Iterator[FieldError]:
    if (asked.payin is None) == (asked.replay is None):
        yield _error("/replay", "contradiction", "either a payin or a replay is asked for")
    if asked.profile is not None and asked.profile_id is not None:
        yield _error("/profile_id", "contradiction", "either a draft or a profile that is kept")
    if asked.profile_id is not None and ids.parse("rprof", asked.profile_id) is None:
        yield _error("/profile_id", "invalid_value", "a profile's id: rprof_…")


def _payin_errors(asked: SimulateAsked, caller: Caller) -> Iterator[FieldError]:
    if isinstance(asked.payin, CreatePayinBody):
        try:
            method = method_of(asked.payin, caller)
        except Invalid as refused:
            yield from _within_payin(refused)
            return
        if method.method not in CAPABILITIES:
            yield _error("/payin/method", "not_supported", f"{method.name} goes to no provider: nothing is routed")


def _within_payin(refused: Invalid) -> Iterator[FieldError]:
    for error in refused.errors:
        yield msgspec.structs.replace(error, field=f"/payin{error.field}")


def _window_errors(asked: SimulateAsked) -> Iterator[FieldError]:
    replay = asked.replay
    if replay is None:
        return
    if (replay.days is None) == (replay.created_from is None):
        yield _error("/replay/days", "contradiction", "either days or created_from")
    elif replay.days is not None and not 1 <= replay.days <= DAYS_MAX:
        yield _error("/replay/days", "out_of_range", f"1 to {DAYS_MAX}")
    elif replay.created_from is not None:
        since, until = _window(replay)
        if since >= until:
            yield _error("/replay/created_to", "contradiction", "it is not after created_from")
        elif until - since > timedelta(days=DAYS_MAX):
            yield _error("/replay/created_from", "too_far", f"at most {DAYS_MAX} days before created_to")
    if replay.days is not None and replay.created_to is not None:
        yield _error("/replay/created_to", "contradiction", "the last days end now")


def _window(replay: ReplayAsked) -> tuple[datetime, datetime]:
    until = replay.created_to or wall_clock()
    since = replay.created_from or until - timedelta(days=replay.days or 0)
    return since, until


async def _profile(context: Context, caller: Caller, asked: SimulateAsked) -> Profile | None:
    """The rules to try. Refuses: not_found."""
    if asked.profile is not None:
        draft = asked.profile
        return Profile(
            id=ids.uuid7(caller.slot),
            book=caller.book,
            number=1,
            name=draft.name,
            attempts_max=draft.max_attempts,
            rules=draft.kept(),
            created_at=_NOT_YET,
        )
    id = caller.routing_profile if asked.profile_id is None else ids.parse("rprof", asked.profile_id)
    if id is None:
        return None
    found = await profile(context, caller.shard, id)
    if found is None or found.book != caller.book:
        raise Refused("not_found", "there is no such routing profile")
    return found


async def _facts(context: Context, caller: Caller, payin: CreatePayinBody) -> Facts:
    """What is known of a payin that nobody has made: a split draws anew for each one that is tried.

    Raises Invalid for an instrument with which it could not be made.
    """
    facts = Facts(
        payin=ids.uuid7(caller.slot),
        country=payin.country,
        method=payin.method,
        currency=payin.currency,
        amount_minor=payin.amount,
        metadata=payin.metadata,
        risk_score=payin.risk_score,
    )
    if payin.instrument is None or payin.instrument.id is None:
        return facts
    instrument = ids.parse("instr", payin.instrument.id)
    assert instrument is not None, "it was looked at before"
    card, brands = await store.instrument(context, caller.shard, instrument), BRANDS_IN.get(payin.country, frozenset())
    now = wall_clock() + timedelta(seconds=caller.clock_offset_s)
    refused = decide.refuse_card(card, caller.book, payin.country, brands, payin.instrument.brand, now)
    if refused is not None:
        raise Invalid("invalid_request", "the request has errors", errors=tuple(_within_payin(refused)))
    assert card is not None, "or it was refused"
    return facts.with_bin(card.bin)


def _error(field: str, code: str, detail: str) -> FieldError:
    return FieldError(field=field, code=code, detail=detail)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/payins/{id}/attempts",
        handler=attempts,
        summary="List a payin's attempts",
        who="merchant",
        scope=READ,
        answer=AttemptsOfPayin,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/routing/simulate",
        handler=simulate,
        summary="Try a routing profile",
        who="merchant",
        scope=ROUTING,
        body=SimulateAsked,
        answer=SimulationBody,
        codes=("not_found",),
    ),
)
