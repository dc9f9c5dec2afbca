"""Money that goes back to whoever sent it, and the sandbox's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import BANK, OperationState
from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.merchants import AUDIT, BOOKS, AuditRecord, Operator, refuse_ended, refuse_revoked
from caudal.payins import postings
from caudal.payins.decide.changing import changed
from caudal.payins.decide.deposits import deposit_event
from caudal.payins.decide.discrepancies import held_of, may_have_gone_back, next_gone_back, odd
from caudal.payins.decide.known import said_of
from caudal.payins.decide.money import posted
from caudal.payins.model import ClockBody, Deposit, Discrepancy, DiscrepancyKind, RefusedOperation, ReturnEnd
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.payins.states import Happening, Status

RETURN: Final = "deposit.return"
# Why money is unapplied that was to go back: its bank or provider refused, or has never heard of the order.
PARTLY: Final = "partly_returned"  # some of it is back with its payer, by nobody's command
FAILED: Final = ("return_refused", "return_lost", PARTLY)

# And why it was, once a return that had failed turned out to have been carried out.
CONFIRMED: Final = "return_confirmed"

OrderEnd = Literal["pending", "succeeded", "failed"]
Answer = OperationState | RefusedOperation  # to an order, as a case keeps it


def request_return(
    view: View, *, id: UUID, operator: Operator, entry: UUID, destination: bytes | None
) -> Decision | Refused:
    """An operator sends unapplied money back to whoever paid it."""
    refusal = refuse_revoked(view, operator.digest)
    if refusal is not None:
        return refusal
    deposit = view.get(DEPOSITS, id)
    if deposit is None:
        return Refused("not_found", "there is no such deposit")
    payin = None if deposit.payin is None else view.get(PAYINS, deposit.payin)
    held = payin is not None and payin.status is not Status.PAID and id in payin.details().deposits
    if held and payin is not None and payin.status is Status.PENDING:
        return Refused("forbidden_transition", "the deposit still counts towards a pending payin; cancel that first")
    twice = _refuse_twice(view, deposit)
    if twice is not None:
        return twice
    amount = deposit.unapplied_minor
    outcome = ledger.post(view, postings.return_requested(deposit.book, deposit.currency, id, deposit.version, amount))
    if isinstance(outcome, ledger.Refused):
        return Refused("insufficient_funds", "the unapplied balance does not cover the return")
    new = msgspec.structs.replace(
        deposit,
        version=deposit.version + 1,
        unapplied_minor=0,
        returning_minor=deposit.returning_minor + amount,
        destination=destination,
        sent_until=None,
    )
    event = deposit_event(new, "deposit.return_requested")
    puts = [Put(DEPOSITS, new), Put(AUDIT, _entry(view, entry, operator, event)), *ledger.puts(outcome)]
    if held and payin is not None:
        detail = payin.details()
        left = tuple(other for other in detail.deposits if other != id)
        returned = changed(
            view,
            payin,
            Happening.PART_RETURNED,
            detail=msgspec.structs.replace(detail, deposits=left),
            received_minor=payin.received_minor - deposit.amount_minor,
        )
        puts += returned.puts
    return Decision(
        outcome=new,
        puts=tuple(puts),
        events=(event,),
        due=(Due(at=view.clock, kind=RETURN, subject=id, book=deposit.book),),
        subject=id,
    )


def _refuse_twice(view: View, deposit: Deposit) -> Refused | None:
    """Why its money is not sent back: it has gone, or may have, by a return that failed here or by itself."""
    if deposit.unapplied_minor == 0:
        return Refused("forbidden_transition", "nothing of this deposit is unapplied")
    if may_have_gone_back(view, gone_back_keys(deposit)):
        return Refused("forbidden_transition", "its payer may have it already: its discrepancy comes first")
    return None


def _entry(view: View, id: UUID, operator: Operator, event: Event) -> AuditRecord:
    """What the audit trail keeps of it."""
    return AuditRecord(
        id=id,
        at=view.at,
        actor=ids.public("operator", operator.id),
        action=event.type,
        subject=ids.public("dep", event.subject),
        detail=event.data,
    )


def send_return(view: View, *, id: UUID, version: int, within: timedelta) -> Decision:
    """It is about to be ordered for the first time, `within` this time. The outcome is whether it still has to be."""
    deposit = view.get(DEPOSITS, id)
    assert deposit is not None, "only what has come is sent back"
    if not deposit.returning_minor or deposit.version != version or deposit.sent_until is not None:
        return Decision(outcome=False)
    new = msgspec.structs.replace(deposit, version=version + 1, sent_until=view.clock + within)
    return Decision(outcome=True, puts=(Put(DEPOSITS, new),))


def settle_return(view: View, *, due: Due, version: int, end: ReturnEnd, said: Answer | None) -> Decision:
    """What became of the return that `version` asked for; `said` is the answer that tells it, if one does. A second
    word finds nothing left to settle, or the next return, not its own: where that ended otherwise, it is a case."""
    deposit = view.get(DEPOSITS, due.subject)
    assert deposit is not None, "due work names what there is"
    amount, done = deposit.returning_minor, end == "returned"
    if amount == 0 or deposit.returning_version != version:
        return Decision(outcome=deposit, done=(due,)) if said is None else _after_all(view, deposit, version, said, due)
    if done:
        group = postings.return_confirmed(
            deposit.book, deposit.currency, deposit.id, deposit.version, amount, from_bank=deposit.provider == BANK
        )
    else:
        group = postings.return_failed(deposit.book, deposit.currency, deposit.id, deposit.version, amount)
    new = msgspec.structs.replace(
        deposit,
        version=deposit.version + 1,
        returning_minor=0,
        returned_minor=deposit.returned_minor + (amount if done else 0),
        unapplied_minor=deposit.unapplied_minor + (0 if done else amount),
        reason=deposit.reason if done else f"return_{end}",
    )
    type = "deposit.returned" if done else "deposit.return_failed"
    return Decision(
        outcome=new,
        puts=(Put(DEPOSITS, new), *ledger.puts(posted(view, group))),
        events=(deposit_event(new, type),),
        done=(due,),
    )


def confirmed(view: View, deposit: Deposit) -> Decision | Refused:
    """A return that has failed here was carried out there after all.

    Refuses: forbidden_transition, where its money has gone another way meanwhile, or no return of it has failed.
    """
    if deposit.returning_minor:
        return Refused("forbidden_transition", "its money is on its way back: settle that return as unresolved")
    if not deposit.unapplied_minor:
        return Refused("forbidden_transition", "nothing of it is unapplied: it has gone back, or pays a payin")
    if deposit.reason not in FAILED:
        return Refused("forbidden_transition", "no return of this deposit has failed")
    return carried_out(view, deposit, deposit.unapplied_minor)


def carried_out(view: View, deposit: Deposit, amount: int) -> Decision:
    """So much of what is unapplied is back with its payer. It has happened: no limit refuses it."""
    assert not deposit.returning_minor and 0 < amount <= deposit.unapplied_minor, "it is proposed so"
    from_bank = deposit.provider == BANK
    group = postings.return_carried_out(
        deposit.book, deposit.currency, deposit.id, deposit.version, amount, from_bank=from_bank
    )
    new = msgspec.structs.replace(
        deposit,
        version=deposit.version + 1,
        unapplied_minor=deposit.unapplied_minor - amount,
        returned_minor=deposit.returned_minor + amount,
        reason=CONFIRMED if amount == deposit.unapplied_minor else PARTLY,
    )
    return Decision(
        outcome=new,
        puts=(Put(DEPOSITS, new), *ledger.puts(posted(view, group))),
        events=(deposit_event(new, "deposit.returned"),),
    )


# What is said of returns: each is known by the version of the deposit that asked for it


def return_key(deposit: Deposit, version: int) -> str:
    """By which a bank or a provider knows the return that this version asked for: one key for one request."""
    if deposit.provider == BANK:
        return f"{deposit.id.hex}-{version}"
    return ledger.transfer_id(deposit.id, "return", version).hex


def asked_by(deposit: Deposit, key: str | None) -> int | None:
    """The version that asked for the return which a bank or a provider knows by this key."""
    versions = range(1, deposit.version + 1)
    return next((version for version in versions if return_key(deposit, version) == key), None)


def order_end(deposit: Deposit, version: int) -> OrderEnd | None:
    """What became of the return that this version asked for; None where one that had failed was carried out after all,
    and nobody knows whether it was this one, because there was another. An order is for all that is unapplied: where
    some is left, none has succeeded.
    """
    past = deposit.version - (deposit.sent_until is not None) - version  # one that is the last and has ended is 1 back
    if deposit.returning_minor and not past:
        return "pending"
    if not deposit.returned_minor or deposit.unapplied_minor:
        return "failed"
    if deposit.reason == CONFIRMED:  # the last one failed, 2 back
        return "succeeded" if past == 2 and version <= 2 else None
    return "succeeded" if past == 1 else "failed"


def ordered_minor(deposit: Deposit) -> int:
    """What a return of it is of: all that pays no payin, wherever that has gone since."""
    return deposit.returning_minor or deposit.unapplied_minor or deposit.returned_minor or deposit.amount_minor


def note_return(view: View, *, id: UUID, live: bool, provider: str, said: OperationState) -> Decision:
    """What a callback says of a return. Who has ordered the one that is under way asks for its end; a word that does
    not fit, or is otherwise than it ended, is a case."""
    deposit = view.get(DEPOSITS, id)
    version = None if deposit is None else asked_by(deposit, said.key)
    assert deposit is not None and version is not None, "it is a return of this deposit"
    end, kind = order_end(deposit, version), _misfit(deposit, provider, live, said)
    if kind is None and end != "pending" and said.status not in ("pending", end):
        return _contradiction(view, deposit, version, said, (), answer=None)
    if kind is None and not _is_as_ordered(deposit, said):
        kind = "other_amount"
    return Decision() if kind is None else _odd(view, deposit, provider, kind, said)


def _is_as_ordered(deposit: Deposit, said: OperationState) -> bool:
    """Whether it is of the amount that was ordered; where a part went back by itself nobody knows how much."""
    most = deposit.amount_minor - deposit.applied_minor
    fits = said.amount_minor <= most if deposit.reason == PARTLY else said.amount_minor == ordered_minor(deposit)
    return fits and said.currency == deposit.currency


def _misfit(deposit: Deposit, provider: str, live: bool, said: OperationState) -> DiscrepancyKind | None:
    """Why it cannot be about this deposit's return."""
    if (provider, said.account, live) != (deposit.provider, deposit.account, bool(deposit.book & 1)):
        return "other_account"
    return None if said.kind == "refund" else "unknown_payment"


