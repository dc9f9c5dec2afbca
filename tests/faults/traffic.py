"""Merchants, payers and operators who go on and on, and remember what they were told.

A third of the payins expires within seconds and a tenth is cancelled, paid or not; payers pay exactly, in two parts,
too much, or have the bank report it twice; operators send back what is unapplied. So everything goes on at any moment:
commits, callbacks, expiries under lease, returns to the bank.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp

from tests.faults.asking import PATIENCE_S, PAUSE_S, UNREACHED, Answer, Ask, Asker, History, Verdict

MERCHANTS, PAYERS, OPERATORS = 40, 12, 2
IN_FLIGHT = 32
EASY, THINKS_S = 8, 0.1  # merchants that go on selling while nobody is about to be killed, so long after each sale
MOST_UNPAID = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """What a payer is going to transfer."""

    clabe: str
    amount: int
    copies: int = 1


@dataclass
class Told:
    """What was acknowledged, each under the phase in which it was: the books have to have it."""

    payins: dict[str, tuple[str, int, str]] = field(default_factory=dict)  # reference: id, amount, phase
    cancelled: dict[str, str] = field(default_factory=dict)  # payin's id: phase
    returned: dict[str, str] = field(default_factory=dict)  # deposit's id: phase
    refused: set[str] = field(default_factory=set)  # references that must be nowhere
    transfers: dict[str, int] = field(default_factory=dict)  # tracking key: amount
    unanswered: set[str] = field(default_factory=set)  # tracking keys whose first answer never came


class Traffic:
    """The clients of one caudal, from `start` to `stop`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        ready: dict[str, Any],
        history: History,
        seed: int,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._session, self._bank_url = session, f"{ready['sandbox_url']}/v1/bank/transfers"
        self.history, self.bank, self.told = history, History(phase="sandbox"), Told()
        self.merchant = Asker(session, ready["api_url"], ready["demo_key"], history, patience_s)
        self.operator = Asker(session, ready["api_url"], ready["operator_key"], history, patience_s)
        self._random, self._numbers = random.Random(seed), 0
        self._unpaid: asyncio.Queue[Payment] = asyncio.Queue(MOST_UNPAID)
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping, self._paying = False, 0
        self._pressing = asyncio.Event()
        self._pressing.set()

    @property
    def in_flight(self) -> int:
        """How many requests wait for the API's answer."""
        return self.merchant.in_flight + self.operator.in_flight

    @property
    def paying(self) -> int:
        """How many transfers wait for the bank's answer."""
        return self._paying

    def start(self) -> None:
        for number, step in ((MERCHANTS, self._sell), (PAYERS, self._pay), (OPERATORS, self._send_back)):
            self._tasks += [asyncio.create_task(self._again(step, nth)) for nth in range(number)]

    def press(self) -> None:
        """Every merchant sells, one thing after the other."""
        self._pressing.set()

    def ease(self) -> None:
        """Most merchants end what they have begun and wait, the others think: what comes back needs the processor."""
        self._pressing.clear()

    async def stop(self) -> None:
        """Lets everybody find out what they do not know yet."""
        self._stopping = True
        self.press()
        await asyncio.gather(*self._tasks)

    async def abandon(self) -> None:
        """Lets everybody go without an answer."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _again(self, step: Any, nth: int) -> None:
        while not self._stopping:
            if step == self._sell and not self._pressing.is_set():
                await (self._pressing.wait() if nth >= EASY else asyncio.sleep(THINKS_S))
            await step()

    def _key(self, kind: str) -> str:
        self._numbers += 1
        return f"{kind}{self._numbers}"

    async def _told(self, ask: Ask) -> Answer | None:
        """The definite answer; None when nothing happened."""
        verdict, answer = await self.merchant.post(ask)
        if verdict is Verdict.UNKNOWN:
            return await self.merchant.settle(ask)
        if verdict is Verdict.REFUSED:
            await asyncio.sleep(PAUSE_S)
            return answer if answer is not None and 400 <= answer.status < 429 else None
        return answer

    # Merchants

    async def _sell(self) -> None:
        key, chance = self._key("sale"), self._random.random()
        amount, expires_at = self._random.randint(1_000, 500_000), None
        if chance < 0.33:
            expires_at = datetime.now(UTC) + timedelta(seconds=self._random.uniform(1.5, 4.0))
        body = _order(key, amount, expires_at)
        answer = await self._told(Ask(path="/v1/payins", key=key, body=body, timeout_ms=self._hurry()))
        if answer is None or answer.status != 201:
            self.told.refused.add(key)
            return
        payin = answer.json
        if (payin["status"], payin["amount"], payin["reference"]) != ("pending", amount, key):
            self.history.strange.append(f"{key}: {payin}")
        self.told.payins[key] = (payin["id"], amount, self.history.phase)
        if self._random.random() < 0.3:
            self._order_payment(payin["next_action"]["clabe"], amount)
        if self._random.random() < 0.1:
            await self._cancel(payin["id"])
        if self._random.random() < 0.1:
            await self._look(payin["id"])

    def _hurry(self) -> int | None:
        """Half of the callers cannot wait until a database is back; milliseconds."""
        return self._random.randint(50, 250) if self._random.random() < 0.5 else None

    async def _cancel(self, payin: str) -> None:
        key = self._key("cancel")
        answer = await self._told(Ask(path=f"/v1/payins/{payin}/cancellations", key=key, timeout_ms=self._hurry()))
        if answer is not None and answer.status == 200:
            self.told.cancelled[payin] = self.history.phase

    async def _look(self, payin: str) -> None:
        answer = await self.merchant.get(f"/v1/payins/{payin}")
        if answer is not None and answer.status not in (0, 200, 503):
            self.history.strange.append(f"GET {payin}: {answer}")

    # Payers

    def _order_payment(self, clabe: str, amount: int) -> None:
        chance = self._random.random()
        payments = [Payment(clabe=clabe, amount=amount)]
        if chance < 0.1:
            payments = [Payment(clabe=clabe, amount=amount // 3), Payment(clabe=clabe, amount=amount - amount // 3)]
        elif chance < 0.3:
            payments = [Payment(clabe=clabe, amount=amount + 77)]
        elif chance < 0.4:
            payments = [Payment(clabe=clabe, amount=amount, copies=2)]
        for payment in payments:
            if not self._unpaid.full():
                self._unpaid.put_nowait(payment)

    async def _pay(self) -> None:
        if self._unpaid.empty():
            await asyncio.sleep(PAUSE_S)
            return
        payment, key = self._unpaid.get_nowait(), f"K{self._key('')}"
        first, settled = True, None
        while settled is None:
            answer = await self._order_transfer(key, payment)
            if first:
                self._count_transfer(key, answer)
            first = False
            if answer is not None and answer != UNREACHED:
                settled = answer
            else:
                await asyncio.sleep(PAUSE_S)
        if settled.status not in (200, 201) or settled.json["amount"] != payment.amount:
            self.bank.strange.append(f"{key}: {settled}")
        self.told.transfers[key] = payment.amount

    def _count_transfer(self, key: str, answer: Answer | None) -> None:
        if answer is None:
            self.told.unanswered.add(key)
        self.bank.count(
            Verdict.UNKNOWN if answer is None else Verdict.REFUSED if answer == UNREACHED else Verdict.ACKNOWLEDGED
        )

    async def _order_transfer(self, key: str, payment: Payment) -> Answer | None:
        order = {
            "clabe": payment.clabe,
            "amount": payment.amount,
            "currency": "MXN",
            "payer_name": "Beto Ruiz",
            "tracking_key": key,
            "deliver": {"copies": payment.copies},
        }
        self._paying += 1
        try:
            async with self._session.post(
                self._bank_url, json=order, timeout=aiohttp.ClientTimeout(total=PATIENCE_S)
            ) as answer:
                return Answer(status=answer.status, body=await answer.read())
        except aiohttp.ClientConnectorError:
            return UNREACHED
        except (aiohttp.ClientError, TimeoutError):
            return None
        finally:
            self._paying -= 1

    # Operators

    async def _send_back(self) -> None:
        """Returns what is too much, too late or for nobody."""
        listed = await self.operator.get("/v1/operator/deposits?limit=100")
        if listed is None or listed.status != 200:
            if listed is not None and listed.status not in (0, 503):
                self.history.strange.append(f"GET deposits: {listed}")
            await asyncio.sleep(PAUSE_S)
            return
        waiting = [deposit["id"] for deposit in listed.json["data"] if deposit["reason"] != "partial"]
        for deposit in self._random.sample(waiting, min(len(waiting), 5)):
            ask = Ask(path=f"/v1/operator/deposits/{deposit}/returns", key=self._key("return"))
            verdict, answer = await self.operator.post(ask)
            if verdict is Verdict.UNKNOWN:
                answer = await self.operator.settle(ask)
            if answer is not None and answer.status == 201:
                self.told.returned[deposit] = self.history.phase
        await asyncio.sleep(PAUSE_S)


def _order(reference: str, amount: int, expires_at: datetime | None) -> bytes:
    order = {
        "amount": amount,
        "currency": "MXN",
        "country": "MX",
        "method": "spei",
        "reference": reference,
        "payer": {"name": "Beto Ruiz", "email": "beto@example.com"},
    }
    if expires_at is not None:
        order["expires_at"] = expires_at.isoformat().replace("+00:00", "Z")
    return json.dumps(order).encode()
