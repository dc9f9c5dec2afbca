"""What a provider says and our books contradict: written down once, for a person to look after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.connectors import DepositReport, PaymentState
from caudal.kernel import ids
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.ledger import house_book
from caudal.merchants import AUDIT, AuditRecord, Operator, refuse_revoked
from caudal.payins.model import (
    Deposit,
    Discrepancy,
    DiscrepancyKind,
    Dispute,
    Held,
    Operation,
    Payin,
    discrepancy_body,
)
from caudal.payins.rows import DISCREPANCIES

# Asks the provider about a discrepancy, whose id is the work's subject.
ASK: Final = "discrepancy.ask"
_BLOCK: Final = 32  # a decision may wait for two reads only


def odd(
    view: View,
    book: int,
    provider: str,
    kind: DiscrepancyKind,
    said: msgspec.Struct,
    done: tuple[Due, ...],
    *,
    held: Held,
    payin: UUID | None,
    outcome: object,
    answer: msgspec.Struct | None = None,
    id: UUID | None = None,
) -> Decision:
    """What does not fit, with what our books say: written down once; nothing else changes.

    `answer` is what the provider says otherwise when it is asked, where it was; `id` is the case's own, else it is made
    of what was said.
    """
    detail, id = detail_of(said), id or _odd_id(provider, kind, said)
    if view.get(DISCREPANCIES, id) is not None:
        return Decision(outcome=outcome, done=done)
    found = Discrepancy(
        id=id,
        book=book,
        version=1,
        provider=provider,
        kind=kind,
        payin=payin,
        detail=detail,
        created_at=view.at,
        resolved_at=None,
        resolution=None,
        held=encode(held),
        answer=None if answer is None else encode(_without_payer(answer)),
    )
    return Decision(outcome=outcome, puts=(Put(DISCREPANCIES, found),), events=(event_of(found),), done=done)


def _odd_id(provider: str, kind: DiscrepancyKind, said: msgspec.Struct) -> UUID:
    """The id of the case that these words open."""
    return derived(f"odd\n{provider}\n{kind}\n{detail_of(said).decode()}")


def detail_of(said: msgspec.Struct) -> bytes:
    """The words as a case keeps them."""
    return encode(_without_payer(said))


# What may have gone back already: its cases have ids that follow from the key of the order or the payment that they
# are about, one after the other, so that whoever is about to send it back finds each


def gone_back_id(key: str, number: int) -> UUID:
    """The id of a case that says of the order, or of the payment, with this key that money of it went back; the first
    is 0, and the next opens where other words come."""
    return derived(f"return\n{key}" if number == 0 else f"return\n{key}\n{number}")


def gone_back_ids(keys: Sequence[str], block: int) -> list[UUID]:
    """The ids of these keys' cases, a block of numbers after the other; blocks grow, so that few reads find many."""
    numbers = range(_BLOCK**block - 1, _BLOCK ** (block + 1) - 1)
    return [gone_back_id(key, number) for number in numbers for key in keys]


def next_gone_back(view: View, key: str, is_known: Callable[[Discrepancy], bool]) -> UUID | None:
    """The id of the case that words about this key open; None where one of its cases is known to have them."""
    for block in count():
        ids = gone_back_ids([key], block)
        cases = view.get_all(DISCREPANCIES, ids)
        for id, case in zip(ids, cases, strict=True):
            if case is None:
                return id
            if is_known(case):
                return None
    raise AssertionError("numbers do not end")


def may_have_gone_back(view: View, keys: Sequence[str]) -> bool:
    """Whether a case of any of these keys is open."""
    for block in count():
        cases = view.get_all(DISCREPANCIES, gone_back_ids(keys, block))
        if any(case is not None and case.resolved_at is None for case in cases):
            return True
        if not any(cases[len(cases) - len(keys) :]):  # no key has one with the last number: there are no more
            return False
    raise AssertionError("numbers do not end")


def held_of(
    payin: Payin | None,
    *,
    operation: Operation | None = None,
    dispute: Dispute | None = None,
    deposit: Deposit | None = None,
) -> Held:
    """What our books say of what a provider speaks of; of nothing where there is nothing."""
    about: Payin | Operation | Dispute | Deposit | None = operation or dispute or deposit or payin
    if about is None:
        return Held()
    held = Held(
        about="payment" if about is payin else _ABOUT[type(about)],
        status=None if isinstance(about, Deposit) else str(about.status),
        amount_minor=about.amount_minor,
        currency=about.currency,
    )
    if payin is None:
        return held
    return msgspec.structs.replace(
        held,
        reference=payin.details().reference,
        payin_status=payin.status,
        authorized_minor=payin.authorized_minor,
        captured_minor=payin.captured_minor,
        received_minor=payin.received_minor,
        refunded_minor=payin.refunded_minor,
        disputed_minor=payin.disputed_minor,
    )


_ABOUT: Final[dict[type, Any]] = {Operation: "operation", Dispute: "dispute", Deposit: "deposit"}


def event_of(found: Discrepancy) -> Event:
    """It was opened, or looked after."""
    type = "discrepancy.opened" if found.resolved_at is None else "discrepancy.resolved"
    data = encode(discrepancy_body(found))
    return Event(type=type, subject=found.id, book=house_book(found.book), data=data)


def _without_payer(said: msgspec.Struct) -> msgspec.Struct:
    match said:
        case PaymentState():
            return msgspec.structs.replace(said, action=None, payer_page=None)
        case DepositReport():
            return msgspec.structs.replace(said, payer_name="")
    return said


def resolve(view: View, *, id: UUID, operator: Operator, resolution: str, entry: UUID) -> Decision | Refused:
    """A person has looked after it and says how. Refuses: not_found, forbidden_transition."""
    found = open_one(view, id, operator)
    if isinstance(found, Refused):
        return found
    new = closed(view, found, resolution)
    event = event_of(new)
    audit = entry_of(view, entry, operator, event.type, new)
    return Decision(outcome=new, puts=(Put(DISCREPANCIES, new), Put(AUDIT, audit)), events=(event,), subject=id)


def open_one(view: View, id: UUID, operator: Operator) -> Discrepancy | Refused:
    """The discrepancy that an operator looks after. Refuses: revoked keys, not_found, forbidden_transition."""
    refusal = refuse_revoked(view, operator.digest)
    if refusal is not None:
        return refusal
    found = view.get(DISCREPANCIES, id)
    if found is None:
        return Refused("not_found", "there is no such discrepancy")
    if found.resolved_at is not None:
        return Refused("forbidden_transition", "the discrepancy is resolved already")
    return found


def closed(view: View, found: Discrepancy, resolution: str, **changed: object) -> Discrepancy:
    """The discrepancy, looked after."""
    fields = {"version": found.version + 1, "resolved_at": view.at, "resolution": resolution, **changed}
    return msgspec.structs.replace(found, **fields)


def entry_of(view: View, id: UUID, operator: Operator, action: str, found: Discrepancy) -> AuditRecord:
    """What the audit trail keeps of it."""
    return AuditRecord(
        id=id,
        at=view.at,
        actor=ids.public("operator", operator.id),
        action=action,
        subject=ids.public("disc", found.id),
        detail=encode(discrepancy_body(found)),
    )


def derived(text: str) -> UUID:
    """An id made of a text that a provider says."""
    return ids.uuid8(text.encode(), "caudal provider")
