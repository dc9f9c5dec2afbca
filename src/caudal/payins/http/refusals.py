"""Callbacks that were refused at the door: counted by provider and reason, in this process since it began."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import msgspec

from caudal.connectors import NotGenuine
from caudal.kernel.context import Context
from caudal.kernel.errors import Invalid
from caudal.kernel.http import Request

log = logging.getLogger(__name__)

Why = Annotated[
    Literal["unsigned", "stale", "forged", "malformed"],
    msgspec.Meta(description="`stale`: signed too long ago; `forged`: with a secret that is none of ours"),
]


class RefusedCallbacks(msgspec.Struct, frozen=True, kw_only=True):
    """How many callbacks of a provider were refused for a reason."""

    provider: str
    reason: Why
    count: int


class Refusals:
    """The counts of one process."""

    def __init__(self, _: Context) -> None:
        self._counts = Counter[tuple[str, Why]]()

    def count(self, provider: str, why: Why) -> int:
        """Counts one more; how many there are now."""
        self._counts[provider, why] += 1
        return self._counts[provider, why]

    def shown(self) -> list[RefusedCallbacks]:
        """Every count, by provider and reason."""
        counts = sorted(self._counts.items())
        return [RefusedCallbacks(provider=provider, reason=why, count=count) for (provider, why), count in counts]


@contextmanager
def counted(context: Context, request: Request, provider: str) -> Iterator[None]:
    """Counts a callback that is refused inside, and lets the refusal through."""
    try:
        yield
    except (NotGenuine, Invalid) as error:
        why: Why = error.why if isinstance(error, NotGenuine) else "malformed"
        count = context.once(Refusals).count(provider, why)
        if count & (count - 1) == 0:  # anybody can send such, so that only the 1st, 2nd, 4th, 8th … is a line
            said = {"provider": provider, "reason": why, "count": count, "request_id": request.id}
            log.warning("a callback of %s was refused: %s, %s so far", provider, why, count, extra=said)
        raise
