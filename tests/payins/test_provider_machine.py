"""Random lives of payins at a provider that loses answers, repeats itself, tells what is not so, gives back and
captures what nobody has asked for, and carries out what it has refused; an operator carries out what is proposed.

In the end everybody knows the same: what the provider has taken and given back is what the payins say, what its payers
dispute too, nothing stays held that nobody looks after, and the books are right. One database for all lives; each has
a merchant of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule, run_state_machine_as_test

from caudal.connectors import CAPABILITIES, Declined, registry
from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from caudal.payins import store
from tests.conftest import settings_of
from tests.payins.books import rows, wrong_in
from tests.payins.cast import DAY_S, SECRET, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.giving_back import PICK, GivingBack, T

WORD = st.sampled_from(["", "", "", "lost", "nothing", "busy", "failed"])
NUMBERS = itertools.count(1)
# A moment for evidence that the moved clock passes now and then.
SOON = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2 * DAY_S))
LONG_S = 7_200.0  # behind every `late_until`
WORK = ("payin.submit", "payin.operate", "deposit.return")


class ProviderLives(GivingBack):
    """Ana's payins, and the provider's."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    steps: ClassVar[int] = 0
    later_s: ClassVar[float] = 0.0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        ProviderLives.steps += 1
        return self.loop.run_until_complete(work)

    @initialize(
        again=st.booleans(),
        word=st.sampled_from(["nothing", "failed", "failed", "lost"]),
        refunded=st.sampled_from(["nothing", "lost", "failed"]),
        after_all=st.booleans(),
    )
    def a_merchant(self, again: bool, word: str, refunded: str, after_all: bool) -> None:
        """`again`: whether its providers know the same order again; `after_all`: what was refused is carried out."""
        for method, known in list(CAPABILITIES.items()):
            CAPABILITIES[method] = msgspec.structs.replace(known, deduplicates=again)
        ProviderLives.later_s = 0.0
        self.ana = Merchant(self.context, *self.run(first_merchant(self.context, "Ana", "MX")), self.olga)
        self.payins: list[dict[str, Any]] = []
        self.disputes: list[dict[str, Any]] = []
        self.by_hand = set[str]()
        self.card = self.run(self.ana.instrument())
        for method, capture in (("pix", "automatic"), ("card", "automatic"), *[("card", "manual")] * 2):
            self.buy(method, capture, "", "if_required")
        self.capture(3, 3_000, False, "")
        self.late(word, refunded)
        if after_all:
            self.carry_out(0, tells=again)

    def late(self, word: str, refunded: str) -> None:
        """Money of two payins that have ended: the return of one has got `word`, the other's is on its way; and a
        refund under way that got `refunded`."""
        for pick in (4, 5):
            self.buy("pix", "automatic", "", "if_required")
            self.cancel(pick, "")
            self.desk.pay(key_of(self._any(pick)))
            self.tell(pick, 1)
            self.run(self.ana.work("discrepancy.ask"))
            if pick == 4:
                self._work(word, late=False)
                self._work("", late=True, kinds=("deposit.return",) if word in ("nothing", "lost") else ())
        self.refund(1, 3_000, refunded)

    def _word(self, verb: str, word: str) -> None:
        failed: Any = Declined(reason="do_not_honor", detail="no")
        self.desk.says[verb] = [failed if word == "failed" else word] if word else []

    def _any(self, pick: int) -> dict[str, Any]:
        return self.payins[pick % len(self.payins)]

    # What the merchant does

    @rule(
        method=st.sampled_from(["pix", "card", "card"]),
        capture=st.sampled_from(["automatic", "manual", "manual"]),
        word=WORD,
        three_ds=st.sampled_from(["if_required", "if_required", "demanded"]),
    )
    def buy(self, method: str, capture: str, word: str, three_ds: str) -> None:
        self._word("submit", word)
        asked: dict[str, Any] = {}
        if method == "card":
            asked = {"capture": capture, "three_ds": three_ds, "instrument": {"id": self.card}}
        self.payins.append(self.run(self.ana.asked(method, **asked)))

    @rule(pick=PICK, amount=st.sampled_from([None, 1, 3_000, 10_000]), final=st.booleans(), word=WORD)
    def capture(self, pick: int, amount: int | None, final: bool, word: str) -> None:
        self._word("capture", word)
        assert self.run(self.ana.capture(self._any(pick), amount, final=final)).status in (201, 409, 422)

    @rule(pick=PICK, word=WORD)
    def cancel(self, pick: int, word: str) -> None:
        self._word("void", word)
        assert self.run(self.ana.cancel(self._any(pick))).status in (200, 409)

    @rule(pick=PICK, amount=st.sampled_from([None, 1, 3_000, 10_000]), word=WORD)
    def refund(self, pick: int, amount: int | None, word: str) -> None:
        self._word("refund", word)
        assert self.run(self.ana.refund(self._any(pick), amount)).status in (201, 409, 422)

    @rule(beyond=st.sampled_from(["refuse", "allow"]), late=st.sampled_from(["accept", "unapplied"]))
    def settle_how(self, beyond: str, late: str) -> None:
        self.run(self.ana.settings(late, refunds_beyond_balance=beyond))

    @rule(days=st.sampled_from([1, 3, 8]))
    def time_passes(self, days: int) -> None:
        self.run(self.ana.advance(days * DAY_S))

    # What the payer and the provider do

    @rule(pick=PICK, tells=st.booleans())
    def pay(self, pick: int, tells: bool) -> None:
        payin = self._any(pick)
        state = self.desk.payments.get(key_of(payin))
        if state is not None and state.status == "pending":
            self.desk.pay(key_of(payin))
            if tells:
                self.tell(pick, 1)

    @rule(pick=PICK, times=st.sampled_from([1, 2]))
    def tell(self, pick: int, times: int) -> None:
        payin = self._any(pick)
        if key_of(payin) in self.desk.payments:
            told = self.desk.told(key_of(payin))
            for _ in range(times):
                assert self.run(self.ana.told(payin["method"], "payment", told)).status == 200

    @rule(word=WORD, late=st.booleans())
    def work(self, word: str, late: bool) -> None:
        self._work(word, late=late)

    def _work(self, word: str, *, late: bool, kinds: tuple[str, ...] = WORK) -> None:
        """`late`: nothing that was sent before can arrive any more."""
        for verb in ("submit", "capture", "void", "refund"):
            self._word(verb, "" if word == "failed" and verb not in ("void", "refund") else word)
        ProviderLives.later_s = LONG_S if late else 0.0
        self.run(self.ana.work(*kinds))
        ProviderLives.later_s = 0.0

    @rule(
        pick=PICK, amount=st.sampled_from([None, 1, 3_000]), status=st.sampled_from(["opened", "opened", "won", "lost"])
    )
    def dispute(self, pick: int, amount: int | None, status: str) -> None:
        key = key_of(self._any(pick))
        taken = self.run(self.ana.seen(self._any(pick)))["amount_received"] if key in self.desk.payments else 0
        left = taken - sum(one["amount"] for one in self.disputes if one["payment_key"] == key)
        if self.desk.methods.get(key) == "card" and left > 0:
            disputed = {"reference": f"dp_{next(NUMBERS)}", "payment_key": key, "amount": min(amount or left, left)}
            account = self.desk.payments[key].account
            self.disputes.append(
                {
                    **disputed,
                    "account": account,
                    "status": status,
                    "currency": "BRL",
                    "code": "10.4",
                    "respond_by": SOON,
                }
            )
            self.run(self._hears(self.disputes[-1]))

    @rule(pick=PICK, status=st.sampled_from(["won", "lost"]))
    def decide(self, pick: int, status: str) -> None:
        opened = [one for one in self.disputes if one["status"] == "opened"]
        if opened:
            opened[pick % len(opened)]["status"] = status
            self.run(self._hears(opened[pick % len(opened)]))

    @rule(pick=PICK)
    def hear_again(self, pick: int) -> None:
        if self.disputes:
            self.run(self._hears(self.disputes[pick % len(self.disputes)]))

    @rule(pick=PICK, how=st.sampled_from(["says declined", "says refunded", "gives back", "captures more"]))
    def contradict(self, pick: int, how: str) -> None:
        """What is not so, or what nobody has asked for."""
        payin = self._any(pick)
        key, told = key_of(payin), dict[str, Any]()
        state = self.desk.payments.get(key)
        if state is None or state.status not in ("authorized", "paid"):
            return
        left = state.captured_minor - state.refunded_minor
        match how:
            case "says declined":
                told = {"status": "declined", "captured": 0, "authorized": 0, "refunded": 0, "code": "05"}
            case "says refunded" if left:
                told = {"refunded": state.refunded_minor + left}
            case "gives back" if left > 300:
                self.desk.change(key, refunded_minor=state.refunded_minor + 300)
            case "captures more" if self.desk.held(key) > 7:
                self.desk.change(key, status="paid", captured_minor=state.captured_minor + 7)
        assert self.run(self.ana.told(payin["method"], "payment", self.desk.told(key, **told))).status == 200

    @rule()
    def correct(self) -> None:
        self.run(self._corrects())

    async def _corrects(self) -> bool:
        """Olga carries out the first proposal of each case, or says that it was looked after; whether any was open."""
        cases = await self._open()
        for case in cases:
            first, path = case["proposals"][0], f"/v1/operator/discrepancies/{case['id']}"
            if first["because"].endswith("says so comes first"):
                continue
            self.reached[first["correction"]] += 1
            self.by_hand |= {case["payin"]} if first["correction"] == "by_hand" else set()
            if first["correction"] in ("by_hand", "none_needed"):
                await self.ana.post(f"{path}/resolutions", {"resolution": "cleared"}, key=self.olga)
                continue
            asked = {"correction": first["correction"], "facts": first["facts"]}
            assert (await self.ana.post(f"{path}/corrections", asked, key=self.olga)).status in (201, 409, 422)
        await self.ana.work("discrepancy.ask", *WORK)
        return await self._sends_back() or bool(cases)

    async def _hears(self, dispute: dict[str, Any]) -> None:
        assert (await self.ana.told("card", "dispute", dispute)).status in (200, 503), "or once more later"

    # What ought to be

    def teardown(self) -> None:
        if hasattr(self, "ana"):
            self.desk.says.clear()
            ProviderLives.later_s = LONG_S
            self.run(self._compare())
            wrong = self.run(wrong_in(self.context.settings.database_url or ""))
            assert not wrong, "\n".join(wrong)

    async def _compare(self) -> None:
        for payin in self.payins:
            if key_of(payin) in self.desk.payments:
                await self.ana.told(payin["method"], "payment", self.desk.told(key_of(payin)))
        for _ in range(3):
            await self.ana.work(*WORK)
        for dispute in self.disputes:
            assert (await self.ana.told("card", "dispute", dispute)).status == 200
        for payin in self.payins:  # what was given back while a refund was under way shows now
            if key_of(payin) in self.desk.payments:
                await self.ana.told(payin["method"], "payment", self.desk.told(key_of(payin)))
        assert not all([await self._corrects() for _ in range(8)]), f"cases stay open: {await self._open()}"
        query = """select coalesce(sum(d.amount_minor), 0)::bigint, coalesce(sum(d.returned_minor), 0)::bigint
            from payin p left join deposit d on d.shard = p.shard and d.payin = p.id where p.id = %s::uuid"""
        for payin in self.payins:
            seen, there = await self.ana.seen(payin), self.desk.payments.get(key_of(payin))
            self.reached[seen["status"]] += 1
            [(late, returned)] = await rows(self.context, query, key_of(payin))
            taken = (0, 0) if there is None else (there.captured_minor, there.refunded_minor)
            ours = (seen["amount_received"] + late, seen["amount_refunded"] + returned)
            if payin["id"] in self.by_hand and ours != taken:
                self.reached["more there, and a person knows"] += 1
                assert ours[0] <= taken[0] and ours[1] <= taken[1], (seen, there)
            else:
                assert ours == taken, f"{late} late, {returned} of it returned: {seen} {there}"
            assert seen["status"] != "submitting"
            disputes = [one for one in self.disputes if one["payment_key"] == key_of(payin)]
            self.reached["disputed"] += len(disputes)
            disputed = sum(one["amount"] for one in disputes if one["status"] != "won")
            assert seen["amount_disputed"] == disputed, (seen, disputes)
            if there is not None and self.desk.held(key_of(payin)):
                self.reached["held"] += 1
                assert await self._is_looked_after(payin), ("nobody lets go of the payer's money", seen, there)
        waits = "select count(*) from payin_operation where status = 'pending' and book = (select max(book) from payin)"
        assert await rows(self.context, waits) == [(0,)]

    async def _is_looked_after(self, payin: dict[str, Any]) -> bool:
        """Whether what is held is going to be let go of, or a person knows that it is not."""
        query = "select count(*) from due where kind = 'payin.expire' and subject = %s::uuid"
        expires = await rows(self.context, query, key_of(payin)) == [(1,)]
        known = "select count(*) from discrepancy where kind = 'contradicts_final_state' and payin = %s::uuid"
        return expires or await rows(self.context, known, key_of(payin)) != [(0,)]


def test_payins_at_a_provider_live_as_they_ought_to(
    database_url: str, say: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, desk, now = asyncio.new_event_loop(), Desk(), store.now
    desk.careful = True

    async def later(context: Context) -> Any:
        return await now(context) + timedelta(seconds=ProviderLives.later_s)

    monkeypatch.setattr(store, "now", later)
    for method, known in CAPABILITIES.items():
        monkeypatch.setitem(CAPABILITIES, method, known)  # and as it was afterwards
    monkeypatch.setattr(registry, "_client", desk.counter)
    context = Context(settings_of(database_url, provider_secret_test=SECRET), name="machine")
    loop.run_until_complete(context.__aenter__())
    lives = ProviderLives
    lives.loop, lives.context, lives.desk, lives.olga = (
        loop,
        context,
        desk,
        loop.run_until_complete(first_operator(context)),
    )
    try:
        run_state_machine_as_test(
            lives,
            settings=settings(
                max_examples=21,
                stateful_step_count=30,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    finally:
        loop.run_until_complete(context.__aexit__())
        loop.close()
    say(f"{lives.steps} steps: " + ", ".join(f"{count} {what}" for what, count in lives.reached.most_common()))
