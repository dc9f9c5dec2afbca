"""The envelope of every event: CloudEvents 1.0 (structured mode), with the `sequence` extension.

An event's id is derived from where it is: the batch's millisecond, the merchant's slot and the number that the shard
gave it, laid out as a UUIDv7. Nothing more is stored for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEQ_BITS: Final = 40
# What stands before an id in `subject`, by the first word of the event's type.
PREFIXES: Final = {
    "payin": "payin",
    "capture": "capture",
    "refund": "refund",
    "deposit": "dep",
    "discrepancy": "disc",
    "dispute": "dispute",
    "instrument": "instr",
    "balance": "bal",
    "merchant": "mer",
    "fee_plan": "mer",
    "api_key": "key",
    "operator": "operator",
    "webhook_endpoint": "endpoint",
}


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """An event as `GET /v1/events` and webhooks carry it."""

    id: str
    source: str
    type: str
    time: str
    subject: str
    sequence: str
    data: msgspec.Raw
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


def envelope_of(slot: int, row: tuple[Any, ...]) -> Envelope:
    """A row of `event` (seq, at, type, subject, data) as CloudEvents has it; the same bytes wherever it is sent."""
    seq, at, type, subject, data = row
    return Envelope(
        id=event_id(at, slot, seq),
        source="/caudal",
        type=type,
        time=rfc3339(at),
        subject=ids.public(PREFIXES[type.partition(".")[0]], subject),
        sequence=str(seq),
        data=msgspec.Raw(data),
    )


def event_id(at: datetime, slot: int, seq: int) -> str:
    """The public id of the event with this number."""
    millis = (at - _EPOCH) // timedelta(milliseconds=1)
    value = millis << 80 | 0x7 << 76 | (seq >> _SEQ_BITS & 0xFFF) << 64
    value |= 0b10 << 62 | slot << _SEQ_BITS | seq & ((1 << _SEQ_BITS) - 1)
    return ids.public("evt", UUID(int=value))


def seq_of_event(text: str) -> int | None:
    """The number in an event's id, or None when the text is not one."""
    id = ids.parse("evt", text)
    if id is None:
        return None
    return (id.int >> 64 & 0xFFF) << _SEQ_BITS | id.int & ((1 << _SEQ_BITS) - 1)
