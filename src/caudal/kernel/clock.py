"""Time in text. What time it is, the database says: a batch's time is the only one that decides anything."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)  # the payins of a batch have one time of creation, and most of them one expiry
def rfc3339(at: datetime) -> str:
    """An instant as RFC 3339 in UTC with microseconds: `2026-11-23T10:00:00.000000Z`."""
    assert at.tzinfo is not None, "a naive time has no meaning here"
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(timespec="microseconds")[:26] + "Z"


def wall_clock() -> datetime:
    """This machine's idea of the time: for logs and signatures, never for a decision about money."""
    return datetime.now(UTC)
