"""Where a callback stands, and what an answer to it, or its absence, means for it. Pure."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

BACKOFF_FIRST_MS = 200
BACKOFF_MAX_MS = 5_000
ANSWER_MAX = 300
# Client errors that ask for another try: request timeout, too early, too many requests (RFC 9110, 8470, 6585).
NOT_FINAL = (408, 425, 429)


class Status(StrEnum):
    """Where a callback stands."""

    WAITING = "waiting"
    HELD = "held"
    DELIVERED = "delivered"
    REFUSED = "refused"


class Letter(Protocol):
    """A callback in an outbox. `lane` says which callbacks follow each other; `failures` counts since a success."""

    @property
    def lane(self) -> int: ...
    @property
    def copies(self) -> int: ...
    @property
    def copies_delivered(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def next_attempt_ms(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one delivery attempt; `answer_status` is None when no answer came."""

    status: Status
    copies_delivered: int
    failures: int
    next_attempt_ms: int | None
    answer_status: int | None
    answer_detail: str
    answered_ms: int


def judge(sent: Letter, answer_status: int | None, detail: str, now_ms: int, luck: float) -> Outcome:
    """Say what an answer means, or its absence; `luck` in [0, 1) is the jitter."""
    accepted = answer_status is not None and 200 <= answer_status < 300
    refused = answer_status is not None and 400 <= answer_status < 500 and answer_status not in NOT_FINAL
    copies = sent.copies_delivered + accepted
    failures = 0 if accepted else sent.failures + 1
    if accepted and copies >= sent.copies:
        status, next_ms = Status.DELIVERED, None
    elif refused:
        status, next_ms = Status.REFUSED, None
    else:
        status, next_ms = Status.WAITING, now_ms + (0 if accepted else backoff_ms(failures, luck))
    return Outcome(
        status=status,
        copies_delivered=copies,
        failures=failures,
        next_attempt_ms=next_ms,
        answer_status=answer_status,
        answer_detail=detail[:ANSWER_MAX],
        answered_ms=now_ms,
    )


def backoff_ms(failures: int, luck: float) -> int:
    """Return the pause after so many failures in a row: 0.2 s doubling to 5 s, of which up to a quarter is left out."""
    full_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(failures - 1, 16))
    return int(full_ms * (1 - luck / 4))
