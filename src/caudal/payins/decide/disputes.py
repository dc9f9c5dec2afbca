"""Disputes: what a provider says of one, its files, its end by the calendar.

What a provider says is judged in this order, so that repetitions and reorderings change nothing:

    of another mode, account or provider            a discrepancy
    known: of another payin, amount or currency     a discrepancy
    known: forbidden by the table of states         a discrepancy
    known: nothing new                              nothing
    new: the payin has no money                     a discrepancy
    new: more than received, less what is disputed  a discrepancy
    new: more than refunds have left of it          booked, and a discrepancy
    otherwise                                       booked

A dispute is a fact: amount and fee are held whatever the balance, and whatever was refunded before. One whose end is
told first is opened and closed in one decision; where it was won, nothing moves.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger, settlement
from caudal.connectors import FIRST, DisputeState
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import refuse_ended
from caudal.payins import postings
from caudal.payins.decide.changing import changed, offset_of
from caudal.payins.decide.discrepancies import derived, held_of, odd
from caudal.payins.decide.money import line_of, posted
from caudal.payins.model import FILES_MAX, DiscrepancyKind, Dispute, Evidence, Payin, dispute_body, evidence_body
from caudal.payins.rows import DISPUTES, EVIDENCE, PAYINS
from caudal.payins.states import DisputeHappening, DisputeStatus, Happening, after, dispute_after

EXPIRE_DISPUTE: Final = "dispute.expire"
SEND_EVIDENCE: Final = "dispute.send"
OPEN: Final = frozenset((DisputeStatus.NEEDS_RESPONSE, DisputeStatus.UNDER_REVIEW))

_OF_STATE: Final = {"won": DisputeHappening.WON, "lost": DisputeHappening.LOST}


def dispute_id(provider: str, method: str, reference: str) -> UUID:
    """The id of the dispute that a provider names so. The first provider's were made when providers had no names."""
    whose = method if provider == FIRST else f"{provider}\n{method}"
    return derived(f"dispute\n{whose}\n{reference}")


def evidence_id(book: int, digest: bytes, fingerprint: bytes) -> UUID:
    """The id of the file that a request with this key brings: the same request again brings the same file."""
    return derived(f"evidence\n{book}\n{digest.hex()}\n{fingerprint.hex()}")


def note_dispute(
    view: View, *, id: UUID, payin_id: UUID, live: bool, provider: str, state: DisputeState, respond_by: datetime
) -> Decision:
    """How a dispute stands at its provider. `respond_by` is real time; a test book's clock may run ahead of it."""
    payin = view.get(PAYINS, payin_id)
    assert payin is not None, "the caller has looked"
    dispute = view.get(DISPUTES, id)
    happening = _OF_STATE.get(state.status)
    if payin.live != live or state.account != str(payin.book >> 1) or not payin.is_with(provider, state.payment_key):
        return _odd(view, payin, provider, "other_account", state, dispute)
    if payin.is_earlier(state.payment_key):  # about money that the payin does not have
        return _odd(view, payin, provider, "contradicts_final_state", state, dispute)
    if dispute is None:
        return _new(view, id, payin, provider, state, happening, respond_by)
    if dispute.payin != payin.id:
        return _odd(view, payin, provider, "other_account", state, dispute)
    if (state.amount_minor, state.currency) != (dispute.amount_minor, dispute.currency):
        return _odd(view, payin, provider, "other_amount", state, dispute)
    following = dispute.status if happening is None else dispute_after(dispute.status, happening)
    if following is None:
        return _odd(view, payin, provider, "contradicts_final_state", state, dispute)
    if following is dispute.status:
        return Decision(outcome=dispute)
    return _won(view, dispute, payin) if following is DisputeStatus.WON else _lost(view, dispute, following)


def _odd(
    view: View, payin: Payin, provider: str, kind: DiscrepancyKind, state: DisputeState, dispute: Dispute | None
) -> Decision:
    held = held_of(payin, dispute=dispute)
    return odd(view, payin.book, provider, kind, state, (), held=held, payin=payin.id, outcome=dispute)


