"""The judgement of the vault: (what is, what is asked) → decision or refusal. Pure; nothing here sees a card number."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import refuse_ended
from caudal.vault.model import InstrumentRecord, body_of
from caudal.vault.rows import INSTRUMENTS

FORGET: Final = "instrument.forget_code"
CODE_KEPT: Final = timedelta(hours=1)


class Shown(NamedTuple):
    """An instrument, and its body as the answer and the event have it."""

    record: InstrumentRecord
    body: bytes


def create(view: View, *, record: InstrumentRecord, key_digest: bytes) -> Decision | Refused:
    """A new instrument; its security code is kept for an hour at most."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    until = None if record.code is None else view.at + CODE_KEPT
    record = msgspec.structs.replace(record, created_at=view.at, code_until=until)
    return _shown(record, "instrument.created", due=_forgetting(record))


def delete(view: View, *, id: UUID, book: int, key_digest: bytes) -> Decision | Refused:
    """The merchant gives an instrument up: everything sealed goes."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    found = view.get(INSTRUMENTS, id)
    unusable = refuse_unusable(found, book)
    if unusable is not None or found is None:
        return unusable or _unknown()
    erased = dict.fromkeys(("holder", "key_id", "wrapped", "sealed", "code", "code_until"))
    record = msgspec.structs.replace(found, version=found.version + 1, deleted_at=view.at, **erased)
    return _shown(record, "instrument.deleted", done=_forgetting(found))


def forget(view: View, *, due: Due) -> Decision:
    """An hour has passed: a security code that nobody used goes."""
    found = view.get(INSTRUMENTS, due.subject)
    if found is None or found.code is None:
        return Decision(done=(due,))
    return Decision(puts=(Put(INSTRUMENTS, _without_code(found)),), done=(due,))


def rewrap(view: View, *, id: UUID, version: int, key_id: str, wrapped: bytes) -> Decision | Refused:
    """The data key under another key-encryption key, if the row is still what was read; the outcome says whether."""
    found = view.get(INSTRUMENTS, id)
    if found is None or found.version != version or found.wrapped is None:
        return Decision(outcome=False)
    record = msgspec.structs.replace(found, version=version + 1, key_id=key_id, wrapped=wrapped)
    return Decision(outcome=True, puts=(Put(INSTRUMENTS, record),))


def refuse_unusable(found: InstrumentRecord | None, book: int) -> Refused | None:
    """Why nobody pays with this: it is unknown or another's (not_found), or deleted (forbidden_transition)."""
    if found is None or found.book != book:
        return _unknown()
    if found.deleted_at is not None:
        return Refused("forbidden_transition", "the instrument is deleted")
    return None


def spend_code(found: InstrumentRecord) -> tuple[tuple[Put, ...], tuple[Due, ...]]:
    """What a batch puts and has done that uses an instrument: a security code is used once, and gone with it.

    The record as it was read still has the sealed code, for the one call that follows.
    """
    if found.code is None:
        return (), ()
    return (Put(INSTRUMENTS, _without_code(found)),), _forgetting(found)


def _without_code(found: InstrumentRecord) -> InstrumentRecord:
    return msgspec.structs.replace(found, version=found.version + 1, code=None, code_until=None)


def _forgetting(record: InstrumentRecord) -> tuple[Due, ...]:
    if record.code_until is None:
        return ()
    return (Due(at=record.code_until, kind=FORGET, subject=record.id, book=record.book),)


def _shown(record: InstrumentRecord, event: str, *, due: tuple[Due, ...] = (), done: tuple[Due, ...] = ()) -> Decision:
    body = encode(body_of(record))
    return Decision(
        outcome=Shown(record, body),
        puts=(Put(INSTRUMENTS, record),),
        events=(Event(type=event, subject=record.id, book=record.book, data=body),),
        due=due,
        done=done,
        subject=record.id,
    )


def _unknown() -> Refused:
    return Refused("not_found", "there is no such instrument")
