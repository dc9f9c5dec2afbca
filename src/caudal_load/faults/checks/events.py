"""5: events are numbered without gaps, each was delivered at least once, first deliveries in order for each object."""

from collections.abc import Iterator

from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Evidence

NAME = "5"
PLATFORMS_OWN = ("api_key.", "discrepancy.", "fee_plan.", "merchant.", "operator.")
"""What no merchant hears of (docs/events.md)."""
WAITED_FOR = 3
"""So many attempts do later messages about an object wait for an earlier one (docs/webhooks.md)."""


def check(evidence: Evidence) -> Iterator[Violation]:
    """Numbers, deliveries, order."""
    for shard in evidence.shards:
        numbers = [event.seq for event in evidence.events if event.shard == shard.shard]
        if numbers != list(range(1, shard.event_seq + 1)):
            yield Violation(
                NAME, Harm.LOST, f"events of shard {shard.shard} are not 1 to {shard.event_seq}: {_gap(numbers)}"
            )
    yield from _undelivered(evidence)
    yield from _disordered(evidence)


def _gap(numbers: list[int]) -> str:
    wrong = next((place for place, number in enumerate(numbers, 1) if place != number), len(numbers) + 1)
    return f"{wrong} is missing or double"


def _undelivered(evidence: Evidence) -> Iterator[Violation]:
    heard = {(message.endpoint, message.sequence) for message in evidence.heard}
    places = {id: place for place, id in enumerate(evidence.endpoints_of_cast)}
    for endpoint in evidence.endpoints:
        place = places.get(endpoint.id)
        if place is None or endpoint.status != "enabled":
            continue
        for event in evidence.events:
            if (
                event.book == endpoint.book
                and event.at_us > endpoint.created_at_us
                and not event.type.startswith(PLATFORMS_OWN)
                and (place, event.seq) not in heard
            ):
                yield Violation(NAME, Harm.LOST, f"event {event.seq} ({event.type}) never came to endpoint {place}")


def _disordered(evidence: Evidence) -> Iterator[Violation]:
    places = {id: place for place, id in enumerate(evidence.endpoints_of_cast)}
    attempts = {(places.get(row.endpoint), row.event_seq): row.attempts for row in evidence.deliveries}
    last: dict[tuple[int, str], int] = {}
    seen: set[tuple[int, int]] = set()
    for message in evidence.heard:
        if (message.endpoint, message.sequence) in seen:
            continue
        seen.add((message.endpoint, message.sequence))
        before = last.get((message.endpoint, message.subject), 0)
        tried = attempts.get((message.endpoint, message.sequence), 0)
        if message.sequence < before and tried <= WAITED_FOR:
            what = f"event {message.sequence} of {message.subject} came first after {before}, in attempt {tried}"
            yield Violation(NAME, Harm.WRONG, what)
        last[message.endpoint, message.subject] = max(before, message.sequence)
