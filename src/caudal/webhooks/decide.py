"""The judgement: what is and what is asked, to rows and events; and what follows an attempt. Pure.

Refusals, in this order: the caller's key has ended (`unauthenticated`, not stored), there is no such endpoint in this
book (`not_found`), its state does not allow it (`forbidden_transition`), there are too many already (`too_many`, not
stored).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from caudal.contracts import webhooks as contracts
from caudal.contracts.webhooks import DisabledReason, EndpointStatus
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.merchants import refuse_ended
from caudal.webhooks.model import (
    ATTEMPTS_MAX,
    FAST_ATTEMPTS,
    SCHEDULE_S,
    Attempt,
    Delivery,
    Endpoint,
    RangeRecord,
    data_of,
)
from caudal.webhooks.rows import DELIVERIES, ENDPOINT_COUNTS, ENDPOINTS, RANGE_COUNTS, RANGES, Counts
from caudal.webhooks.states import Happening, Status, after

REDELIVER: Final = "webhook.redeliver"
# A retry comes up to a tenth later than the schedule says, so that what failed together is not tried together.
JITTER: Final = 0.1

ENDPOINTS_MAX: Final = 100
RANGES_MAX: Final = 10

NOBODY: Final = Refused("not_found", "there is no such webhook endpoint")


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be different; None stays as it is, an empty description goes."""

    url: str | None = None
    types: tuple[str, ...] | None = None
    description: str | None = None
    status: EndpointStatus | None = None


# Endpoints


def create(view: View, *, endpoint: Endpoint, key_digest: bytes) -> Decision | Refused:
    """A new endpoint, enabled."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    counted = _one_more(view, ENDPOINT_COUNTS, endpoint.book, ENDPOINTS_MAX, "endpoints; delete what you do not need")
    if isinstance(counted, Refused):
        return counted
    made = msgspec.structs.replace(endpoint, created_at=view.at)
    return Decision(outcome=made, puts=(Put(ENDPOINTS, made), counted), subject=made.id)


def _one_more(view: View, counts: Counts, book: int, most: int, what: str) -> Put | Invalid:
    counted = view.get(counts, book)
    assert counted is not None, "every book is counted"
    if counted.count >= most:
        detail = f"there are {most} {what}"
        return Invalid("invalid_request", detail, errors=(FieldError(field="", code="too_many", detail=detail),))
    return Put(counts, msgspec.structs.replace(counted, count=counted.count + 1, version=counted.version + 1))


def change(view: View, *, id: UUID, book: int, changes: Changes, key_digest: bytes) -> Decision | Refused:
    """Another address, other types, another description; enabled or disabled. An event tells of the disabling."""
    endpoint = _mine(view, id, book, key_digest, but_not=("deleted",))
    if isinstance(endpoint, Refused):
        return endpoint
    changed = msgspec.structs.replace(
        endpoint,
        version=endpoint.version + 1,
        url=endpoint.url if changes.url is None else changes.url,
        types=endpoint.types if changes.types is None else changes.types,
        description=endpoint.description if changes.description is None else changes.description or None,
    )
    if changes.status == "disabled" and endpoint.status == "enabled":
        return _disabled(view, changed, "requested")
    if changes.status == "enabled":
        changed = msgspec.structs.replace(changed, status="enabled", reason=None, disabled_at=None)
    return Decision(outcome=changed, puts=(Put(ENDPOINTS, changed),), subject=id)


def rotate(
    view: View, *, id: UUID, book: int, sealed: bytes, overlap: timedelta, key_digest: bytes
) -> Decision | Refused:
    """Another secret; the present one signs beside it for the overlap, one before it no more."""
    endpoint = _mine(view, id, book, key_digest, but_not=("deleted",))
    if isinstance(endpoint, Refused):
        return endpoint
    changed = msgspec.structs.replace(
        endpoint,
        version=endpoint.version + 1,
        sealed=sealed,
        former_sealed=endpoint.sealed if overlap else None,
        former_until=view.at + overlap if overlap else None,
    )
    return Decision(outcome=changed, puts=(Put(ENDPOINTS, changed),), subject=id)


def delete(view: View, *, id: UUID, book: int, key_digest: bytes) -> Decision | Refused:
    """Given up for good: it is in no list and gets nothing, its secrets go; what was delivered can be looked at."""
    endpoint = _mine(view, id, book, key_digest, but_not=("deleted",))
    if isinstance(endpoint, Refused):
        return endpoint
    counted = view.get(ENDPOINT_COUNTS, book)
    assert counted is not None, "every book is counted"
    gone = msgspec.structs.replace(
        endpoint,
        version=endpoint.version + 1,
        status="deleted",
        reason=None,
        disabled_at=None,
        deleted_at=view.at,
        sealed=None,
        former_sealed=None,
        former_until=None,
    )
    one_less = msgspec.structs.replace(counted, count=counted.count - 1, version=counted.version + 1)
    data = encode(data_of(gone, contracts.WebhookEndpointDeleted))
    event = Event(type=contracts.DELETED, subject=id, book=book, data=data)
    puts = (Put(ENDPOINTS, gone), Put(ENDPOINT_COUNTS, one_less))
    return Decision(outcome=gone, puts=puts, events=(event,), subject=id)


def disable(view: View, *, id: UUID, reason: DisabledReason, version: int) -> Decision | Refused:
    """An endpoint that has failed for days, or that wants no more. One that was changed meanwhile begins anew."""
    endpoint = view.get(ENDPOINTS, id)
    if endpoint is None or endpoint.status != "enabled" or endpoint.version != version:
        return Decision(outcome=endpoint)
    return _disabled(view, msgspec.structs.replace(endpoint, version=endpoint.version + 1), reason)


def test(view: View, *, id: UUID, book: int, delivery: UUID, key_digest: bytes) -> Decision | Refused:
    """An event for this endpoint alone. Refuses: not_found; forbidden_transition unless it is enabled."""
    endpoint = _mine(view, id, book, key_digest, but_not=("disabled", "deleted"))
    if isinstance(endpoint, Refused):
        return endpoint
    made = Delivery(
        id=delivery,
        created_at=view.at,
        book=book,
        endpoint=id,
        event_seq=view.next_event_seq,
        event_at=view.at,
        type=contracts.TEST,
        subject=id,
        cause="test",
        due_at=view.clock,
    )
    data = encode(data_of(endpoint, contracts.WebhookEndpointTested))
    event = Event(type=contracts.TEST, subject=id, book=book, data=data)
    return Decision(outcome=(made,), puts=(Put(DELIVERIES, made),), events=(event,), subject=delivery)


# Once more


def redeliver(view: View, *, deliveries: tuple[Delivery, ...], book: int, key_digest: bytes) -> Decision | Refused:
    """Deliveries of an event that happened. Refuses: forbidden_transition where an endpoint is not enabled."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    for delivery in deliveries:
        endpoint = _mine(view, delivery.endpoint, book, key_digest, but_not=("disabled", "deleted"))
        if isinstance(endpoint, Refused):
            return endpoint
    made = tuple(msgspec.structs.replace(one, created_at=view.at, due_at=view.clock) for one in deliveries)
    return Decision(outcome=made, puts=tuple(Put(DELIVERIES, one) for one in made))


