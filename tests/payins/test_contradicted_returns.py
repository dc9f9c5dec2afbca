"""A return that an operator has settled, or another answer has, and whose own answer says otherwise: never dropped.

Each line of TABLE is who was asked to send money back, what Olga says of it while that call is under way, what it
brings, what is proposed, and what of it is unapplied and returned when that was carried out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from caudal.connectors import spei
from caudal.kernel.context import Context
from caudal.ledger import Purpose
from tests.conftest import settings_of
from tests.payins.bank import Bank
from tests.payins.books import assert_in_order, house, rows
from tests.payins.cast import SECRET, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_corrections import corrected, does_what_it_says
from tests.payins.test_late_success import ended
from tests.payins.test_unresolved import listed, settled, tried

TABLE = """
who       settled         brings    proposed     unapplied returned
bank      did_not_happen  returned  book_return          0      all
bank      happened        refused   by_hand              0      all
nobody    did_not_happen  returned  book_return          0      all
provider  did_not_happen  returned  book_return          0      all
provider  happened        refused   by_hand              0      all
"""
LINES = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with Bank() as opened:
        yield opened


@pytest.fixture
async def context(database_url: str, bank: Bank) -> AsyncIterator[Context]:
    settings = settings_of(database_url, sandbox_url=bank.url, provider_secret_test=SECRET)
    async with Context(settings, name="test") as opened:
        yield opened


class Payer:
    """Whoever is owed `amount`, at a bank or a provider, whose first answer to the order to return it is lost."""

    def __init__(self, ana: Merchant, bank: Bank, desk: Desk, who: str) -> None:
        self.ana, self.bank, self.desk, self.who, self.deposit = ana, bank, desk, who, ""
        self.amount, self.currency = (10_000, "KES") if who == "provider" else (950, "MXN")

    async def pays(self) -> None:
        if self.who == "provider":
            payin = await ended(self.ana, self.desk, "declined")
            self.desk.pay(key_of(payin))
            await self.ana.told("mpesa", "payment", self.desk.told(key_of(payin)))
            [(id,)] = await rows(self.ana.context, "select id from deposit")
            self.deposit = f"dep_{id.hex}"
        else:
            number = {"next_action": {"clabe": spei.of_number("646180", 77)}}
            surplus = self.who == "bank"
            self.deposit = await self.ana.paid(
                await self.ana.payin() if surplus else number, 10_950 if surplus else 950
            )
            assert (await self.ask()).status == 201
        self.bank.script, self.desk.says["refund"] = ["500"], ["nothing"]
        assert await tried(self.ana.context, "deposit.return") == 0

    async def ask(self) -> Any:
        return await self.ana.post(f"/v1/operator/deposits/{self.deposit}/returns", key=self.ana.olga)

    async def answers(self, how: str, *said: str) -> None:
        """The order's answer comes, after Olga has said so."""

        async def meanwhile(*_: object) -> None:
            for word in said:
                done = await (self.ask() if word == "asked" else settled(self.ana, self.deposit, word))
                assert done.status == 201, done.body

        self.bank.script, self.bank.meanwhile = [{"returned": "ok", "refused": "404"}[how]], meanwhile
        self.desk.says["refund"] = [({"status": "succeeded" if how == "returned" else "failed"}, meanwhile)]
        await tried(self.ana.context, "deposit.return")

    def has(self) -> int:
        """What the payer was given."""
        given = [state.amount_minor for state in self.desk.operations.values() if state.status == "succeeded"]
        return sum(given) + sum(self.bank.returned.values())

    async def case(self) -> dict[str, Any]:
        [case] = [one for one in await self.ana.odd(all="true") if one["kind"] == "contradicts_final_state"]
        assert case["held"]["about"] == "deposit"
        return case

    async def stands(self) -> tuple[int, int, int]:
        [found] = await rows(
            self.ana.context,
            "select unapplied_minor, returning_minor, returned_minor from deposit where id = %s::uuid",
            self.deposit[4:],
        )
        return found


@pytest.fixture
async def payer(ana: Merchant, bank: Bank, desk: Desk, request: pytest.FixtureRequest) -> Payer:
    owed = Payer(ana, bank, desk, getattr(request, "param", "bank"))
    await owed.pays()
    return owed