def _after_all(view: View, deposit: Deposit, version: int, said: Answer, due: Due) -> Decision:
    """An answer to a return that has ended here meanwhile, by an operator's word or by another answer."""
    if order_end(deposit, version) == _status(said):
        return Decision(outcome=deposit, done=(due,))
    return _contradiction(view, deposit, version, said, (due,), answer=said)


def _contradiction(
    view: View, deposit: Deposit, version: int, said: Answer, done: tuple[Due, ...], *, answer: Answer | None
) -> Decision:
    """It is written down once for each outcome and amount that the order is said to have come to."""

    def is_known(case: Discrepancy) -> bool:
        before = said_of(case.detail)
        return (before.status or "failed", before.amount_minor) == (_status(said), getattr(said, "amount_minor", 0))

    id = next_gone_back(view, return_key(deposit, version), is_known)
    if id is None:
        return Decision(outcome=deposit, done=done)
    told = _odd(view, deposit, deposit.provider, "contradicts_final_state", said, id=id, answer=answer)
    return msgspec.structs.replace(told, outcome=deposit, done=done)


def _odd(
    view: View,
    deposit: Deposit,
    provider: str,
    kind: DiscrepancyKind,
    said: Answer,
    *,
    id: UUID | None = None,
    answer: Answer | None = None,
) -> Decision:
    payin = None if deposit.payin is None else view.get(PAYINS, deposit.payin)
    held = held_of(payin, deposit=deposit)
    return odd(
        view,
        deposit.book,
        provider,
        kind,
        said,
        (),
        held=held,
        payin=deposit.payin,
        outcome=deposit,
        answer=answer,
        id=id,
    )


