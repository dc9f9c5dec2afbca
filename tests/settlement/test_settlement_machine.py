"""Whatever is earned, refunded, disputed and released in whatever order: the laws of settlement hold at every step."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from caudal.kernel.errors import Refused
from caudal.ledger import Purpose
from caudal.settlement import Parts, available_on
from caudal.settlement.model import start_of
from tests.settlement.till import Till

MINE = (Purpose.PENDING, Purpose.AVAILABLE, Purpose.RESERVED, Purpose.DISPUTED)
AMOUNTS = st.integers(0, 2_000)
FEES = st.sampled_from((0, 0, 30, 900))


class Settlement(RuleBasedStateMachine):
    """Payments of several days, what is taken of them and what comes back."""

    payments, refunds, disputes = Bundle("payments"), Bundle("refunds"), Bundle("disputes")

    def __init__(self) -> None:
        super().__init__()
        self.till = Till()

    @rule(target=payments, gross=AMOUNTS, fee=FEES, days=st.integers(0, 3))
    def earn(self, gross: int, fee: int, days: int) -> date:
        self.till.earn(gross, fee, days=days)
        return available_on(self.till.now, days)

    @rule(target=refunds, day=payments, other=payments, amount=AMOUNTS, fee=FEES, beyond=st.booleans())
    def refund(self, day: date, other: date, amount: int, fee: int, beyond: bool) -> object:
        before = self.till.available
        split = self.till.take(amount, fee, day=sorted({day, other}), beyond=beyond)
        if isinstance(split, Refused):
            assert not beyond
            return multiple()
        assert beyond or self.till.available >= min(before, 0), "nothing that was refused by the balance went"
        return split.parts, amount, fee

    @rule(refund=consumes(refunds))
    def fail(self, refund: tuple[Parts, int, int]) -> None:
        parts, amount, fee = refund
        before = self.till.pending + self.till.available
        self.till.give_back(amount, fee, parts=parts)
        assert self.till.pending + self.till.available == before + amount + fee

    @rule(target=disputes, day=payments, amount=AMOUNTS, fee=FEES)
    def dispute(self, day: date, amount: int, fee: int) -> object:
        split = self.till.take(amount, fee, day=day, beyond=True, kind="dispute")
        assert not isinstance(split, Refused)
        return day, amount, split.from_pending_minor

    @rule(dispute=consumes(disputes), won=st.booleans())
    def decide(self, dispute: tuple[date, int, int], won: bool) -> None:
        day, amount, pending = dispute
        if won:
            self.till.give_back(amount, parts=((day, pending),), kind="dispute_won")
        else:
            self.till.lose(amount)

    @rule(hours=st.integers(1, 40))
    def time_passes(self, hours: int) -> None:
        self.till.at += timedelta(hours=hours)

    @rule(hours=st.integers(1, 40))
    def the_clock_is_moved(self, hours: int) -> None:
        self.till.offset += timedelta(hours=hours)
        for due in list(self.till.due.values()):
            self.till.look(due)

    @rule()
    def the_worker_works(self) -> None:
        self.till.work()
        assert all(row.day > self.till.now.date() for row in self.till.releases() if row.amount_minor)

    @invariant()
    def pending_is_what_is_not_released_and_never_negative(self) -> None:
        rows = self.till.releases()
        assert self.till.pending == sum(row.amount_minor for row in rows)
        assert all(row.amount_minor >= 0 for row in rows)

    @invariant()
    def the_statement_is_what_the_merchant_has(self) -> None:
        assert sum(line.net_minor for line in self.till.lines) == sum(map(self.till.balance, MINE))
        assert all(line.net_minor == line.gross_minor - line.fee_minor for line in self.till.lines)

    @invariant()
    def what_waits_has_work_at_its_time_and_no_other(self) -> None:
        for row in self.till.releases():
            assert row.due_at is not None or not row.amount_minor
        standing = {(row.due_at, row.id) for row in self.till.releases() if row.due_at is not None}
        assert set(self.till.due) == standing
        for due in self.till.due.values():
            [row] = [row for row in self.till.releases() if row.id == due.subject]
            assert due.at >= start_of(row.day) - self.till.offset


Settlement.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestSettlement = Settlement.TestCase
