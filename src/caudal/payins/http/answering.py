"""What the pages of this folder share: ids in paths, places in lists, answers of commands."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response
from caudal.payins.model import Deposit, Payin


async def committed(context: Context, shard: int, command: Any, request: Request) -> Response:
    """Commits a command that has a key, and answers what is stored under it."""
    result = await context.commit(shard, command, request.deadline)
    assert result.answer is not None, "a command with a key has an answer"
    return respond(result.answer)


def id_of(prefix: str, text: str) -> UUID:
    """The id in a path. Raises Refused("not_found") for a text that is none."""
    id = ids.parse(prefix, text)
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


def place_of(row: Payin | Deposit) -> tuple[datetime, UUID]:
    """Where a row stands in its list."""
    return row.created_at, row.id
