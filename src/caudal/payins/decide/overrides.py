"""An operator forces a provider's breaker, or drains it. What is not spoken of stays; the audit trail has the words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal.kernel.commit import Decision, Put, View
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.merchants import AUDIT, AuditRecord, refuse_revoked
from caudal.payins.model import OverrideRecord, override_body
from caudal.payins.rows import OVERRIDES

_LONGEST: Final = timedelta(days=36_525)


class Forcing(msgspec.Struct, frozen=True, kw_only=True):
    """What the breaker is forced to, why, and until when; `automatic`: it decides by itself again."""

    breaker: Literal["open", "closed", "automatic"]
    reason: str
    until: datetime | None


class Draining(msgspec.Struct, frozen=True, kw_only=True):
    """Whether new payments stay away, and why."""

    drained: bool
    reason: str


def override(
    view: View,
    *,
    provider: str,
    mode: Literal["test", "live"],
    said: Forcing | Draining,
    actor: str,
    digest: bytes | None,
    entry: UUID,
) -> Decision | Refused:
    """What an operator says of a provider. Refuses: an ended key, a time that has passed."""
    refusal = None if digest is None else refuse_revoked(view, digest)
    if refusal is not None:
        return refusal
    known = view.get(OVERRIDES, (provider, mode))
    before = known or OverrideRecord(
        provider=provider,
        mode=mode,
        version=0,
        forced=None,
        forced_reason=None,
        forced_until=None,
        drained=False,
        drained_reason=None,
        changed_at=view.clock,
    )
    if isinstance(said, Forcing):
        error = _until_error(said, view.clock)
        if error is not None:
            return Invalid("invalid_request", "the request has errors", errors=(error,))
        forced = None if said.breaker == "automatic" else said.breaker
        new = msgspec.structs.replace(
            before, forced=forced, forced_reason=said.reason if forced else None, forced_until=said.until
        )
        action = "provider.forced"
    else:
        new = msgspec.structs.replace(
            before, drained=said.drained, drained_reason=said.reason if said.drained else None
        )
        action = "provider.drained"
    new = msgspec.structs.replace(new, version=before.version + 1, changed_at=view.clock)
    audit = AuditRecord(
        id=entry,
        at=view.at,
        actor=actor,
        action=action,
        subject=f"{provider}/{mode}",
        detail=encode({**msgspec.to_builtins(override_body(new)), "reason": said.reason}),
    )
    return Decision(outcome=new, puts=(Put(OVERRIDES, new), Put(AUDIT, audit)))


def _until_error(said: Forcing, now: datetime) -> FieldError | None:
    """What is wrong with the end of what is forced."""
    if said.until is None:
        return None
    if said.breaker == "automatic":
        return FieldError(field="/until", code="contradiction", detail="what is not forced has no end")
    if said.until <= now:
        return FieldError(field="/until", code="in_the_past", detail="this time has passed")
    if said.until > now + _LONGEST:
        return FieldError(field="/until", code="too_far", detail="within a hundred years; left out: without end")
    return None
