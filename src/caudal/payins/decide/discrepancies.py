"""What a provider says and our books contradict: written down once, for a person to look after."""

from __future__ import annotations

from uuid import UUID

import msgspec

from caudal.connectors import DepositReport, PaymentState
from caudal.kernel import ids
from caudal.kernel.commit import Decision, Due, Event, Put, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.ledger import house_book
from caudal.merchants import AUDIT, AuditRecord, Operator, refuse_revoked
from caudal.payins.model import Discrepancy, DiscrepancyKind, discrepancy_body
from caudal.payins.rows import DISCREPANCIES


def odd(
    view: View,
    book: int,
    provider: str,
    kind: DiscrepancyKind,
    payin: UUID | None,
    said: msgspec.Struct,
    done: tuple[Due, ...],
    *,
    outcome: object,
) -> Decision:
    """What does not fit: written down once, for a person to look after; nothing else changes."""
    detail = encode(_without_payer(said))
    id = derived(f"odd\n{provider}\n{kind}\n{detail.decode()}")
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
    )
    event = Event(type="discrepancy.opened", subject=id, book=house_book(book), data=encode(discrepancy_body(found)))
    return Decision(outcome=outcome, puts=(Put(DISCREPANCIES, found),), events=(event,), done=done)


def _without_payer(said: msgspec.Struct) -> msgspec.Struct:
    match said:
        case PaymentState():
            return msgspec.structs.replace(said, action=None, payer_page=None)
        case DepositReport():
            return msgspec.structs.replace(said, payer_name="")
    return said


def resolve(view: View, *, id: UUID, operator: Operator, resolution: str, entry: UUID) -> Decision | Refused:
    """A person has looked after it and says how. Refuses: not_found, forbidden_transition."""
    refusal = refuse_revoked(view, operator.digest)
    if refusal is not None:
        return refusal
    found = view.get(DISCREPANCIES, id)
    if found is None:
        return Refused("not_found", "there is no such discrepancy")
    if found.resolved_at is not None:
        return Refused("forbidden_transition", "the discrepancy is resolved already")
    new = msgspec.structs.replace(found, version=found.version + 1, resolved_at=view.at, resolution=resolution)
    data = encode(discrepancy_body(new))
    audit = AuditRecord(
        id=entry,
        at=view.at,
        actor=ids.public("operator", operator.id),
        action="discrepancy.resolved",
        subject=ids.public("disc", id),
        detail=data,
    )
    event = Event(type="discrepancy.resolved", subject=id, book=house_book(found.book), data=data)
    return Decision(outcome=new, puts=(Put(DISCREPANCIES, new), Put(AUDIT, audit)), events=(event,), subject=id)


def derived(text: str) -> UUID:
    """An id made of a text that a provider says."""
    return ids.uuid8(text.encode(), "caudal provider")
