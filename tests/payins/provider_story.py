"""The part of the story that providers tell: payins submitted, answered or left, captured, given up, refunded, late."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from caudal.connectors import Declined, OperationState, PaymentState
from caudal.kernel.commit import Decision, Due, Key, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import Operator
from caudal.payins.commands import (
    BeginOperation,
    ExpirePayin,
    Facts,
    LeaveOperation,
    LeavePayment,
    NextAttempt,
    NoteOdd,
    NotePayment,
    RefusePayment,
    ResolveDiscrepancy,
    SendReturn,
    SettleOperation,
    SettleReturn,
    StartPayin,
)
from caudal.payins.decide import Intent, late_deposit
from caudal.payins.decide.discrepancies import derived
from caudal.payins.model import Attempt, Detail, Ended, Payin, Waiting
from caudal.payins.rows import DEPOSITS, OPERATIONS, PAYINS
from caudal.payins.states import Status
from caudal.payins.store import LONG_AGO

PROVIDER = "sandbox"
WITHIN, SWEEP_IN = timedelta(seconds=10), timedelta(seconds=13)
NOTHING = Decision(outcome=None)
DECLINED = Declined(reason="do_not_honor", detail="no")
AMOUNT = 10_000


class Settles(SettleOperation, frozen=True, kw_only=True, gc=False):
    """What came of an operation, if it was begun."""

    def decide(self, view: View) -> Decision:
        return NOTHING if view.get(OPERATIONS, self.id) is None else super().decide(view)


class Leaves(LeaveOperation, frozen=True, kw_only=True, gc=False):
    """An operation that nobody waits for any more, if it was begun."""

    def decide(self, view: View) -> Decision:
        return NOTHING if view.get(OPERATIONS, self.id) is None else super().decide(view)


class LeavesPayment(LeavePayment, frozen=True, kw_only=True, gc=False):
    """A payin that nobody waits for any more, if it was started."""

    def decide(self, view: View) -> Decision:
        return NOTHING if view.get(PAYINS, self.facts.id) is None else super().decide(view)


class WentOn(NextAttempt, frozen=True, kw_only=True, gc=False):
    """The next provider is asked, if the payin was started."""

    def decide(self, view: View) -> Decision:
        return NOTHING if view.get(PAYINS, self.id) is None else super().decide(view)


class Returned(SettleReturn, frozen=True, kw_only=True, gc=False):
    """What became of late money, if there was any."""

    def decide(self, view: View) -> Decision | Refused:
        return NOTHING if view.get(DEPOSITS, self.due.subject) is None else super().decide(view)


class Sends(SendReturn, frozen=True, kw_only=True, gc=False):
    """Late money is sent back, if there was any."""

    def decide(self, view: View) -> Decision:
        return NOTHING if view.get(DEPOSITS, self.id) is None else super().decide(view)


class ProviderSide:
    """Verbs of a story about cards and pix in BRL."""

    random: Random
    commands: list[Any]
    operator: Operator
    at: datetime

    def begin_with_providers(self) -> None:
        self.tried: list[StartPayin] = []
        self.started: list[StartPayin] = []
        self.begun: list[BeginOperation] = []
        self.odd: list[OperationState] = []

    def _id(self, kind: int, number: int) -> UUID:
        raise NotImplementedError

    def _next(self) -> int:
        raise NotImplementedError

    def _key(self, book: int, number: int | None = None) -> Key:
        raise NotImplementedError

    def provider_verbs(self) -> list[Any]:
        """Each as often as it is told."""
        often = [self.start] * 8 + [self.note] * 14 + [self.ask] * 10 + [self.settle_operation] * 8
        return (
            often
            + [self.refuse, self.next_attempt, self.leave, self.leave_operation, self.expire_provider] * 2
            + [
                self.note_odd,
                self.resolve,
                self.return_late,
                self.note_again,
            ]
        )

    def start(self) -> None:
        """A payin by pix, or by a card that is taken at once or only held; now and then under a used key."""
        slot, number = self.random.choice((1, 1, 2)), self._next()
        used = self.random.randrange(number) if self.random.random() < 0.1 else None
        method, capture = self.random.choice((("pix", "automatic"), ("card", "automatic"), *[("card", "manual")] * 2))
        detail = Detail(description="d", capture=capture)  # type: ignore[arg-type]
        key = self._key(slot * 2, used)
        command = StartPayin(
            payin=self._through(self._id(16, number), slot * 2, method),
            detail=detail,
            expires_in=timedelta(days=1),
            brands=frozenset(),
            sealed=b"sealed" if self.random.random() < 0.5 else None,
            key_digest=bytes([slot]) * 32,
            key=key,
            request_id=f"req_{number}",
            attempt=Attempt(provider=PROVIDER, begun_at=LONG_AGO, more=True),
            within=WITHIN,
            sweep_in=SWEEP_IN,
        )
        self.commands.append(command)
        self.tried.append(command)
        if used is None:
            self.started.append(command)

    def _through(self, id: UUID, book: int, method: str) -> Payin:
        return Payin(
            id=id,
            book=book,
            version=1,
            status=Status.SUBMITTING,
            reason=None,
            method=method,
            country="BR",
            currency="BRL",
            amount_minor=AMOUNT,
            received_minor=0,
            fee_minor=0,
            fee_plan=1,
            deposit_number=None,
            reference=self.random.choice((None, "order 8")),
            detail=None,
            created_at=self.at,
            expires_at=self.at,
            paid_at=None,
        )

    def _facts(self, started: StartPayin, waiting: bytes | None = None) -> Facts:
        waits = started.key.digest if waiting is None else waiting
        return Facts(
            id=started.payin.id,
            book=started.book,
            currency="BRL",
            fee_plan=1,
            day=None,
            waiting=waits,
            method=started.payin.method,
        )

    def _sweep(self, subject: UUID, book: int, kind: str) -> Due | None:
        due = Due(at=self.at + SWEEP_IN, kind=kind, subject=subject, book=book)
        return due if self.random.random() < 0.3 else None

    # A payment

    def note(self) -> None:
        """The provider says how one stands; now and then of another account or amount."""
        if not self.started:
            return
        one = self.random.choice(self.started[-12:])
        due = self._sweep(one.payin.id, one.book, "payin.submit")
        self.commands.append(
            NotePayment(
                facts=self._facts(one),
                live=self.random.random() < 0.02,
                provider=PROVIDER,
                state=self._state(one),
                sealed=b"sealed",
                confirmed=self.random.random() < 0.7,
                asked=one.key if self.random.random() < 0.5 else None,
                due=due,
            )
        )

    def _state(self, one: StartPayin) -> PaymentState:
        words = ["pending"] * 4 + ["paid"] * 8 + ["authorized"] * 4 + ["declined", "expired", "cancelled"]
        status: Any = self.random.choice(words)
        card, paid = one.payin.method == "card", status == "paid"
        manual = one.detail.capture == "manual"
        if status == "authorized" and not card:
            status = "pending"
        captured = self.random.choice([AMOUNT] * 9 + [AMOUNT - 1]) if paid and not manual else 0
        return PaymentState(
            key=one.payin.id.hex,
            account=str((one.book >> 1) + (self.random.random() < 0.03)),
            status="authorized" if paid and manual else status,
            reference="pp_1",
            amount_minor=AMOUNT + (self.random.random() < 0.03),
            currency="BRL",
            authorized_minor=AMOUNT if card and (paid or status == "authorized") else 0,
            captured_minor=captured,
            refunded_minor=0,
            reason="do_not_honor" if status == "declined" else None,
            action=None,
            payer_page=None,
        )

    def note_again(self) -> None:
        said = [command for command in self.commands if isinstance(command, (NotePayment, Settles))]
        if said:
            self.commands.append(self.random.choice(said))

    def refuse(self) -> None:
        if self.started:
            one, failed = self.random.choice(self.started[-6:]), self.random.random() < 0.5
            due = self._sweep(one.payin.id, one.book, "payin.submit")
            refused = RefusePayment(
                facts=self._facts(one), attempt=1, declined=DECLINED, failed=failed, asked=one.key, due=due
            )
            self.commands.append(refused)

    def next_attempt(self) -> None:
        """Another provider is asked; what the first one says from then on is of an attempt that came to nothing."""
        if self.started:
            one, number = self.random.choice(self.started[-6:]).payin, self.random.choice((1, 1, 2))
            following = Attempt(provider="another", begun_at=LONG_AGO, rule="a rule")
            ended = Ended(number, self.random.choice(("declined", "unavailable")), "do_not_honor")
            self.commands.append(
                WentOn(id=one.id, book=one.book, ended=ended, next=following, within=timedelta(seconds=5))
            )

    def leave(self) -> None:
        if self.started:
            one = self.random.choice(self.started[-6:])
            self.commands.append(LeavePayment(facts=self._facts(one), asked=one.key))

    def expire_provider(self) -> None:
        if self.started:
            one = self.random.choice(self.started[-20:])
            due = Due(at=self.at + timedelta(days=1), kind="payin.expire", subject=one.payin.id, book=one.book)
            self.commands.append(ExpirePayin(due=due))

    # A capture, a void, a refund

    def ask(self) -> None:
        if not self.started:
            return
        one, number = self.random.choice(self.started[-15:]), self._next()
        manual = one.detail.capture == "manual"
        kind: Any = self.random.choice(["capture"] * 4 + ["refund", "void"] if manual else ["refund"] * 4 + ["void"])
        key = self._key(one.book)
        intent = Intent(
            id=self._id(17, number),
            payin=one.payin.id,
            book=one.book,
            key_digest=bytes([one.book >> 1]) * 32,
            waiting=Waiting(key=key.digest, request_id=f"req_{number}"),
            within=WITHIN,
            sweep_in=SWEEP_IN,
        )
        command = BeginOperation(
            kind=kind,
            asked=intent,
            facts=self._facts(one, key.digest),
            key=key,
            request_id=f"req_{number}",
            amount_minor=self.random.choice((None, 100, 3_000, 5_000, 20_000)),
            final=self.random.random() < 0.2,
        )
        self.commands.append(command)
        self.begun.append(command)

    def settle_operation(self) -> None:
        if self.begun:
            one = self.random.choice(self.begun[-8:])
            due = self._sweep(one.asked.id, one.book, "payin.operate")
            said = self._said(one) if self.random.random() < 0.85 else DECLINED
            self.commands.append(Settles(id=one.asked.id, facts=one.facts, said=said, asked=one.key, due=due))

    def _said(self, one: BeginOperation) -> OperationState:
        status: Any = self.random.choice(("succeeded", "succeeded", "succeeded", "failed", "pending"))
        return OperationState(
            key=one.asked.id.hex,
            payment_key=one.asked.payin.hex,
            account=str(one.book >> 1),
            kind=one.kind,
            status=status,
            reference="po_1",
            amount_minor=one.amount_minor or AMOUNT,
            currency="BRL",
            reason="processing_error" if status == "failed" else None,
        )

    def leave_operation(self) -> None:
        if self.begun:
            one = self.random.choice(self.begun[-8:])
            self.commands.append(Leaves(id=one.asked.id, facts=one.facts, asked=one.key))

    # What does not fit, and what comes late

    def note_odd(self) -> None:
        if self.begun:
            said = self._said(self.random.choice(self.begun))
            self.odd.append(said)
            self.commands.append(NoteOdd(book=0, provider=PROVIDER, said=said))

    def resolve(self) -> None:
        if self.odd:
            text = encode(self.random.choice(self.odd)).decode()
            command = ResolveDiscrepancy(
                id=derived(f"odd\n{PROVIDER}\nunknown_payment\n{text}"),
                operator=self.operator,
                resolution="looked after",
                entry=self._id(18, self._next()),
                key=self._key(0),
                request_id="req_1",
            )
            self.commands.append(command)

    def return_late(self) -> None:
        late = [command for command in self.commands if isinstance(command, NotePayment)]
        if late:
            one = self.random.choice(late)
            subject = late_deposit(one.facts.method, one.state.key)
            due = Due(at=self.at, kind="deposit.return", subject=subject, book=one.book)
            self.commands.append(Sends(id=subject, book=one.book, version=1, within=WITHIN))
            end: Any = self.random.choice(("returned", "returned", "refused", "lost"))
            self.commands.append(Returned(due=due, version=1, end=end, currency="BRL"))

    def answer_everybody(self) -> None:
        """No request waits for ever."""
        for one in self.tried:
            self.commands.append(LeavesPayment(facts=self._facts(one), asked=one.key))
        for begun in self.begun:
            self.commands.append(Leaves(id=begun.asked.id, facts=begun.facts, asked=begun.key))


def kinds_of(command: Any) -> str:
    """The name of a command, for people; of an operation which."""
    name = type(command).__name__
    return f"{name} {command.kind}" if isinstance(command, BeginOperation) else name