def _status(said: Answer) -> str:
    return said.status if isinstance(said, OperationState) else "failed"


def gone_back_keys(deposit: Deposit) -> list[str]:
    """The keys whose cases may say that its payer has money of it: of its returns, where one has failed, and of its
    payment at a provider, unless it goes back as it came. While one is open nothing goes back: its payer would have it
    twice."""
    at_once = deposit.returning_minor and deposit.returning_version == 1
    payment = [] if deposit.provider == BANK or at_once else [deposit.tracking_key]
    versions = range(1, deposit.version + 1) if deposit.reason in FAILED else ()
    return payment + [return_key(deposit, version) for version in versions]


def advance_clock(view: View, *, book: int, seconds: int, key_digest: bytes) -> Decision | Refused:
    """Moves a test book's clock forward."""
    refusal = refuse_ended(view, key_digest)
    if refusal is not None:
        return refusal
    record = view.get(BOOKS, book)
    assert record is not None and not book & 1, "only test books have a clock of their own"
    moved = msgspec.structs.replace(record, version=record.version + 1, clock_offset_s=record.clock_offset_s + seconds)
    clock = ClockBody(
        now=rfc3339(view.at + timedelta(seconds=moved.clock_offset_s)), offset_seconds=moved.clock_offset_s
    )
    return Decision(outcome=clock, puts=(Put(BOOKS, moved),))