def _new(
    view: View,
    id: UUID,
    payin: Payin,
    provider: str,
    state: DisputeState,
    happening: DisputeHappening | None,
    respond_by: datetime,
) -> Decision:
    """The first that is heard of it, mostly that it was opened."""
    left = payin.received_minor - payin.disputed_minor
    if after(payin.status, Happening.DISPUTE_OPENED) is None:
        return _odd(view, payin, provider, "contradicts_final_state", state, None)
    if state.currency != payin.currency or not 0 < state.amount_minor <= left:
        return _odd(view, payin, provider, "other_amount", state, None)
    offset = offset_of(view, payin.book)
    now = view.at + offset
    new = Dispute(
        id=id,
        book=payin.book,
        payin=payin.id,
        version=1,
        provider=provider,
        reference=state.reference,
        status=DisputeStatus.NEEDS_RESPONSE,
        reason=state.reason,
        currency=payin.currency,
        amount_minor=state.amount_minor,
        fee_minor=line_of(view, payin).dispute_fixed_minor,
        from_pending_minor=0,
        day=payin.available_on or now.date(),
        evidence=0,
        respond_by=respond_by + offset,
        opened_at=now,
        closed_at=None,
    )
    if happening is DisputeHappening.WON:
        return _won_unopened(view, new, payin)
    opened = _opened(view, new, payin, lost=happening is DisputeHappening.LOST)
    if new.amount_minor <= left - payin.refunded_minor:
        return opened
    # The payer is about to have some of the money twice, which somebody may still keep from happening.
    told = _odd(view, payin, provider, "other_amount", state, None)
    return msgspec.structs.replace(opened, puts=(*opened.puts, *told.puts), events=(*opened.events, *told.events))


def _opened(view: View, new: Dispute, payin: Payin, *, lost: bool) -> Decision:
    """Amount and fee are held, first what the payin's day has not released yet; and go at once where it is `lost`."""
    split = settlement.taken(
        view,
        id=new.id,
        book=new.book,
        currency=new.currency,
        kind="dispute",
        amount_minor=new.held_minor,
        subject=new.id,
        subject_kind="dispute",
        payin=payin.id,
        days=(new.day,),
        at=new.opened_at,
        beyond_balance=True,
    )
    assert not isinstance(split, Refused), "a dispute is a fact"
    opened = msgspec.structs.replace(new, from_pending_minor=split.pending_minor)
    group = postings.dispute_opened(new.book, new.currency, new.id, split)
    events, told = [_event("opened", opened)], tuple[Put, ...]()
    dispute = opened
    if lost:
        dispute = _closed(opened, DisputeStatus.LOST, new.opened_at, version=1)
        given = _given_up(dispute, new.opened_at)
        group, told = (*group, *given.group), given.puts
        events.append(_event("lost", dispute))
    moved = changed(
        view,
        payin,
        Happening.DISPUTE_OPENED,
        detail=msgspec.structs.replace(payin.details(), dispute=new.id),
        disputed_minor=payin.disputed_minor + new.amount_minor,
    )
    booked = posted(view, group)
    return Decision(
        outcome=dispute,
        puts=(Put(DISPUTES, dispute), *moved.puts, *ledger.puts(booked), *split.puts, *told),
        events=(*events, *ledger.events(booked)),
        due=() if lost else (_expiry(view, opened),),
        subject=new.id,
    )


def _won_unopened(view: View, new: Dispute, payin: Payin) -> Decision:
    """That it was won is told first: what was never held need not come back, and costs nothing."""
    free = msgspec.structs.replace(new, fee_minor=0)
    dispute = _closed(free, DisputeStatus.WON, new.opened_at, version=1)
    moved = changed(view, payin, Happening.DISPUTE_WON, detail=msgspec.structs.replace(payin.details(), dispute=new.id))
    return Decision(
        outcome=dispute,
        puts=(Put(DISPUTES, dispute), *moved.puts),
        events=(_event("opened", free), _event("won", dispute)),
        subject=new.id,
    )


