"""What operators decide about providers: a breaker that is forced, a drain."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from caudal.kernel.clock import rfc3339


class OverrideRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The decisions about a provider in a mode. `forced_until` is real time; None: until it is changed."""

    provider: str
    mode: Literal["test", "live"]
    version: int
    forced: Literal["open", "closed"] | None
    forced_reason: str | None
    forced_until: datetime | None
    drained: bool
    drained_reason: str | None
    changed_at: datetime


class OverrideBody(msgspec.Struct, frozen=True, kw_only=True):
    """The decisions about a provider in a mode, as operators see them."""

    object: Literal["provider_override"] = "provider_override"
    provider: Annotated[str, Meta(description="its name")]
    mode: Literal["test", "live"]
    forced: Annotated[
        Literal["open", "closed"] | None,
        Meta(description="`open`: nobody is asked; `closed`: everybody, however it goes; null: the breaker decides"),
    ]
    forced_reason: Annotated[str | None, Meta(description="why, in an operator's words")]
    forced_until: Annotated[str | None, Meta(description="until when; null: until it is changed")]
    drained: Annotated[bool, Meta(description="no new payments go there; everything else goes on")]
    drained_reason: Annotated[str | None, Meta(description="why, in an operator's words")]
    changed_at: Annotated[str, Meta(description="when an operator said so last")]


def override_body(found: OverrideRecord) -> OverrideBody:
    """The decisions as they are shown."""
    return OverrideBody(
        provider=found.provider,
        mode=found.mode,
        forced=found.forced,
        forced_reason=found.forced_reason,
        forced_until=None if found.forced_until is None else rfc3339(found.forced_until),
        drained=found.drained,
        drained_reason=found.drained_reason,
        changed_at=rfc3339(found.changed_at),
    )
