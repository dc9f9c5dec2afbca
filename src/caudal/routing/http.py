"""Merchants ask: keep a routing profile, see it, activate it, take it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from caudal.contracts.pages import Place, cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, no_body, ok, query_of
from caudal.kernel.idempotency import optional_key_of
from caudal.merchants import Caller, authenticate
from caudal.routing import commands, store
from caudal.routing.asked import ProfileAsked, profile_asked
from caudal.routing.model import Profile, ProfileBody, profile_body
from caudal.routing.offers import provider_names

READ: Final = "routing:read"
WRITE: Final = "routing:write"
_NOT_YET: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)


class ProfileQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of profiles, newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older profiles")] = None


class ProfileList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of profiles, newest first."""

    data: list[ProfileBody]
    has_more: bool
    next: str | None


async def create(context: Context, request: Request) -> Response:
    """Keep another version of the rules. Nothing is routed by it yet."""
    caller = await authenticate(context, request, WRITE)
    asked = profile_asked(request.body, provider_names(context, live=caller.live))
    command = commands.CreateProfile(profile=draft_of(caller, asked), **_change(context, request, caller))
    return await _committed(context, caller, command, request)


def draft_of(caller: Caller, asked: ProfileAsked) -> Profile:
    """What is asked for, as a profile; the decision sets its number and its time."""
    return Profile(
        id=ids.uuid7(caller.slot),
        book=caller.book,
        number=1,
        name=asked.name.strip(),
        attempts_max=asked.max_attempts,
        rules=asked.kept(),
        created_at=_NOT_YET,
    )


async def list_(context: Context, request: Request) -> Response:
    """All profiles, newest first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, ProfileQuery)
    before = cursor_of(asked.after) or (_FAR_OFF, UUID(int=0))
    active = await store.active(context, caller.shard, caller.book)
    rows = await store.profiles_before(context, caller.shard, caller.book, before, asked.limit + 1)
    page = page_of(rows, asked.limit, _place_of, first=True)
    data = [profile_body(row, active=row.id == active) for row in page.rows]
    return ok(ProfileList(data=data, has_more=page.has_more, next=page.next))


def _place_of(profile: Profile) -> Place:
    return profile.created_at, profile.id


async def get(context: Context, request: Request) -> Response:
    """One profile."""
    caller = await authenticate(context, request, READ)
    found = await store.profile(context, caller.shard, _id(request))
    if found is None or found.book != caller.book:
        raise Refused("not_found", "there is no such routing profile")
    active = await store.active(context, caller.shard, caller.book)
    return ok(profile_body(found, active=found.id == active))


async def activate(context: Context, request: Request) -> Response:
    """Route new payins by this profile; the one before is active no more."""
    return await _switch(context, request, active=True)


async def deactivate(context: Context, request: Request) -> Response:
    """Route new payins by no profile: every provider that offers the method, in the order of the configuration."""
    return await _switch(context, request, active=False)


async def _switch(context: Context, request: Request, *, active: bool) -> Response:
    caller = await authenticate(context, request, WRITE)
    change = _change(context, request, caller)
    command = commands.ActivateProfile(id=_id(request), book=caller.book, active=active, **change)
    no_body(request)
    return await _committed(context, caller, command, request)


def _change(context: Context, request: Request, caller: Caller) -> dict[str, Any]:
    """What every change has. No money moves here, so a key is a merchant's choice."""
    return {
        "key_digest": caller.key_digest,
        "entry": ids.uuid7(caller.slot),
        "key": optional_key_of(request, caller.book, context.sealer.fingerprint_keys),
        "request_id": request.id,
    }


def _id(request: Request) -> UUID:
    id = ids.parse("rprof", request.parameters[0])
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


async def _committed(context: Context, caller: Caller, command: Any, request: Request) -> Response:
    result = await context.commit(caller.shard, command, request.deadline)
    if result.answer is None and isinstance(result.outcome, Refused):
        raise result.outcome
    return respond(result.answer or command.render(result.outcome))


_PROFILES: Final = "/v1/routing/profiles"

ROUTES: Final = (
    Route(
        method="POST",
        path=_PROFILES,
        handler=create,
        summary="Create a routing profile",
        who="merchant",
        scope=WRITE,
        body=ProfileAsked,
        answer=ProfileBody,
        answers=201,
        keyed="optional",
        codes=("forbidden_transition",),
    ),
    Route(
        method="GET",
        path=_PROFILES,
        handler=list_,
        summary="List routing profiles",
        who="merchant",
        scope=READ,
        query=ProfileQuery,
        answer=ProfileList,
    ),
    Route(
        method="GET",
        path=_PROFILES + "/{id}",
        handler=get,
        summary="Get a routing profile",
        who="merchant",
        scope=READ,
        answer=ProfileBody,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_PROFILES + "/{id}/activations",
        handler=activate,
        summary="Activate a routing profile",
        who="merchant",
        scope=WRITE,
        answer=ProfileBody,
        keyed="optional",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path=_PROFILES + "/{id}/deactivations",
        handler=deactivate,
        summary="Route by no profile",
        who="merchant",
        scope=WRITE,
        answer=ProfileBody,
        keyed="optional",
        codes=("not_found", "forbidden_transition"),
    ),
)