def _won(view: View, dispute: Dispute, payin: Payin) -> Decision:
    """What was held comes back, each part to where it was; what had expired is held again before that."""
    now = view.at + offset_of(view, dispute.book)
    new = _closed(dispute, DisputeStatus.WON, now)
    back = settlement.given_back(
        view,
        id=ledger.transfer_id(dispute.id, "statement.dispute_won"),
        book=dispute.book,
        currency=dispute.currency,
        kind="dispute_won",
        amount_minor=dispute.held_minor,
        parts=((dispute.day, dispute.from_pending_minor),),
        subject=dispute.id,
        subject_kind="dispute",
        payin=dispute.payin,
        at=now,
    )
    reversed = _reversed(dispute, now) if dispute.status is DisputeStatus.EXPIRED else _Given((), ())
    won = postings.dispute_won(dispute.book, dispute.currency, dispute.id, back)
    moved = changed(view, payin, Happening.DISPUTE_WON, disputed_minor=payin.disputed_minor - dispute.amount_minor)
    booked = posted(view, (*reversed.group, *won))
    return Decision(
        outcome=new,
        puts=(Put(DISPUTES, new), *moved.puts, *ledger.puts(booked), *reversed.puts, *back.puts),
        events=(_event("won", new),),
        due=back.due,
        done=(_expiry(view, dispute),) if dispute.status in OPEN else (),
        subject=dispute.id,
    )


def _lost(view: View, dispute: Dispute, status: DisputeStatus) -> Decision:
    """What was held is the payer's, and the fee ours: by the bank's word, or because nobody answered in time."""
    now = view.at + offset_of(view, dispute.book)
    new = _closed(dispute, status, now)
    given = _given_up(new, now)
    return Decision(
        outcome=new,
        puts=(Put(DISPUTES, new), *ledger.puts(posted(view, given.group)), *given.puts),
        events=(_event(status, new),),
        done=(_expiry(view, dispute),),
        subject=dispute.id,
    )


class _Given(NamedTuple):
    """What leaves the merchant, or comes back to it: the transfers, and the line of the statement."""

    group: tuple[ledger.Transfer, ...]
    puts: tuple[Put, ...]


def _given_up(dispute: Dispute, now: datetime) -> _Given:
    group = postings.dispute_lost(dispute.book, dispute.currency, dispute.id, dispute.amount_minor, dispute.fee_minor)
    told = settlement.line(
        id=ledger.transfer_id(dispute.id, "statement.dispute_lost"),
        book=dispute.book,
        currency=dispute.currency,
        kind="dispute_lost",
        gross_minor=-dispute.amount_minor,
        fee_minor=dispute.fee_minor,
        subject=dispute.id,
        subject_kind="dispute",
        payin=dispute.payin,
        at=now,
    )
    return _Given(group, (told,))


def _reversed(dispute: Dispute, now: datetime) -> _Given:
    group = postings.dispute_reversed(
        dispute.book, dispute.currency, dispute.id, dispute.amount_minor, dispute.fee_minor
    )
    told = settlement.line(
        id=ledger.transfer_id(dispute.id, "statement.dispute_reversed"),
        book=dispute.book,
        currency=dispute.currency,
        kind="adjustment",
        gross_minor=dispute.amount_minor,
        fee_minor=-dispute.fee_minor,
        subject=dispute.id,
        subject_kind="dispute",
        payin=dispute.payin,
        at=now,
    )
    return _Given(group, (told,))


# Time


def expire_dispute(view: View, *, due: Due) -> Decision:
    """The last moment for evidence has passed. The clock of a test book may have been moved.

    A file that was accepted in time keeps it open, also while the provider has not taken it yet.
    """
    dispute = view.get(DISPUTES, due.subject)
    assert dispute is not None, "due work names what there is"
    if dispute_after(dispute.status, DisputeHappening.TIME_PASSED) is None or dispute.evidence:
        return Decision(outcome=dispute, done=(due,))
    later = _expiry(view, dispute)
    if dispute.respond_by > view.at + offset_of(view, dispute.book):
        # Somebody else may have moved it there: the same work at the same time is one piece.
        return Decision(outcome=dispute, done=(due, later), due=(later,))
    decision = _lost(view, dispute, DisputeStatus.EXPIRED)
    return msgspec.structs.replace(decision, done=(due, *decision.done))


# Evidence


