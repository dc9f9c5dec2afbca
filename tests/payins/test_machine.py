"""Random lives of payins on a real PostgreSQL: the API and a plain model agree at every step, and the books are right.

One database for all of them; each life has a merchant of its own.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue
from caudal.merchants import first_merchant, first_operator
from caudal.payins import store
from caudal.payins.commands import SettleReturn
from caudal.payins.model import ReturnEnd
from tests.conftest import settings_of
from tests.payins.books import balances, rows, wrong_in
from tests.payins.cast import DAY_S, Merchant
from tests.payins.expected import Expected, Money, answered, ask_back

T = TypeVar("T")
PICK = st.sampled_from(range(12))
# Lives leave their rows behind, so the books of all are read after some of them and at the end.
BOOKS_EVERY = 10


class Lives(RuleBasedStateMachine):
    """Ana's payins and deposits, as they are and as they ought to be."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    context: ClassVar[Context]
    olga: ClassVar[str]
    steps: ClassVar[int] = 0
    lived: ClassVar[int] = 0
    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.payins: list[tuple[dict[str, Any], Expected]] = []
        self.deposits: dict[str, tuple[str, str, Money]] = {}
        self.plans, self.late = {1: (300, 100)}, "accept"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        Lives.steps += 1
        return self.loop.run_until_complete(work)

    @initialize()
    def a_merchant(self) -> None:
        self.ana = Merchant(self.context, *self.run(first_merchant(self.context, "Ana", "MX")), self.olga)
        for amount in (800, 9_950, 10_050):
            self.create(amount)

    # What the merchant does

    @rule(amount=st.sampled_from([800, 1000, 9_950, 10_000, 10_050]))
    def ask(self, amount: int) -> None:
        self.create(amount)

    def create(self, amount: int) -> None:
        payin = self.run(self.ana.payin(amount=amount))
        fixed, points = self.plans[payin["fee_plan"]]
        self.payins.append((payin, Expected(amount, fixed, points, payin["expires_at"])))

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        payin, expected = self.payins[pick % len(self.payins)]
        status = self.run(self.ana.cancel(payin)).status
        assert status == (200 if expected.cancel() else 409)

    @rule(days=st.sampled_from([1, 1, 4]))
    def time_passes(self, days: int) -> None:
        advanced = self.run(self.ana.advance(days * DAY_S)).json
        before = sum(expected.status == "pending" for _, expected in self.payins)
        for _, expected in self.payins:
            expected.time_is(advanced["now"])
        assert advanced["expired"] == before - sum(expected.status == "pending" for _, expected in self.payins)

    # What its payers do

    @rule(pick=PICK, more=st.sampled_from([0, 0, 0, -1, -300, 1, 3000]))
    def pay(self, pick: int, more: int, currency: str = "MXN") -> None:
        payin, expected = self.payins[pick % len(self.payins)]
        missing = expected.amount - expected.received
        self._paid(payin, expected, max(1, (missing or expected.amount) + more), currency)

    @rule(pick=PICK)
    def pay_in_dollars(self, pick: int) -> None:
        self.pay(pick, 0, "USD")

    @rule(pick=PICK, count=st.integers(2, 6))
    def pay_in_parts_at_once(self, pick: int, count: int) -> None:
        payin, expected = self.payins[pick % len(self.payins)]
        part = max(1, (expected.amount - expected.received) // 20)
        if expected.status in ("pending", "expired") and expected.amount - expected.received > part * count:
            clabe = payin["next_action"]["clabe"]

            async def at_once() -> list[Any]:
                return await asyncio.gather(*(self.ana.deposit(clabe, part) for _ in range(count)))

            for told in self.run(at_once()):
                self.deposits[told.json["deposit"]] = ("", clabe, expected.pay(part, "MXN", self.late))

    def _paid(self, payin: dict[str, Any], expected: Expected, amount: int, currency: str) -> None:
        tracking, clabe = f"M{self.steps}", payin["next_action"]["clabe"]
        told = self.run(self.ana.deposit(clabe, amount, tracking, currency=currency))
        assert told.status == 200, told.body
        money = expected.pay(amount, currency, self.late)
        self.deposits[told.json["deposit"]] = (tracking if currency == "MXN" else "", clabe, money)

    @precondition(lambda self: any(tracking for tracking, _, _ in self.deposits.values()))
    @rule(pick=PICK, lie=st.booleans())
    def the_bank_repeats_itself(self, pick: int, lie: bool) -> None:
        told = [(id, *known) for id, known in self.deposits.items() if known[0]]
        id, tracking, clabe, money = told[pick % len(told)]
        again = self.run(self.ana.deposit(clabe, money.amount + lie, tracking))
        assert (again.status, again.json.get("deposit")) == ((409, None) if lie else (200, id))

    # What operators do

    @rule(late=st.sampled_from(["accept", "unapplied"]))
    def settle_what_is_late(self, late: str) -> None:
        self.run(self.ana.settings(late))
        self.late = late

    @rule(fixed=st.sampled_from([0, 5, 2000]), points=st.sampled_from([0, 33, 10_000]))
    def price(self, fixed: int, points: int) -> None:
        self.run(self.ana.price(fixed, points))
        self.plans[len(self.plans) + 1] = (fixed, points)

    @precondition(lambda self: self.deposits)
    @rule(pick=PICK)
    def ask_for_a_return(self, pick: int) -> None:
        id, (_, _, money) = list(self.deposits.items())[pick % len(self.deposits)]
        status = self.run(self.ana.post(f"/v1/operator/deposits/{id}/returns", key=self.olga)).status
        assert status == (201 if ask_back(money) else 409)

    @rule(done=st.booleans())
    def the_bank_answers(self, done: bool) -> None:
        for id in self.run(self._settled(done)):
            answered(self.deposits[id][2], done)

    async def _settled(self, done: bool) -> list[str]:
        settled = []
        for due in (await self.context.commit(0, ClaimDue(lease_s=0.0001))).outcome:
            deposit = await store.deposit(self.context, 0, due.subject)
            if deposit is not None and f"dep_{due.subject.hex}" in self.deposits:
                end: ReturnEnd = "returned" if done else "refused"
                settle = SettleReturn(due=due, version=deposit.version, end=end, currency=deposit.currency)
                await self.context.commit(0, settle)
                settled.append(f"dep_{due.subject.hex}")
        return settled

    # What ought to be

    def teardown(self) -> None:
        if hasattr(self, "ana"):
            self.run(self._compare())
            Lives.lived += 1
            if Lives.lived % BOOKS_EVERY == 0:
                assert self.run(wrong_in(self.context.settings.database_url or "")) == []

    async def _compare(self) -> None:
        for payin, expected in self.payins:
            seen = await self.ana.seen(payin)
            found = seen["status"], seen["status_reason"], seen["amount_received"], seen["fees"]
            assert found == (expected.status, expected.reason, expected.received, expected.fee)
            self.reached[f"{expected.status} {expected.reason or ''}".strip()] += 1
        held = (await balances(self.ana)).values()
        moneys = [money for _, _, money in self.deposits.values()]
        earned = sum(row.get("pending", 0) + row.get("available", 0) for row in held)
        assert earned == sum(expected.earned for _, expected in self.payins)
        assert sum(row.get("unapplied", 0) for row in held) == sum(money.unapplied for money in moneys)
        query = "select id, reason, unapplied_minor, returning_minor, returned_minor from deposit where book = %s"
        book = (await rows(self.context, "select max(book) from payin"))[0][0]
        for id, *left in await rows(self.context, query, book):
            money = self.deposits[f"dep_{id.hex}"][2]
            assert left == [money.reason, money.unapplied, money.returning, money.returned]
            self.reached[f"deposit {money.reason or 'applied'}"] += 1
            self.reached["deposit returned"] += money.returned > 0


def test_payins_live_as_they_ought_to(database_url: str, say: Callable[[str], None]) -> None:
    loop = asyncio.new_event_loop()
    context = Context(settings_of(database_url), name="machine")
    loop.run_until_complete(context.__aenter__())
    Lives.loop, Lives.context, Lives.olga = loop, context, loop.run_until_complete(first_operator(context))
    try:
        run_state_machine_as_test(
            Lives,
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
        assert loop.run_until_complete(wrong_in(database_url)) == []
    finally:
        loop.run_until_complete(context.__aexit__())
        loop.close()
    say(f"{Lives.steps} steps: " + ", ".join(f"{count} {what}" for what, count in Lives.reached.most_common()))
