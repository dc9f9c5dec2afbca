"""Events of instruments. None carries a card number, a holder's name or anything of which one could be made."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.contracts.payins import Instant, Mode

InstrumentId = Annotated[str, Meta(pattern="^instr_[0-9a-f]{32}$")]
InstrumentStatus = Literal["active", "deleted"]


class CardData(msgspec.Struct, frozen=True, kw_only=True):
    """What of a card may be shown."""

    brand: Annotated[str, Meta(description="whose network it is", examples=["visa"])]
    bin: Annotated[
        str,
        Meta(description="the first digits: eight or six, fewer where a number has less than 15", pattern=r"^\d{2,8}$"),
    ]
    last4: Annotated[str, Meta(description="the last four digits", pattern=r"^\d{4}$")]
    expiry_month: Annotated[int, Meta(description="1 to 12", ge=1, le=12)]
    expiry_year: Annotated[int, Meta(description="four digits", ge=2000)]


class InstrumentData(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument right after the event."""

    id: Annotated[InstrumentId, Meta(description="the instrument's id; payins name it")]
    object: Annotated[Literal["instrument"], Meta(description="what this is")] = "instrument"
    mode: Mode
    type: Annotated[Literal["card"], Meta(description="what it pays with")]
    status: Annotated[InstrumentStatus, Meta(description="`deleted`: its number is erased, it pays no more")]
    country: Annotated[
        Annotated[str, Meta(pattern="^[A-Z]{2}$", examples=["BR"])] | None,
        Meta(description="where it is going to pay, if that was said; ISO 3166-1 alpha-2"),
    ]
    card: Annotated[CardData, Meta(description="what of the card may be shown")]
    created_at: Annotated[Instant, Meta(description="when it came in")]
    deleted_at: Annotated[Instant | None, Meta(description="when its number was erased")]


class InstrumentCreated(InstrumentData, frozen=True, kw_only=True):
    """A card was sealed in the vault; payins may name it."""


class InstrumentDeleted(InstrumentData, frozen=True, kw_only=True):
    """The merchant gave a card up: its number is erased."""


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "instrument.created": InstrumentCreated,
    "instrument.deleted": InstrumentDeleted,
}
