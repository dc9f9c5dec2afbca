"""Rows → the story, told in order. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from caudal.app.trace.gaps import gaps
from caudal.app.trace.gather import Row, Story
from caudal.app.trace.model import Kind, Trace, TraceStep
from caudal.contracts.envelope import PREFIXES, event_id
from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.ledger import account_name

_UNTOLD: Final = {"pending": "waits", "cancelled": "is cancelled"}
_MADE_OF: Final = {1: "", 2: "held", 3: "posted", 4: "let go", 5: "expired"}
# At one time: first what the batch decided, then what it wrote about it.
_ORDER: Final[tuple[Kind, ...]] = (
    "batch", "deposit", "operation", "dispute", "evidence", "attempt", "state", "posting", "event", "discrepancy",
    "delivery", "due",
)  # fmt: skip


def told(story: Story) -> Trace:
    """The whole of it. Raises KeyError for an account that is in no chart, which no ledger has."""
    payin, detail = story.payin, story.detail
    steps = [
        *_states(story), *_attempts(story), *_operations(story), *_deposits(story), *_disputes(story),
        *_discrepancies(story), *_batches(story), *_postings(story), *_events(story), *_deliveries(story),
        *_due(story),
    ]  # fmt: skip
    missing = list(gaps(story))
    steps.sort(key=lambda step: (step.at, _ORDER.index(step.kind)))
    return Trace(
        payin=ids.public("payin", story.id),
        merchant=ids.public("mer", payin.merchant),
        mode="live" if payin.book & 1 else "test",
        method=payin.method,
        country=payin.country,
        currency=payin.currency,
        amount=payin.amount,
        received=payin.received,
        authorized=payin.authorized,
        captured=payin.captured,
        refunded=payin.refunded,
        disputed=payin.disputed,
        fee=payin.fee,
        status=payin.status,
        status_reason=payin.reason,
        reference=payin.reference,
        provider_reference=detail.reference,
        created_at=rfc3339(payin.created_at),
        expires_at=rfc3339(payin.expires_at),
        paid_at=_maybe(payin.paid_at),
        available_on=None if payin.available_on is None else payin.available_on.isoformat(),
        complete=not missing,
        missing=missing,
        steps=steps,
    )


def _step(at: datetime, kind: Kind, subject: str, what: str, **detail: str | int | None) -> TraceStep:
    return TraceStep(at=rfc3339(at), kind=kind, subject=subject, what=what, detail=detail)


def _maybe(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def _states(story: Story) -> Iterator[TraceStep]:
    payin, id = story.payin, ids.public("payin", story.id)
    yield _step(payin.created_at, "state", id, "created", amount=payin.amount, method=payin.method)
    for number, event, status, reason, received, at in story.rows["changes"]:
        yield _step(at, "state", id, status, version=number, event=event, reason=reason, received=received)


def _attempts(story: Story) -> Iterator[TraceStep]:
    """Real time, as providers have it: from the commit before the call to the one that wrote its outcome."""
    for number, one in enumerate(story.detail.attempts, 1):
        key = story.id.hex if number == 1 else f"{story.id.hex}-{number}"
        yield _step(one.begun_at, "attempt", key, f"asks {one.provider}", number=number, rule=one.rule, why=one.why)
        ended, reason, at = (one.ended, one.reason, one.ended_at) if one.ended_at is not None else _outcome(story)
        if at is not None:
            what, took_us = f"{one.provider}: {ended}", _took_us(one.begun_at, at)
            yield _step(at, "attempt", key, what, number=number, reason=reason, duration_us=took_us)


def _outcome(story: Story) -> tuple[str, str | None, datetime | None]:
    """Of the last attempt: it stands as the payin does once that is submitted, by an answer, callback or sweep."""
    for _, _, status, reason, _, at in story.rows["changes"]:
        if status != "submitting":
            return status, reason, at
    return "submitting", None, None


def _took_us(begun: datetime, ended: datetime) -> int:
    return (ended - begun) // timedelta(microseconds=1)


def _operations(story: Story) -> Iterator[TraceStep]:
    """Each at the provider of the attempt whose payment it is about: of the last, unless it says which."""
    attempts = story.detail.attempts
    for id, kind, status, reason, amount, fee, created_at, settled_at, attempt in story.rows["operations"]:
        name, number = ids.public(kind, id), attempt or len(attempts)
        whose = {"attempt": number, "provider": attempts[number - 1].provider} if attempts else {}
        yield _step(created_at, "operation", name, f"{kind} asked for", amount=amount, fee=fee, **whose)
        if settled_at is not None:
            took_us = _took_us(created_at, settled_at)
            what = f"{kind} {status}"
            yield _step(settled_at, "operation", name, what, amount=amount, reason=reason, duration_us=took_us)


def _deposits(story: Story) -> Iterator[TraceStep]:
    for id, provider, tracking_key, amount, applied, unapplied, returning, returned, reason, at in story.rows[
        "deposits"
    ]:
        yield _step(
            at, "deposit", ids.public("dep", id), f"money from {provider}",
            amount=amount, applied=applied, unapplied=unapplied, returning=returning, returned=returned,
            tracking_key=tracking_key, reason=reason,
        )  # fmt: skip


def _disputes(story: Story) -> Iterator[TraceStep]:
    for id, provider, reference, status, reason, amount, fee, respond_by, opened, closed in story.rows["disputes"]:
        name = ids.public("dispute", id)
        yield _step(
            opened, "dispute", name, f"{provider} opens a dispute",
            amount=amount, fee=fee, reason=reason, reference=reference, respond_by=rfc3339(respond_by),
        )  # fmt: skip
        if closed is not None:
            yield _step(closed, "dispute", name, f"dispute {status}", amount=amount)
    for id, dispute, kind, size, status, reason, created, sent in story.rows["evidence"]:
        name, of = ids.public("evidence", id), ids.public("dispute", dispute)
        yield _step(created, "evidence", name, f"{kind} handed in", dispute=of, size_bytes=size)
        if sent is not None:
            yield _step(sent, "evidence", name, f"{kind} {status}", dispute=of, reason=reason)


def _discrepancies(story: Story) -> Iterator[TraceStep]:
    for id, provider, kind, created, resolved, resolution, correction in story.rows["discrepancies"]:
        name = ids.public("disc", id)
        yield _step(created, "discrepancy", name, f"{provider} contradicts our books", discrepancy=kind)
        if resolved is not None:
            yield _step(resolved, "discrepancy", name, "resolved", resolution=resolution, correction=correction)


def _batches(story: Story) -> Iterator[TraceStep]:
    for id, commands, first, last, first_posting, last_posting, at in story.rows["batches"]:
        events, postings = last - first + 1, last_posting - first_posting + 1
        yield _step(at, "batch", str(id), "committed", commands=commands, events=events, postings=postings)


def _postings(story: Story) -> Iterator[TraceStep]:
    for seq, at, code, kind, debit, credit, amount, _ in story.rows["transfers"]:
        what = f"{code} {_MADE_OF[kind]}".strip()
        yield _step(at, "posting", str(seq), what, debit=_account(debit), credit=_account(credit), amount=amount)


def _account(id: int) -> str:
    """`merchant pending MXN`, `house fees MXN`."""
    name = account_name(id)
    return f"{'merchant' if name.slot else 'house'} {name.purpose.name.lower()} {name.currency}"


def _events(story: Story) -> Iterator[TraceStep]:
    slot = ids.slot_of(story.payin.merchant)
    for seq, at, type, subject in story.rows["events"]:
        about = ids.public(PREFIXES[type.partition(".")[0]], subject)
        yield _step(at, "event", event_id(at, slot, seq), type, sequence=seq, about=about)


def _deliveries(story: Story) -> Iterator[TraceStep]:
    tries: dict[UUID, list[Row]] = {}
    for row in story.rows["attempts"]:
        tries.setdefault(row[0], []).append(row)
    for id, endpoint, seq, type, cause, status, attempts, created_at, due_at in story.rows["deliveries"]:
        name, to = ids.public("delivery", id), ids.public("endpoint", endpoint)
        for _, number, at, duration_us, code, error in tries.get(id, []):
            said = f"{type} → {code if error is None else error}"
            detail: dict[str, str | int | None] = {"endpoint": to, "sequence": seq, "attempt": number}
            yield _step(at, "delivery", name, said, **detail, cause=cause, duration_us=duration_us)
        if status in _UNTOLD:
            detail = {"endpoint": to, "sequence": seq, "attempts": attempts, "due_at": _maybe(due_at)}
            yield _step(created_at, "delivery", name, f"{type} {_UNTOLD[status]}", **detail, cause=cause)


def _due(story: Story) -> Iterator[TraceStep]:
    for kind, subject, at, attempt, said in story.rows["tried"]:
        yield _step(at, "due", str(subject), f"{kind} is tried again", attempt=attempt, last_answer=said)
