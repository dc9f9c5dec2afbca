"""The story of webhooks: one command a verb. What is delivered needs none: deliveries are not money."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal.contracts.problems import answer_of
from caudal.contracts.webhooks import DisabledReason
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import API_KEYS
from caudal.webhooks import decide
from caudal.webhooks.model import Delivery, Endpoint, RangeRecord, delivery_body, endpoint_body, range_body
from caudal.webhooks.rows import ENDPOINT_COUNTS, ENDPOINTS, RANGE_COUNTS

Need = tuple[Table[Any, Any], Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What every request has: the book, the caller's key, the idempotency key."""

    book: int
    key_digest: bytes
    key: Key
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        yield API_KEYS, self.key_digest
        for id in self.endpoints():
            yield ENDPOINTS, id

    def endpoints(self) -> Iterable[UUID]:
        """The endpoints that are looked at."""
        return ()

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return self.shown(outcome)

    def shown(self, outcome: Any) -> Answer:
        """The answer, in which no secret stands."""
        raise NotImplementedError


class CreateEndpoint(Asked, frozen=True, kw_only=True):
    """Hear of events. Refuses: too many."""

    endpoint: Endpoint

    def needs(self) -> Iterable[Need]:
        yield from super().needs()
        yield ENDPOINT_COUNTS, self.book

    def decide(self, view: View) -> Decision | Refused:
        return decide.create(view, endpoint=self.endpoint, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        return Answer(201, encode(endpoint_body(outcome)))


class OfEndpoint(Asked, frozen=True, kw_only=True):
    """Something about one endpoint."""

    id: UUID

    def endpoints(self) -> Iterable[UUID]:
        return (self.id,)


class ChangeEndpoint(OfEndpoint, frozen=True, kw_only=True):
    """Change, enable or disable an endpoint. Refuses: not_found."""

    changes: decide.Changes

    def decide(self, view: View) -> Decision | Refused:
        return decide.change(view, id=self.id, book=self.book, changes=self.changes, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        return Answer(200, encode(endpoint_body(outcome)))


class RotateSecret(OfEndpoint, frozen=True, kw_only=True):
    """Let another secret follow the present one. Refuses: not_found."""

    sealed: bytes
    overlap_s: int

    def decide(self, view: View) -> Decision | Refused:
        return decide.rotate(
            view,
            id=self.id,
            book=self.book,
            sealed=self.sealed,
            overlap=timedelta(seconds=self.overlap_s),
            key_digest=self.key_digest,
        )

    def shown(self, outcome: Any) -> Answer:
        return Answer(201, encode(endpoint_body(outcome)))


class DeleteEndpoint(OfEndpoint, frozen=True, kw_only=True):
    """Give an endpoint up for good. Refuses: not_found, forbidden_transition."""

    def needs(self) -> Iterable[Need]:
        yield from super().needs()
        yield ENDPOINT_COUNTS, self.book

    def decide(self, view: View) -> Decision | Refused:
        return decide.delete(view, id=self.id, book=self.book, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        return Answer(200, encode(endpoint_body(outcome)))


class TestEndpoint(OfEndpoint, frozen=True, kw_only=True):
    """Send an endpoint an event of its own. Refuses: not_found, forbidden_transition."""

    __test__ = False
    delivery: UUID

    def decide(self, view: View) -> Decision | Refused:
        return decide.test(view, id=self.id, book=self.book, delivery=self.delivery, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        return Answer(201, encode(delivery_body(outcome[0])))


class Redeliver(Asked, frozen=True, kw_only=True):
    """Send an event once more, to one endpoint or to all that hear of it. Refuses: not_found, forbidden_transition."""

    deliveries: tuple[Delivery, ...]
    listed: bool

    def endpoints(self) -> Iterable[UUID]:
        return tuple(delivery.endpoint for delivery in self.deliveries)

    def decide(self, view: View) -> Decision | Refused:
        return decide.redeliver(view, deliveries=self.deliveries, book=self.book, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        bodies = [delivery_body(delivery) for delivery in outcome]
        return Answer(201, encode({"data": bodies} if self.listed else bodies[0]))


class RedeliverRange(OfEndpoint, frozen=True, kw_only=True):
    """Send an endpoint the events of a time once more. Refuses: not_found, forbidden_transition, too many."""

    range_: RangeRecord
    types: tuple[str, ...] | None

    def needs(self) -> Iterable[Need]:
        yield from super().needs()
        yield RANGE_COUNTS, self.book

    def decide(self, view: View) -> Decision | Refused:
        return decide.redeliver_range(view, range_=self.range_, types=self.types, key_digest=self.key_digest)

    def shown(self, outcome: Any) -> Answer:
        return Answer(201, encode(range_body(outcome)))


class RangeStep(msgspec.Struct, frozen=True, kw_only=True):
    """Some of a range's deliveries are made. `more`: the next step is due at once, behind what is due already."""

    due: Due
    more: bool
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        return ()

    def decide(self, view: View) -> Decision | Refused:
        rest = Due(at=view.clock, kind=self.due.kind, subject=self.due.subject, book=self.due.book)
        return Decision(done=(self.due,), due=(rest,) if self.more else ())

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class DisableEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint is given up, as it was at this version: it wants no more events, or has failed for days."""

    id: UUID
    book: int
    version: int
    reason: DisabledReason
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((ENDPOINTS, self.id),)

    def decide(self, view: View) -> Decision | Refused:
        return decide.disable(view, id=self.id, reason=self.reason, version=self.version)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")