def redeliver_range(
    view: View, *, range_: RangeRecord, types: tuple[str, ...] | None, key_digest: bytes
) -> Decision | Refused:
    """Events of a time for one endpoint, made by a job. Refuses: not_found; forbidden_transition; too many at once."""
    endpoint = _mine(view, range_.endpoint, range_.book, key_digest, but_not=("disabled", "deleted"))
    if isinstance(endpoint, Refused):
        return endpoint
    counted = _one_more(view, RANGE_COUNTS, range_.book, RANGES_MAX, "ranges on their way; wait until one is done")
    if isinstance(counted, Refused):
        return counted
    made = msgspec.structs.replace(
        range_,
        types=endpoint.types if types is None else types,
        until=min(range_.until, view.at),
        since=min(range_.since, view.at),
        created_at=view.at,
    )
    due = Due(at=view.clock, kind=REDELIVER, subject=made.id, book=made.book)
    return Decision(outcome=made, puts=(Put(RANGES, made), counted), due=(due,), subject=made.id)


def _mine(
    view: View, id: UUID, book: int, key_digest: bytes, *, but_not: tuple[EndpointStatus, ...]
) -> Endpoint | Refused:
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    endpoint = view.get(ENDPOINTS, id)
    if endpoint is None or endpoint.book != book:
        return NOBODY
    if endpoint.status in but_not:
        return Refused("forbidden_transition", f"the endpoint is {endpoint.status}")
    return endpoint


def _disabled(view: View, endpoint: Endpoint, reason: DisabledReason) -> Decision:
    gone = msgspec.structs.replace(endpoint, status="disabled", reason=reason, disabled_at=view.at)
    data = encode(data_of(gone, contracts.WebhookEndpointDisabled))
    event = Event(type=contracts.DISABLED, subject=gone.id, book=gone.book, data=data)
    return Decision(outcome=gone, puts=(Put(ENDPOINTS, gone),), events=(event,), subject=gone.id)


# What follows an attempt


class Outcome(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where an attempt has led to. `blocks`: later events of the subject wait until then too."""

    status: Status
    delay_us: int | None = None
    blocks: bool = False


def outcome_of(attempt: Attempt, jitter: float, factor: float = 1.0) -> Outcome:
    """What becomes of a delivery after its n-th attempt; `jitter` is from 0 to 1, pauses are multiplied by `factor`."""
    if attempt.accepted:
        return Outcome(status=after(Status.PENDING, Happening.ACCEPTED))
    if attempt.gone:
        return Outcome(status=after(Status.PENDING, Happening.GONE))
    if attempt.number >= ATTEMPTS_MAX:
        return Outcome(status=after(Status.PENDING, Happening.LAST_NOT_ACCEPTED))
    delay_us = round(SCHEDULE_S[attempt.number] * factor * (1 + JITTER * jitter) * 1_000_000)
    status = after(Status.PENDING, Happening.NOT_ACCEPTED)
    return Outcome(status=status, delay_us=delay_us, blocks=attempt.number < FAST_ATTEMPTS)


def failed_for_too_long(failing_since: datetime | None, at: datetime, patience: timedelta) -> bool:
    """Whether nothing else than failures has come of an endpoint for so long that it is given up."""
    return failing_since is not None and at - failing_since >= patience
