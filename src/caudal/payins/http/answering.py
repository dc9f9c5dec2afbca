"""What the pages of this folder share: ids in paths, places in lists, answers of commands."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from caudal.contracts.pages import Looked, Place
from caudal.contracts.problems import respond
from caudal.kernel import idempotency, ids
from caudal.kernel.commit import Key
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import Refused, Unknown
from caudal.kernel.http import IdOf, Request, Response
from caudal.payins.model import Deposit, Payin

log = logging.getLogger(__name__)

T = TypeVar("T")

# What a list's parameters are whose types do not say it. A payin that there is not leaves an empty list.
IDS: Final = {"payin": IdOf(prefix="payin", what="a payin")}


class ProviderAsked:
    """A block behind the commit of an intent: whatever fails in it, the provider may have done what it was asked for.

    Raises Unknown for everything; the work that was committed with the intent finds out.
    """

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, Unknown):
            return
        extra = {"request_id": self._request.id}
        log.error("no outcome of a request whose provider may have been asked", exc_info=error, extra=extra)
        raise Unknown("unknown_outcome", "the provider may have been asked; the same key finds out") from error


async def committed(context: Context, shard: int, command: Any, request: Request) -> Response:
    """Commits a command that has a key, and answers what is stored under it."""
    result = await context.commit(shard, command, request.deadline)
    assert result.answer is not None, "a command with a key has an answer"
    return respond(result.answer)


async def is_known(context: Context, request: Request, shard: int, key: Key) -> bool:
    """Whether the key has been used, so that its answer counts and not what would be refused now."""
    return await answered(idempotency.is_known(context, shard, key), request.deadline)


async def on_any(context: Context, read: Callable[[int], Awaitable[T | None]]) -> tuple[int, T] | None:
    """What an id that does not say its shard leads to, on whichever it is, and on which that was."""
    for shard in await context.every_shard():
        found = await read(shard)
        if found is not None:
            return shard, found
    return None


async def merged(
    context: Context, place: Callable[[T], Place], read: Callable[[int], Awaitable[Looked[T]]]
) -> Looked[T]:
    """A page of all shards, newest first, made of each one's page: as far back as all of them were looked at."""
    parts = [await read(shard) for shard in await context.every_shard()]
    looked = max((part.looked for part in parts if part.looked is not None), default=None)
    rows = sorted((row for part in parts for row in part.rows), key=place, reverse=True)
    return Looked([row for row in rows if looked is None or place(row) >= looked], looked)


def id_of(prefix: str, text: str) -> UUID:
    """The id in a path. Raises Refused("not_found") for a text that is none."""
    id = ids.parse(prefix, text)
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


def place_of(row: Payin | Deposit) -> tuple[datetime, UUID]:
    """Where a row stands in its list."""
    return row.created_at, row.id
