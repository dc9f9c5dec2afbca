"""Profiles: made, never changed; one of them is active. Refusals: an ended key, not_found, forbidden_transition."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.commit import Decision, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import API_KEYS, AUDIT, BOOKS, AuditRecord, BookRecord, refuse_ended
from caudal.routing.model import Profile, ProfileBody, profile_body
from caudal.routing.rows import PROFILES

PROFILES_MAX: Final = 1_000


def create(view: View, *, profile: Profile, key_digest: bytes, entry: UUID) -> Decision | Refused:
    """The next version of a book's rules; nothing is routed by it until it is activated."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    book = _book(view, profile.book)
    if book.routing_profiles >= PROFILES_MAX:
        return Refused("forbidden_transition", f"there are {PROFILES_MAX} profiles already")
    new = msgspec.structs.replace(profile, number=book.routing_profiles + 1, created_at=view.at)
    counted = msgspec.structs.replace(book, version=book.version + 1, routing_profiles=new.number)
    body = profile_body(new, active=False)
    audit = _audit(view, key_digest, entry, "routing_profile.created", body)
    return Decision(outcome=body, puts=(Put(PROFILES, new), Put(BOOKS, counted), audit), subject=new.id)


def activate(view: View, *, id: UUID, book: int, key_digest: bytes, entry: UUID, active: bool) -> Decision | Refused:
    """New payins of the book are routed by this profile from now on; or, where it was active, by none."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    profile, record = view.get(PROFILES, id), _book(view, book)
    if profile is None or profile.book != book:
        return Refused("not_found", "there is no such routing profile")
    if (record.routing_profile == id) == active:
        return Refused("forbidden_transition", f"the profile is {'active already' if active else 'not active'}")
    changed = msgspec.structs.replace(record, version=record.version + 1, routing_profile=id if active else None)
    body = profile_body(profile, active=active)
    action = "routing_profile.activated" if active else "routing_profile.deactivated"
    audit = _audit(view, key_digest, entry, action, body)
    return Decision(outcome=body, puts=(Put(BOOKS, changed), audit), subject=id)


def _book(view: View, book: int) -> BookRecord:
    record = view.get(BOOKS, book)
    assert record is not None, "whoever calls has a book"
    return record


def _audit(view: View, key_digest: bytes, entry: UUID, action: str, body: ProfileBody) -> Put:
    key = view.get(API_KEYS, key_digest)
    assert key is not None, "an ended key was refused"
    record = AuditRecord(
        id=entry, at=view.at, actor=ids.public("key", key.id), action=action, subject=body.id, detail=encode(body)
    )
    return Put(AUDIT, record)
