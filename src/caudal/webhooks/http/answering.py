"""What the pages of this folder share: who asks, ids in paths, answers of commands, places in lists."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from caudal.contracts.pages import Page, Place, cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.commit import Result
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response
from caudal.kernel.idempotency import key_of
from caudal.merchants import Caller, authenticate
from caudal.webhooks import store
from caudal.webhooks.model import ENDPOINT, Endpoint

T = TypeVar("T")

READ: Final = "webhooks:read"
WRITE: Final = "webhooks:write"
_NEWEST: Final = (datetime(9999, 1, 1, tzinfo=UTC), UUID(int=2**128 - 1))
_OLDEST: Final = (datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0))


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what every command of theirs has."""

    caller: Caller
    command: dict[str, Any]


async def asking(context: Context, request: Request) -> Asking:
    """The caller of a request that changes something. Refuses: unauthenticated, forbidden. Raises Invalid."""
    caller = await authenticate(context, request, WRITE)
    key = key_of(request, caller.book, context.sealer.fingerprint_keys)
    command = {"book": caller.book, "key_digest": caller.key_digest, "key": key, "request_id": request.id}
    return Asking(caller=caller, command=command)


async def committed(context: Context, caller: Caller, command: Any, request: Request) -> Result:
    """Commits a command that has a key."""
    result = await context.commit(caller.shard, command, request.deadline)
    if isinstance(result.outcome, Invalid):
        raise result.outcome
    return result


def answered(result: Result) -> Response:
    """What is stored under the command's key."""
    assert result.answer is not None, "a command with a key has an answer"
    return respond(result.answer)


def id_of(prefix: str, request: Request) -> UUID:
    """The id in a path. Raises Refused("not_found") for a text that is none."""
    id = ids.parse(prefix, request.parameters[0])
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


async def endpoint_of(context: Context, caller: Caller, request: Request) -> tuple[Endpoint, datetime | None]:
    """The caller's endpoint in a path. Refuses: not_found."""
    found = await store.endpoint(context, caller.shard, id_of(ENDPOINT, request), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such webhook endpoint")
    return found


async def page(
    limit: int,
    after: str | None,
    before: str | None,
    place: Callable[[T], Place],
    older: Callable[[Place, int], Awaitable[Sequence[T]]],
    newer: Callable[[Place, int], Awaitable[Sequence[T]]],
) -> Page[T]:
    """A page of a list, newest first: older rows than `after`, or newer ones than `before`. Raises Invalid."""
    if after is not None and before is not None:
        error = FieldError(field="?before", code="contradiction", detail="after and before exclude each other")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    if before is not None:
        rows = await newer(cursor_of(before, "before") or _OLDEST, limit + 1)
        return page_of(rows, limit, place, backwards=True)
    rows = await older(cursor_of(after) or _NEWEST, limit + 1)
    return page_of(rows, limit, place, first=after is None)
