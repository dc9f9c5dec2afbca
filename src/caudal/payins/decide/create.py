"""The beginning of a payin, and its end without money: created or started, cancelled, expired."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.catalogue import has_expired, is_of_brand
from caudal.connectors import spei
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import encode
from caudal.merchants import refuse_ended
from caudal.payins.decide.changing import (
    EXPIRE,
    OPERATE,
    SUBMIT,
    Created,
    changed,
    offset_of,
    void_of,
)
from caudal.payins.model import Attempt, Chosen, DepositAccount, Detail, PayerSeal, Payin, Submission, Waiting, body_of
from caudal.payins.rows import DEPOSIT_ACCOUNTS, OPERATIONS, PAYERS, PAYINS
from caudal.payins.states import Happening, Status, after
from caudal.vault import INSTRUMENTS, InstrumentRecord, refuse_unusable, spend_code

_NUMBERS: Final = 10**11
# How long an authorization that has lapsed waits for what its provider is being asked.
_PATIENCE: Final = timedelta(minutes=1)


def create(
    view: View,
    *,
    payin: Payin,
    detail: Detail,
    expires_in: timedelta | None,
    clabe_prefix: str,
    sealed: bytes | None,
    key_digest: bytes,
    payer_page: str | None,
) -> Decision | Refused:
    """A payin that waits for the payer. `expires_in` unless the merchant named the time."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    offset = offset_of(view, payin.book)
    now = view.at + offset
    expires_at = payin.expires_at if expires_in is None else now + expires_in
    if expires_at <= now:
        return _invalid("/expires_at", "in_the_past", "this time has passed")
    number = (view.next_event_seq * 2 + (payin.book & 1)) % _NUMBERS
    detail = msgspec.structs.replace(detail, clabe=spei.of_number(clabe_prefix, number))
    payin = msgspec.structs.replace(
        payin, deposit_number=number, detail=encode(detail), created_at=now, expires_at=expires_at
    )
    body = encode(body_of(payin, payer_page, detail))
    puts = [Put(PAYINS, payin), Put(DEPOSIT_ACCOUNTS, DepositAccount(number=number, payin=payin.id, book=payin.book))]
    if sealed is not None:
        puts.append(Put(PAYERS, PayerSeal(payin=payin.id, book=payin.book, sealed=sealed)))
    return Decision(
        outcome=Created(payin, body),
        puts=tuple(puts),
        events=(Event(type="payin.created", subject=payin.id, book=payin.book, data=body),),
        due=(Due(at=expires_at - offset, kind=EXPIRE, subject=payin.id, book=payin.book),),
        subject=payin.id,
    )


class Started(NamedTuple):
    """A payin that goes to its provider now, with which card; the due work sweeps it up if nobody comes back."""

    payin: Payin
    body: bytes
    instrument: InstrumentRecord | None
    due: Due


