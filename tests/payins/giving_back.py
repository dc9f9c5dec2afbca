"""What goes back in random lives of payins: refunds, and returns of money that no payin takes.

A provider refuses an order, or never gets it, and carries it out all the same, days later; it tells so, or not, or what
is not so. An operator reads its statement, and sends once more what did not go back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from caudal.connectors import RefundOrder
from caudal.kernel.context import Context
from tests.payins.books import rows
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk

T = TypeVar("T")
PICK = st.sampled_from(range(12))
FAILED = ("return_refused", "return_lost")
ENDED = ("declined", "failed", "expired", "cancelled")


def says_gone(case: dict[str, Any]) -> bool:
    """Whether it says of what waits to be sent back that its payer has some of it."""
    if case["held"].get("about") == "deposit":
        return bool(case["kind"] == "contradicts_final_state" and case["detail"]["status"] == "succeeded")
    return bool(
        case["kind"] == "other_amount"
        and case["held"].get("payin_status") in ENDED
        and case["detail"].get("refunded_minor")
    )


class GivingBack(RuleBasedStateMachine):
    """Those rules, and what the last steps of a life need of them."""

    context: ClassVar[Context]
    desk: ClassVar[Desk]
    olga: ClassVar[str]
    reached: ClassVar[Counter[str]] = Counter()
    ana: Merchant
    payins: list[dict[str, Any]]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        raise NotImplementedError

    def _orders(self) -> list[RefundOrder]:
        """What was ordered to go back, refunds and returns; the provider may not have heard of it."""
        keys = {key_of(payin) for payin in self.payins}
        return list({order.key: order for order in self.desk.refunds if order.payment_key in keys}.values())

    @rule(pick=PICK, tells=st.booleans())
    def carry_out(self, pick: int, tells: bool) -> None:
        """What was refused, or had never arrived, goes back after all."""
        orders = [one for one in self._orders() if one.key not in self.desk.operations]
        if orders:
            order = orders[pick % len(orders)]
            self.desk.says["refund"] = []
            method = self.desk.methods[order.payment_key]
            self.run(self.desk.counter("sandbox", method)(self.context).refund(order))
            if tells and order.key in self.desk.operations:
                self._hears_of(order, "succeeded")

    @rule(pick=PICK, status=st.sampled_from(["succeeded", "succeeded", "failed"]))
    def tell_order(self, pick: int, status: str) -> None:
        """A word on what was ordered, which need not be so."""
        orders = [one for one in self._orders() if one.key in self.desk.operations]
        if orders:
            self._hears_of(orders[pick % len(orders)], status)

    def _hears_of(self, order: RefundOrder, status: str) -> None:
        told = self.desk.told_of_operation(order.key, status=status)
        method = self.desk.methods[order.payment_key]
        assert self.run(self.ana.told(method, "operation", told)).status == 200

    @rule(pick=PICK)
    def confirm(self, pick: int) -> None:
        """Olga reads in the provider's statement that a return that has failed here was carried out."""
        self.run(self._confirms(pick))

    async def _confirms(self, pick: int) -> None:
        failed = [one for one in await self._deposits() if one["amount_unapplied"] and one["reason"] in FAILED]
        if not failed:
            return
        deposit = failed[pick % len(failed)]
        done = await self._carried_out(deposit["payin"].removeprefix("payin_"))
        if done == deposit["amount_returned"] + deposit["amount_unapplied"]:
            self.reached["confirmed"] += 1
            path = f"/v1/operator/deposits/{deposit['id']}/confirmations"
            assert (await self.ana.post(path, {"reason": "the statement"}, key=self.olga)).status == 201

    async def _carried_out(self, key: str) -> int:
        """What the provider has returned of a payment, by orders that are no refunds."""
        done = [one for one in self._orders() if one.payment_key == key and one.key in self.desk.operations]
        query = "select id from payin_operation where id = any(%s::uuid[])"
        refunds = {id.hex for (id,) in await rows(self.context, query, [one.key for one in done])}
        return sum(one.amount_minor for one in done if one.key not in refunds)

    async def _deposits(self) -> list[dict[str, Any]]:
        query = f"/v1/operator/deposits?merchant=mer_{self.ana.merchant.hex}"
        found: list[dict[str, Any]] = (await self.ana.get(query, key=self.olga)).json["data"]
        return found

    async def _open(self) -> list[dict[str, Any]]:
        return [one for one in await self.ana.odd() if one["payin"] in {payin["id"] for payin in self.payins}]

    async def _sends_back(self) -> bool:
        """What did not go back is sent once more, unless a case says that it did; whether there was any."""
        cases = [one for one in await self._open() if one["kind"] != "late_success"]
        known = {one["payin"] for one in cases}
        gone = {one["payin"] for one in cases if says_gone(one)}
        failed = [one for one in await self._deposits() if one["amount_unapplied"] and one["reason"] in FAILED]
        lost = [one["id"] for one in failed if one["payin"] not in known]
        for one in failed:
            if one["payin"] in gone:
                self.reached["not sent twice"] += 1
                path = f"/v1/operator/deposits/{one['id']}/returns"
                assert (await self.ana.post(path, key=self.olga)).code == "forbidden_transition", one
        for id in lost:
            self.reached["sent again"] += 1
            assert (await self.ana.post(f"/v1/operator/deposits/{id}/returns", key=self.olga)).status == 201
        return bool(lost)
