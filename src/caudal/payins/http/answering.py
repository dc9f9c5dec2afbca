"""What the pages of this folder share: ids in paths, places in lists, answers of commands."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from caudal.contracts.pages import Looked, Place
from caudal.contracts.problems import respond
from caudal.kernel import idempotency, ids
from caudal.kernel.commit import Key
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import Refused, Unknown
from caudal.kernel.http import Request, Response
from caudal.payins.model import Deposit, Payin

log = logging.getLogger(__name__)

T = TypeVar("T")


@contextmanager
def provider_is_asked(request: Request) -> Iterator[None]:
    """Behind the commit of an intent: whatever fails now, the provider may have done what it was asked for.

    Raises Unknown for everything; the work that was committed with the intent finds out.
    """
    try:
        yield
    except Unknown:
        raise
    except Exception as error:
        log.exception("no outcome of a request whose provider may have been asked", extra={"request_id": request.id})
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