def add_evidence(view: View, *, evidence: Evidence, key_digest: bytes) -> Decision | Refused:
    """A merchant answers with a file. Refuses: not_found, forbidden_transition."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    dispute = view.get(DISPUTES, evidence.dispute)
    if dispute is None or dispute.book != evidence.book:
        return Refused("not_found", "there is no such dispute")
    known = view.get(EVIDENCE, evidence.id)
    if known is not None:
        return Decision(outcome=known, subject=known.id)
    now = view.at + offset_of(view, dispute.book)
    if dispute.status not in OPEN:
        return Refused("forbidden_transition", f"a dispute that is {dispute.status} takes no evidence")
    if now >= dispute.respond_by:
        return Refused("forbidden_transition", "the time for evidence is over")
    if dispute.evidence >= FILES_MAX:
        return Refused("forbidden_transition", f"a dispute takes at most {FILES_MAX} files")
    new = msgspec.structs.replace(evidence, created_at=now)
    counted = msgspec.structs.replace(dispute, version=dispute.version + 1, evidence=dispute.evidence + 1)
    return Decision(
        outcome=new,
        puts=(Put(EVIDENCE, new), Put(DISPUTES, counted)),
        due=(Due(at=view.clock, kind=SEND_EVIDENCE, subject=new.id, book=new.book),),
        subject=new.id,
    )


def settle_evidence(view: View, *, id: UUID, refused: str | None, due: Due) -> Decision:
    """The provider has taken a file, or says why it never will; then what counted on it may expire after all."""
    evidence = view.get(EVIDENCE, id)
    assert evidence is not None, "due work names what there is"
    dispute = view.get(DISPUTES, evidence.dispute)
    assert dispute is not None, "evidence is of a dispute"
    if evidence.status != "pending":
        return Decision(outcome=evidence, done=(due,))
    new = msgspec.structs.replace(
        evidence,
        version=evidence.version + 1,
        status="taken" if refused is None else "refused",
        reason=refused,
        sent_at=view.at + offset_of(view, evidence.book),
    )
    rest = _taken(view, dispute) if refused is None else _refused(view, dispute)
    return Decision(
        outcome=new, puts=(Put(EVIDENCE, new), *rest.puts), events=rest.events, due=rest.due, done=(due, *rest.done)
    )


def _taken(view: View, dispute: Dispute) -> Decision:
    """The first file puts the dispute under review; nothing else changes it, and nothing that is closed."""
    following = dispute_after(dispute.status, DisputeHappening.EVIDENCE_TAKEN)
    if following is None or following is dispute.status:
        return Decision()
    new = msgspec.structs.replace(dispute, version=dispute.version + 1, status=following)
    return Decision(puts=(Put(DISPUTES, new),), events=(_event("under_review", new),), done=(_expiry(view, dispute),))


def _refused(view: View, dispute: Dispute) -> Decision:
    """A file less. Where it was the last one that counted, the dispute may expire after all."""
    new = msgspec.structs.replace(dispute, version=dispute.version + 1, evidence=dispute.evidence - 1)
    waits = new.status is DisputeStatus.NEEDS_RESPONSE and not new.evidence
    expiry = (_expiry(view, new),) if waits else ()
    return Decision(puts=(Put(DISPUTES, new),), events=(_event("evidence_refused", new),), done=expiry, due=expiry)


def _closed(dispute: Dispute, status: DisputeStatus, now: datetime, *, version: int = 0) -> Dispute:
    return msgspec.structs.replace(dispute, version=version or dispute.version + 1, status=status, closed_at=now)


def _expiry(view: View, dispute: Dispute) -> Due:
    """The due work that lets it expire, in real time."""
    at = dispute.respond_by - offset_of(view, dispute.book)
    return Due(at=at, kind=EXPIRE_DISPUTE, subject=dispute.id, book=dispute.book)


def _event(happened: str, dispute: Dispute) -> Event:
    return Event(type=f"dispute.{happened}", subject=dispute.id, book=dispute.book, data=encode(dispute_body(dispute)))


def body_of_evidence(evidence: Evidence) -> bytes:
    """The file as the API answers with it."""
    return encode(evidence_body(evidence))
