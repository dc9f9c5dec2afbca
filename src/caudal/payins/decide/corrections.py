"""A discrepancy is put right: by asking the provider about it, or by what an operator was proposed and has chosen.

A correction is made of the ordinary verbs, once, and only while everything stands as the operator saw it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import NotFound, OperationState, PaymentState
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import AUDIT, Operator
from caudal.payins import postings
from caudal.payins.decide.changing import OPERATE, begun, changed, expiry_of, void_again
from caudal.payins.decide.deposits import deposit_event
from caudal.payins.decide.discrepancies import ASK, closed, entry_of, event_of, open_one
from caudal.payins.decide.known import Known, agrees, known_of, said_of, surplus_deposit
from caudal.payins.decide.money import posted
from caudal.payins.decide.outcomes import settle
from caudal.payins.decide.proposals import late_earned, proposals, return_told_of, spent, taken_back
from caudal.payins.decide.provider import note
from caudal.payins.decide.returns import RETURN, carried_out, confirmed, request_return
from caudal.payins.model import (
    CorrectionKind,
    Deposit,
    Discrepancy,
    NothingHeard,
    OperationDetail,
    Payin,
    Proposal,
    refund_body,
)
from caudal.payins.rows import DEPOSITS, DISCREPANCIES, OPERATIONS, PAYINS
from caudal.payins.states import Happening

Answer = PaymentState | OperationState | NotFound

CONFIRMED: Final = "the provider was asked, and confirmed it; what came of it is booked"
AS_BOOKED: Final = "the provider was asked, and says what our books say"


class Chosen(NamedTuple):
    """What an operator has chosen of a discrepancy's proposals, and where the payer's money goes (sealed)."""

    operator: Operator
    correction: CorrectionKind
    facts: str
    destination: bytes | None
    entry: UUID
    nobody: bytes


class _Work(NamedTuple):
    """What a correction works on."""

    view: View
    found: Discrepancy
    known: Known
    proposal: Proposal
    chosen: Chosen

    @property
    def payin(self) -> Payin:
        """Its payin; only the return of a deposit may have none."""
        assert self.known.payin is not None, "what is proposed is about a payin"
        return self.known.payin


# The provider is asked


def answered(
    view: View, *, id: UUID, answer: Answer, version: int, refunded_minor: int | None, sealed: bytes, due: Due
) -> Decision:
    """What the provider says of a discrepancy when it is asked: booked like any answer, and kept with it.

    `version` was the payin's when it was asked, 0 while a capture, a void or a refund was under way; `refunded_minor`
    is what it has given back of the payment by then, where a refund was asked about that we hold for failed. The
    discrepancy closes where the provider confirms what it was opened for, or where an operator has asked and nothing
    differs.
    """
    found = view.get(DISCREPANCIES, id)
    assert found is not None and found.payin is not None, "work to ask about it names what there is"
    if found.resolved_at is not None:
        return Decision(outcome=found, done=(due,))
    payin = view.get(PAYINS, found.payin)
    assert payin is not None, "a payin is never removed"
    booked = _without_twin(_booked(view, found, payin.id, answer, sealed), found)
    after = next((put.record for put in booked.puts if isinstance(put.record, Payin)), payin)
    json = encode(_kept(answer, after.version if payin.version == version else 0, refunded_minor))
    new = msgspec.structs.replace(found, version=found.version + 1, answer=json, correction=None)
    if _is_confirmed(found, answer) and booked.events:
        new = closed(view, new, CONFIRMED, version=new.version)
    elif found.correction == "ask_again" and _is_as_booked(view, new, after, answer):
        new = closed(view, new, AS_BOOKED, version=new.version, correction="ask_again")
    events = (event_of(new),) if new.resolved_at is not None else ()
    return msgspec.structs.replace(
        booked,
        outcome=new,
        puts=(*booked.puts, Put(DISCREPANCIES, new)),
        events=(*booked.events, *events),
        done=(*booked.done, due),
    )


def _booked(view: View, found: Discrepancy, payin: UUID, answer: Answer, sealed: bytes) -> Decision:
    match answer:
        case PaymentState():
            live = bool(found.book & 1)
            return note(view, id=payin, live=live, provider=found.provider, state=answer, sealed=sealed, confirmed=True)
        case OperationState() if view.get(OPERATIONS, UUID(hex=answer.key)) is not None:  # else a return: a proposal
            return settle(view, id=UUID(hex=answer.key), said=answer)
    return Decision()


def _without_twin(booked: Decision, found: Discrepancy) -> Decision:
    """The answer belongs to the discrepancy that was asked about, and opens no other of its kind."""
    twins = {put.record.id for put in booked.puts if put.table is DISCREPANCIES and put.record.kind == found.kind}
    return msgspec.structs.replace(
        booked,
        puts=tuple(put for put in booked.puts if put.table is not DISCREPANCIES or put.record.id not in twins),
        events=tuple(event for event in booked.events if event.subject not in twins),
        finishes=None,
    )


def _kept(answer: Answer, version: int, refunded_minor: int | None) -> msgspec.Struct | dict[str, object]:
    """The answer, with the version of the payin that it is about: what is another one by then is asked for again."""
    if isinstance(answer, NotFound):
        return NothingHeard()
    if isinstance(answer, PaymentState):
        answer = msgspec.structs.replace(answer, action=None, payer_page=None)
    more = {} if refunded_minor is None else {"refunded_minor": refunded_minor}
    return {**msgspec.to_builtins(answer), **more, "payin_version": version}


def _is_confirmed(found: Discrepancy, answer: Answer) -> bool:
    """Whether the answer is what was told, in what counts."""
    if isinstance(answer, NotFound):
        return False
    told = said_of(found.detail)
    if isinstance(answer, OperationState):
        return (told.status, told.amount_minor) == (answer.status, answer.amount_minor)
    return (told.status, told.captured_minor) == (answer.status, answer.captured_minor)


def _is_as_booked(view: View, found: Discrepancy, payin: Payin, answer: Answer) -> bool:
    known = known_of(view, found)._replace(payin=payin)
    if isinstance(answer, PaymentState) and found.answer is not None and known.beside is None:
        said = said_of(found.answer)
        return said.payin_version == payin.version and agrees(payin, said, known.surplus)
    return proposals(found, known)[0].correction == "none_needed"


# An operator chooses


def correct(view: View, *, id: UUID, chosen: Chosen) -> Decision | Refused:
    """Carries out a proposal, once. Refuses: revoked keys, not_found, forbidden_transition."""
    found = open_one(view, id, chosen.operator)
    if isinstance(found, Refused):
        return found
    known = known_of(view, found)
    offered = proposals(found, known)
    proposal = next((one for one in offered if one.correction == chosen.correction), None)
    if proposal is None:
        names = ", ".join(one.correction for one in offered)
        return Refused("forbidden_transition", f"what is proposed for it now is {names}")
    if proposal.facts != chosen.facts:
        return Refused("forbidden_transition", f"it has changed since ({proposal.facts} now): look at it again")
    carry = _CARRY.get(chosen.correction)
    if carry is None or (known.payin is None and known.bank is None):
        return Refused("forbidden_transition", "there is nothing to carry out: say in a resolution how it was settled")
    decision = carry(_Work(view, found, known, proposal, chosen))
    return decision if isinstance(decision, Refused) else _noted(view, found, proposal, chosen, decision)


def _noted(view: View, found: Discrepancy, proposal: Proposal, chosen: Chosen, decision: Decision) -> Decision:
    """The discrepancy after it: looked after, unless the provider is only asked."""
    if proposal.correction == "ask_again":
        new = msgspec.structs.replace(found, version=found.version + 1, correction="ask_again")
        events, action = tuple[Event, ...](), "provider.asked"
    else:
        new = closed(view, found, f"corrected: {proposal.because}", correction=proposal.correction)
        events, action = (event_of(new),), "discrepancy.resolved"
    audit = entry_of(view, chosen.entry, chosen.operator, action, new)
    return msgspec.structs.replace(
        decision,
        outcome=new,
        puts=(*decision.puts, Put(DISCREPANCIES, new), Put(AUDIT, audit)),
        events=(*decision.events, *events),
        subject=found.id,
    )


def _ask(work: _Work) -> Decision:
    due = Due(at=work.view.clock, kind=ASK, subject=work.found.id, book=work.found.book)
    return Decision(due=(due,))


def _return_money(work: _Work) -> Decision | Refused:
    """What is a deposit already is returned like any; what is none yet becomes one on its way back."""
    waiting = next((one for one in (work.known.late, work.known.surplus) if one and one.unapplied_minor), None)
    if waiting is None:
        return _surplus_returned(work)
    return request_return(
        work.view,
        id=waiting.id,
        operator=work.chosen.operator,
        entry=ledger.transfer_id(work.chosen.entry, "return"),
        destination=work.chosen.destination,
    )


def _surplus_returned(work: _Work) -> Decision:
    view, payin, amount = work.view, work.payin, work.proposal.amount or 0
    said = said_of(work.found.detail)
    new = Deposit(
        id=surplus_deposit(payin.method, said.payment),
        book=payin.book,
        version=1,
        provider=work.found.provider,
        tracking_key=said.payment,
        account=str(payin.book >> 1),
        currency=payin.currency,
        amount_minor=amount,
        applied_minor=0,
        unapplied_minor=0,
        returning_minor=amount,
        returned_minor=0,
        payin=payin.id,
        reason="other_amount",
        sealed=work.chosen.nobody,
        created_at=view.at,
    )
    group = postings.late(payin.book, payin.currency, new.id, amount_minor=amount, returns=True)
    return Decision(
        puts=(Put(DEPOSITS, new), *ledger.puts(posted(view, group))),
        events=(deposit_event(new, "deposit.return_requested"),),
        due=(Due(at=view.clock, kind=RETURN, subject=new.id, book=payin.book),),
    )


def _book_back(work: _Work) -> Decision:
    """A refund that has happened, or whose money never came: booked and settled, and nobody is asked for it."""
    view, payin, amount = work.view, work.payin, work.proposal.amount or 0
    id = ledger.transfer_id(work.found.id, "refund")
    split = taken_back(work.known, payin, id, amount)
    operation = msgspec.structs.replace(
        begun(
            payin,
            id,
            "refund",
            amount,
            work.known.now,
            OperationDetail(note=work.proposal.because, correction=work.found.id),
        ),
        from_pending_minor=split.pending_minor,
        from_available_minor=amount - split.pending_minor,
    )
    settled = msgspec.structs.replace(operation, version=2, status="succeeded", settled_at=work.known.now)
    group = (
        *postings.refund_requested(payin.book, payin.currency, id, split, beyond_balance=True),
        *postings.refund_confirmed(payin.book, payin.currency, id, amount, from_bank=False),
    )
    booked = posted(view, group)
    new = changed(view, payin, Happening.REFUND_REQUESTED, refunded_minor=payin.refunded_minor + amount)
    told = [(one, type) for one, type in ((operation, "refund.created"), (settled, "refund.succeeded"))]
    events = (Event(type=type, subject=id, book=payin.book, data=encode(refund_body(one))) for one, type in told)
    return Decision(
        puts=(*new.puts, Put(OPERATIONS, settled), *ledger.puts(booked), *split.puts),
        events=(*events, *ledger.events(booked)),
    )


def _book_return(work: _Work) -> Decision | Refused:
    """A return that has failed here reached the payer after all, or what its provider gave back by itself has."""
    of = return_told_of(work.known, said_of(work.found.detail))
    if of is not None:
        return confirmed(work.view, of[0])
    deposit, amount = work.known.late, work.proposal.amount
    assert deposit is not None and amount is not None, "it is proposed for a deposit"
    return carried_out(work.view, deposit, amount)


def _book_late_payment(work: _Work) -> Decision | Refused:
    """What waits for an operator pays its payin after all, as if the merchant had accepted late payments."""
    view, payin, deposit = work.view, work.payin, work.known.late
    assert deposit is not None, "it is proposed for a deposit"
    late = late_earned(work.known, payin)
    said = said_of(work.found.detail)
    group = postings.received(spent(deposit), held_minor=deposit.amount_minor, money=late.money)
    booked = posted(view, group)
    applied = msgspec.structs.replace(
        deposit, version=deposit.version + 1, applied_minor=deposit.amount_minor, unapplied_minor=0, reason=None
    )
    new = changed(
        view,
        payin,
        Happening.ALL_RECEIVED,
        "payin.paid",
        reason="late",
        received_minor=deposit.amount_minor,
        authorized_minor=said.authorized_minor,
        captured_minor=deposit.amount_minor if said.authorized_minor else 0,
        fee_minor=late.fee_minor,
        paid_at=work.known.now,
        available_on=late.day,
    )
    return Decision(
        puts=(*new.puts, Put(DEPOSITS, applied), *ledger.puts(booked), *late.money.puts),
        events=(*new.events, *ledger.events(booked)),
        due=late.money.due,
    )


def _void_again(work: _Work) -> Decision | Refused:
    """What the same attempt holds is asked for again: the payin's own, or that of one before it, which is not its."""
    view, payin = work.view, work.payin
    detail, failed = payin.details(), work.known.operation or work.known.void
    assert failed is not None, "it is proposed where a void has failed"
    id = void_again(failed.id)
    if view.get(OPERATIONS, id) is not None:
        return Refused("forbidden_transition", "the provider was asked a second time: clear it with the provider")
    asked = msgspec.structs.replace(failed.details(), again=True, waiting=None, sent_until=None)
    void = begun(payin, id, "void", failed.amount_minor, work.known.now, asked)
    puts: tuple[Put, ...] = ()
    if asked.attempt is None and payin.holds_rest(detail):
        puts = changed(
            view, payin, Happening.CANCEL_REQUESTED, detail=msgspec.structs.replace(detail, voiding=True)
        ).puts
    due = Due(at=view.clock, kind=OPERATE, subject=id, book=payin.book)
    return Decision(puts=(*puts, Put(OPERATIONS, void)), due=(due,))


def _end_authorization(work: _Work) -> Decision | Refused:
    detail = work.payin.details()
    if detail.capturing_minor or detail.voiding:
        return Refused("forbidden_transition", "a capture or a cancellation is under way: it comes first")
    reason = (said_of(work.found.answer).reason if work.found.answer else None) or "processing_error"
    new = changed(work.view, work.payin, Happening.CANCELLED, "payin.cancelled", reason=reason)
    expiry = expiry_of(work.payin, work.known.now - work.view.at)
    return Decision(puts=new.puts, events=new.events, done=(expiry,))


_CARRY: Final[dict[CorrectionKind, Callable[[_Work], Decision | Refused]]] = {
    "ask_again": _ask,
    "return_money": _return_money,
    "book_late_payment": _book_late_payment,
    "reverse_capture": _book_back,
    "book_refund": _book_back,
    "book_return": _book_return,
    "void_again": _void_again,
    "end_authorization": _end_authorization,
}
