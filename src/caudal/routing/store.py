"""What routing reads outside of a batch. A profile never changes, so that a process reads each once."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from caudal.contracts.pages import Place
from caudal.kernel.context import Context
from caudal.routing.model import Profile
from caudal.routing.rows import SQL, profile_of

_KEPT: Final = 4_096


class ProfileCache:
    """The profiles that this process has met."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[UUID, Profile] = {}

    def hit(self, id: UUID) -> Profile | None:
        """One that was met before."""
        return self._known.get(id)

    async def read(self, shard: int, id: UUID) -> Profile | None:
        """One from the database. Raises Retry when that does not answer."""
        row = await self._context.row(SQL["read_profiles"], (shard, [id]))
        if row is None:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        found = self._known[id] = profile_of(row)
        return found


async def profile(context: Context, shard: int, id: UUID) -> Profile | None:
    """A profile of any book."""
    cache = context.once(ProfileCache)
    return cache.hit(id) or await cache.read(shard, id)


async def active(context: Context, shard: int, book: int) -> UUID | None:
    """Which profile of a book is active."""
    row = await context.row(SQL["active_profile"], (shard, book))
    return None if row is None else row[0]


async def profiles_before(context: Context, shard: int, book: int, before: Place, limit: int) -> list[Profile]:
    """One page of a book's profiles, newest first."""
    parameters = {"shard": shard, "book": book, "before_at": before[0], "before_id": before[1], "limit": limit}
    return [profile_of(row) for row in await context.named_rows(SQL["profiles_before"], parameters)]
