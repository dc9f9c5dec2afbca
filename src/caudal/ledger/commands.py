"""What the ledger does by itself: it lets go of a hold whose time has passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from caudal.kernel.commit import Answer, Decision, Due, Lane, Table, View
from caudal.ledger.chart import transfer_id
from caudal.ledger.model import Kind, PendingState, Posted, Transfer
from caudal.ledger.rows import EXPIRE, PENDING_TRANSFERS, due, events, post, puts


class ExpireHold(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The time of a hold has passed. One that was posted or voided meanwhile is left as it is."""

    due: Due
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((PENDING_TRANSFERS, self.due.subject),)

    def decide(self, view: View) -> Decision:
        hold = view.get(PENDING_TRANSFERS, self.due.subject)
        assert hold is not None, "due work names what there is"
        if hold.state is not PendingState.OPEN:
            return Decision(outcome=hold.state, done=(self.due,))
        transfer = Transfer(
            id=transfer_id(hold.id, EXPIRE),
            debit_account=0,
            credit_account=0,
            amount_minor=0,
            kind=Kind.EXPIRE,
            pending_id=hold.id,
            code="",
        )
        posted = post(view, (transfer,))
        assert isinstance(posted, Posted), posted
        return Decision(
            outcome=PendingState.EXPIRED,
            puts=puts(posted),
            events=events(posted),
            due=due(posted),
            done=(self.due,),
            subject=hold.subject,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("nobody waits for an answer")