@pytest.mark.parametrize(("payer", "line"), [(line[0], line) for line in LINES], indirect=["payer"])
async def test_an_answer_that_contradicts_a_settlement_is_a_case(
    ana: Merchant, context: Context, payer: Payer, line: list[str]
) -> None:
    _, said, brings, proposed, *parts = line
    await payer.answers(brings, said)
    case = await payer.case()
    proposal = case["proposals"][0]
    assert (proposal["correction"], case["resolved_at"], case["answer"]) == (proposed, None, case["detail"])
    assert case["detail"]["key"] and case["provider"] == ("sandbox" if payer.who == "provider" else "spei")
    if proposed == "book_return":
        assert (proposal["amount"], proposal["currency"]) == (payer.amount, payer.currency)
        given = payer.has()
        assert (await payer.ask()).code == "forbidden_transition", "it would be paid twice"
        assert await tried(context, "deposit.return") == 0
        answered = await corrected(ana, case)
        assert (answered.status, answered.json["correction"]) == (201, "book_return"), answered.body
        await does_what_it_says(ana, context, proposal)
        assert (await payer.ask()).code == "forbidden_transition", "nothing is left of it"
        assert payer.has() == given == payer.amount
    assert await payer.stands() == (int(parts[0]), 0, payer.amount if parts[1] == "all" else 0)
    if payer.who != "provider":
        assert await house(context, Purpose.CLEARING) == 0
    await assert_in_order(context)


async def test_what_a_person_has_cleared_may_go_back_again(ana: Merchant, context: Context, payer: Payer) -> None:
    await payer.answers("returned", "did_not_happen")
    case = await payer.case()
    path = f"/v1/operator/discrepancies/{case['id']}/resolutions"
    assert (await ana.post(path, {"resolution": "the bank took it back itself"}, key=ana.olga)).status == 201
    assert (await payer.ask()).status == 201
    assert await tried(context, "deposit.return") == 1
    assert await payer.stands() == (0, 0, payer.amount)
    assert len(await ana.odd(all="true", kind="contradicts_final_state")) == 1, "its first order is known by then"
    await assert_in_order(context)


@pytest.mark.parametrize("payer", ["bank", "provider"], indirect=True)
async def test_money_that_was_asked_for_again_waits_while_the_first_order_may_have_been_carried_out(
    ana: Merchant, context: Context, payer: Payer
) -> None:
    await payer.answers("returned", "did_not_happen", "asked")
    assert (await payer.case())["proposals"][0]["correction"] == "by_hand"
    for _ in range(2):
        assert await tried(context, "deposit.return") == 0
    [waits] = await listed(ana)
    assert "its discrepancy comes first" in waits["last_answer"]
    assert (payer.has(), await payer.stands()) == (payer.amount, (0, payer.amount, 0))
    assert (await settled(ana, payer.deposit, "did_not_happen")).status == 201
    case = await payer.case()
    assert (await corrected(ana, case)).json["correction"] == "book_return"
    assert (payer.has(), await payer.stands()) == (payer.amount, (0, 0, payer.amount))
    await assert_in_order(context)


async def test_what_an_operator_has_confirmed_meanwhile_needs_nothing_more(
    ana: Merchant, context: Context, payer: Payer
) -> None:
    await payer.answers("returned", "did_not_happen")
    stale, path = await payer.case(), f"/v1/operator/deposits/{payer.deposit}/confirmations"
    confirmed = await ana.post(path, {"reason": "it stands in the statement"}, key=ana.olga)
    assert (confirmed.status, confirmed.json["reason"]) == (201, "return_confirmed")
    assert (await payer.case())["proposals"][0]["correction"] == "none_needed"
    assert (await corrected(ana, stale)).code == "forbidden_transition"
    assert await payer.stands() == (0, 0, payer.amount)
    await assert_in_order(context)


SAME = [("bank", "happened", "returned"), ("provider", "did_not_happen", "refused")]


@pytest.mark.parametrize(("payer", "said", "brings"), SAME, indirect=["payer"])
async def test_an_answer_that_says_the_same_is_none(
    ana: Merchant, context: Context, payer: Payer, said: str, brings: str
) -> None:
    await payer.answers(brings, said)
    assert await ana.odd(kind="contradicts_final_state") == []
    assert await rows(context, "select count(*) from due where kind = 'deposit.return'") == [(0,)]
    await assert_in_order(context)
