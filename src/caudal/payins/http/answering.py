"""What the pages of this folder share: ids in paths, places in lists, answers of commands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from caudal.contracts.problems import respond
from caudal.kernel import idempotency, ids
from caudal.kernel.commit import Key
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import Refused, Unknown
from caudal.kernel.http import Request, Response
from caudal.payins.model import Deposit, Payin

log = logging.getLogger(__name__)


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


def id_of(prefix: str, text: str) -> UUID:
    """The id in a path. Raises Refused("not_found") for a text that is none."""
    id = ids.parse(prefix, text)
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


def place_of(row: Payin | Deposit) -> tuple[datetime, UUID]:
    """Where a row stands in its list."""
    return row.created_at, row.id
