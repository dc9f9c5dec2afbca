"""An operator forces a provider's breaker, or drains it. What is not spoken of stays; the audit trail has the words."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from caudal.kernel.commit import Decision, Put, View
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.merchants import AUDIT, AuditRecord, refuse_revoked
from caudal.payins.model import OverrideRecord, override_body
from caudal.payins.rows import OVERRIDES


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
        if said.until is not None and said.until <= view.clock:
            error = FieldError(field="/until", code="in_the_past", detail="this time has passed")
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