def start(
    view: View,
    *,
    payin: Payin,
    detail: Detail,
    expires_in: timedelta | None,
    brands: frozenset[str],
    sealed: bytes | None,
    key_digest: bytes,
    attempt: Attempt,
    waiting: Waiting,
    within: timedelta,
    sweep_in: timedelta,
) -> Decision | Refused:
    """A payin whose `provider` is asked next. Its key stays in progress `within` the request's deadline."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    offset = offset_of(view, payin.book)
    now = view.at + offset
    expires_at = payin.expires_at if expires_in is None else now + expires_in
    if expires_at <= now:
        return _invalid("/expires_at", "in_the_past", "this time has passed")
    chosen = _chosen(view, payin, detail.chosen, brands, now)
    if isinstance(chosen, Refused):
        return chosen
    instrument, shown = chosen
    until = view.at + within
    submission = Submission(first_until=until, until=until, expires_at=expires_at - offset)
    attempts = (msgspec.structs.replace(attempt, begun_at=view.at),)
    detail = msgspec.structs.replace(detail, chosen=shown, waiting=waiting, submission=submission, attempts=attempts)
    payin = msgspec.structs.replace(payin, detail=encode(detail), created_at=now, expires_at=expires_at)
    body = encode(body_of(payin, detail=detail))
    due = Due(at=view.clock + sweep_in, kind=SUBMIT, subject=payin.id, book=payin.book)
    puts = [Put(PAYINS, payin)]
    if sealed is not None:
        puts.append(Put(PAYERS, PayerSeal(payin=payin.id, book=payin.book, sealed=sealed)))
    spent, forgotten = ((), ()) if instrument is None else spend_code(instrument)
    return Decision(
        outcome=Started(payin, body, instrument, due),
        puts=(*puts, *spent),
        events=(Event(type="payin.created", subject=payin.id, book=payin.book, data=body),),
        due=(due,),
        done=forgotten,
        subject=payin.id,
        pending_until=until,
    )


def _chosen(
    view: View, payin: Payin, chosen: Chosen | None, brands: frozenset[str], now: datetime
) -> tuple[InstrumentRecord | None, Chosen | None] | Invalid:
    """The card that pays, with what of it may be shown. Refuses one that is not there, has expired, or is not taken."""
    if chosen is None or chosen.instrument is None:
        return None, chosen
    instrument = view.get(INSTRUMENTS, chosen.instrument)
    refused = refuse_card(instrument, payin.book, payin.country, brands, chosen.brand, now)
    if refused is not None:
        return refused
    assert instrument is not None, "or it was refused"
    return instrument, msgspec.structs.replace(chosen, brand=instrument.brand, last_four=instrument.last4)


def refuse_card(
    instrument: InstrumentRecord | None,
    book: int,
    country: str,
    brands: frozenset[str],
    brand: str | None,
    now: datetime,
) -> Invalid | None:
    """Why this card, which the payer calls a `brand`, pays nothing in a country that takes these `brands`; or None."""
    if refuse_unusable(instrument, book) is not None or instrument is None:
        return _invalid("/instrument/id", "not_found", "there is no such instrument, or it was deleted")
    if has_expired(instrument.expiry_month, instrument.expiry_year, now):
        return _invalid("/instrument/id", "expired_card", "the card has expired")
    if instrument.brand not in brands:
        accepted = ", ".join(sorted(brands))
        return _invalid("/instrument/id", "brand_not_accepted", f"{country} takes {accepted}")
    if brand is not None and not is_of_brand(instrument.brand, brand):
        return _invalid("/instrument/brand", "contradiction", f"the instrument is of {instrument.brand}")
    return None


def _invalid(field: str, code: str, detail: str) -> Invalid:
    error = FieldError(field=field, code=code, detail=detail)
    return Invalid("invalid_request", "the request has errors", errors=(error,))


def cancel(view: View, *, id: UUID, book: int, key_digest: bytes) -> Decision | Refused:
    """The merchant gives up a pending payin that no provider knows. Money that comes all the same is unapplied."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    payin = view.get(PAYINS, id)
    if payin is None or payin.book != book:
        return Refused("not_found", "there is no such payin")
    if after(payin.status, Happening.CANCELLED) is None:
        return Refused("forbidden_transition", f"a payin that is {payin.status} cannot be cancelled")
    new = changed(view, payin, Happening.CANCELLED, "payin.cancelled", reason="requested_by_merchant")
    return Decision(outcome=Created(new.payin, new.body), puts=new.puts, events=new.events, subject=payin.id)


def expire(view: View, *, due: Due) -> Decision:
    """Time passed. The clock of a test book may have been moved. What is authorized is given back to the payer."""
    payin = view.get(PAYINS, due.subject)
    assert payin is not None, "due work names what there is"
    offset, rest = offset_of(view, due.book), payin.holds_rest(payin.details())
    if after(payin.status, Happening.TIME_PASSED) is None and not rest:
        return Decision(outcome=payin, done=(due,))
    if payin.expires_at > view.at + offset:
        later = msgspec.structs.replace(due, at=payin.expires_at - offset, attempt=0, said=None)
        # Somebody else may have moved it there: the same work at the same time is one piece.
        return Decision(outcome=payin, done=(due, later), due=(later,))
    if (rest or payin.status is Status.AUTHORIZED) and _is_asked_for(payin):
        later = msgspec.structs.replace(due, at=view.clock + _PATIENCE, attempt=0, said=None)
        return Decision(outcome=payin, done=(due, later), due=(later,))
    if rest:
        return _rest_expired(view, payin, due, offset)
    reason = "underpaid" if payin.received_minor else None
    new = changed(view, payin, Happening.TIME_PASSED, "payin.expired", reason=reason)
    puts, void = new.puts, tuple[Due, ...]()
    if payin.status is Status.AUTHORIZED:
        operation = void_of(payin, payin.authorized_minor, view.at + offset)
        puts = (*puts, Put(OPERATIONS, operation))
        void = (Due(at=view.clock, kind=OPERATE, subject=operation.id, book=payin.book),)
    return Decision(
        outcome=Created(new.payin, new.body), puts=puts, events=new.events, done=(due,), due=void, subject=payin.id
    )


def _rest_expired(view: View, payin: Payin, due: Due, offset: timedelta) -> Decision:
    """What was not captured in time is given back, asked for once."""
    operation = void_of(payin, payin.authorized_minor - payin.captured_minor, view.at + offset)
    if view.get(OPERATIONS, operation.id) is not None:
        return Decision(outcome=payin, done=(due,))
    detail = msgspec.structs.replace(payin.details(), voiding=True)
    new = changed(view, payin, Happening.CANCEL_REQUESTED, detail=detail)
    return Decision(
        outcome=payin,
        puts=(*new.puts, Put(OPERATIONS, operation)),
        done=(due,),
        due=(Due(at=view.clock, kind=OPERATE, subject=operation.id, book=payin.book),),
    )


def _is_asked_for(payin: Payin) -> bool:
    """Whether the provider is being asked for a capture, or to give the payin up: that comes first."""
    detail = payin.details()
    return bool(detail.capturing_minor or detail.voiding)
