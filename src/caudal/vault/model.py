"""The nouns of the vault: an instrument as it is kept, and what of it may be shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339


class InstrumentRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A card. `sealed` (the number), `holder` (the name) and `code` (security code) are under a data key of its own,
    which `wrapped` holds under the key-encryption key that `key_id` names; all are gone once it is deleted.
    """

    id: UUID
    book: int
    version: int
    type: Literal["card"]
    brand: str
    bin: str
    last4: str
    expiry_month: int
    expiry_year: int
    country: str | None
    holder: bytes | None
    key_id: str | None
    wrapped: bytes | None
    sealed: bytes | None
    code: bytes | None
    code_until: datetime | None
    created_at: datetime
    deleted_at: datetime | None

    @property
    def place(self) -> bytes:
        """What its sealed values are bound to: in another row or another book they do not open."""
        return place_of(self.book, self.id)


def place_of(book: int, id: UUID) -> bytes:
    """Book and id of an instrument, 24 bytes."""
    return book.to_bytes(8, "big") + id.bytes


class CardBody(msgspec.Struct, frozen=True, kw_only=True):
    """What of a card may be shown."""

    brand: str
    bin: str
    last4: str
    expiry_month: int
    expiry_year: int


class CardWithHolder(CardBody, frozen=True, kw_only=True):
    """A card with its holder's name, which no stored answer and no event has."""

    holder_name: str | None


class InstrumentBody(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument as the API and the events show it. The holder is added where a merchant asks for it itself."""

    id: str
    object: Literal["instrument"] = "instrument"
    mode: Literal["test", "live"]
    type: Literal["card"]
    status: Literal["active", "deleted"]
    country: str | None
    card: CardBody
    created_at: str
    deleted_at: str | None


class InstrumentWithHolder(InstrumentBody, frozen=True, kw_only=True):
    """An instrument with the name of the card's holder."""

    card: CardWithHolder


def body_of(record: InstrumentRecord) -> InstrumentBody:
    """The instrument as it is shown, without its holder."""
    return InstrumentBody(card=CardBody(**_card(record)), **_outside(record))


def body_with_holder(record: InstrumentRecord, holder_name: str | None) -> InstrumentWithHolder:
    """The instrument as it is shown to whoever asks for it."""
    return InstrumentWithHolder(card=CardWithHolder(**_card(record), holder_name=holder_name), **_outside(record))


def _card(record: InstrumentRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in CardBody.__struct_fields__}


def _outside(record: InstrumentRecord) -> dict[str, Any]:
    return {
        "id": ids.public("instr", record.id),
        "mode": "live" if record.book & 1 else "test",
        "type": record.type,
        "status": "active" if record.deleted_at is None else "deleted",
        "country": record.country,
        "created_at": rfc3339(record.created_at),
        "deleted_at": None if record.deleted_at is None else rfc3339(record.deleted_at),
    }
