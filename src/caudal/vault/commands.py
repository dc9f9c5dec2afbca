"""The story of the vault: seal before the batch, open after it; commands carry sealed bytes only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.connectors import Card
from caudal.contracts.problems import answer_of
from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.merchants import API_KEYS
from caudal.vault import decide, store
from caudal.vault.envelope import Envelopes
from caudal.vault.model import InstrumentRecord
from caudal.vault.rows import INSTRUMENTS

Need = tuple[Table[Any, Any], Any]

_PAGE: Final = 200


class CreateInstrument(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Keep a card. Refuses: an ended key."""

    record: InstrumentRecord
    key_digest: bytes
    key: Key | None
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.record.book

    def needs(self) -> Iterable[Need]:
        return ((API_KEYS, self.key_digest),)

    def decide(self, view: View) -> Decision | Refused:
        return decide.create(view, record=self.record, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, outcome.body)


class DeleteInstrument(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Erase a card. Refuses: not_found, forbidden_transition."""

    id: UUID
    book: int
    key_digest: bytes
    key: Key | None
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((API_KEYS, self.key_digest), (INSTRUMENTS, self.id))

    def decide(self, view: View) -> Decision | Refused:
        return decide.delete(view, id=self.id, book=self.book, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(200, outcome.body)


class ForgetCode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time passed: a security code that nobody used goes."""

    due: Due
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        return ((INSTRUMENTS, self.due.subject),)

    def decide(self, view: View) -> Decision:
        return decide.forget(view, due=self.due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class RewrapInstrument(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Put a data key under the newest key-encryption key, unless the row has changed meanwhile."""

    id: UUID
    book: int
    version: int
    key_id: str
    wrapped: bytes
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((INSTRUMENTS, self.id),)

    def decide(self, view: View) -> Decision | Refused:
        return decide.rewrap(
            view,
            id=self.id,
            version=self.version,
            key_id=self.key_id,
            wrapped=self.wrapped,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


def open_card(context: Context, record: InstrumentRecord) -> Card:
    """A card for one call to a provider, with its security code if that is still there and not an hour old.

    Refuses an instrument that is deleted (forbidden_transition). Raises SealError.
    """
    refusal = decide.refuse_unusable(record, record.book)
    if refusal is not None:
        raise refusal
    assert record.key_id is not None and record.wrapped is not None and record.sealed is not None, "what is not deleted"
    assert record.holder is not None, "it comes and goes with the number"
    opened = context.once(Envelopes).opened(record.key_id, record.wrapped, record.place)
    code = None
    if record.code is not None and record.code_until is not None and record.code_until > wall_clock():
        code = opened.code(record.code)
    return Card(
        number=opened.number(record.sealed),
        expiry_month=record.expiry_month,
        expiry_year=record.expiry_year,
        holder_name=opened.holder(record.holder),
        brand=record.brand,
        security_code=code,
    )


def holder_of(context: Context, record: InstrumentRecord) -> str | None:
    """The name on a card, and nothing else of it; None once it is deleted. Raises SealError."""
    if record.key_id is None or record.wrapped is None or record.holder is None:
        return None
    return context.once(Envelopes).opened(record.key_id, record.wrapped, record.place).holder(record.holder)


async def rewrap(context: Context) -> int:
    """Puts every data key under today's CAUDAL_KEK; how many were under another. Safe to run again and beside traffic.

    Raises SealError for a row whose key is not among the settings.
    """
    done, envelopes = 0, context.once(Envelopes)
    for shard in await store.shards(context):
        place = UUID(int=0)
        while page := await store.to_rewrap(context, shard, place, envelopes.key_id, _PAGE):
            for record in page:
                done += await _rewrap_one(context, envelopes, shard, record)
            place = page[-1].id
    return done


async def _rewrap_one(context: Context, envelopes: Envelopes, shard: int, read: InstrumentRecord) -> bool:
    """Again with what is there now, where somebody changed the row in between."""
    record: InstrumentRecord | None = read
    while record is not None and record.wrapped is not None and record.key_id != envelopes.key_id:
        assert record.key_id is not None, "they come and go together"
        wrapped = envelopes.rewrap(record.key_id, record.wrapped, record.place)
        command = RewrapInstrument(
            id=record.id,
            book=record.book,
            version=record.version,
            key_id=envelopes.key_id,
            wrapped=wrapped,
        )
        if (await context.commit(shard, command)).outcome:
            return True
        record = await store.instrument(context, shard, record.id, record.book)
    return False
