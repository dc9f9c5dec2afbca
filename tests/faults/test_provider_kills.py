"""kill -9 of web, worker and sandbox with payments, captures, refunds and voids at their provider: each happens once,
or not.

A third of the payments and half of the captures and refunds have an answer that comes 1.5 s after its effect. At each
kill the provider's books are looked into before it and ours behind it: what it had done then and we did not know yet is
`between`.

The first of the three providers declines half of what comes to it in one round, and is down in the next, so that
every death falls into the middle of cascades too: behind the commit that begins the next attempt, or behind its effect.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.faults import buyers, cascading
from tests.faults.asking import Answer, Ask, Asker, History, Verdict
from tests.faults.books import provider_rows, rows
from tests.faults.restless import Restless, is_healthy, kill, until
from tests.payins.cast import CARD

pytestmark = pytest.mark.server

ROUNDS, KINDS = int(os.environ.get("ROUNDS_OF_KILLS", "6")), ("web", "worker", "sandbox")
SEED, SHOPPERS, OPERATING, BUYING = 20261128, 40, 12, 32
AMOUNT, SLOW = 40_000, 29_107  # of a capture or refund: the effect at once, the answer 1.5 s later
WAITS_MS = 3_000
HEALED_S = 60.0
NAMES = {"capture": "captures", "void": "cancellations", "refund": "refunds"}
OPERATIONS = "select id, payin, kind, status, amount_minor from payin_operation"
SUBMITTING = "select id from payin where status = 'submitting' and method = 'card'"
DONE = "select key, substr(payment_key, 1, 32), kind, amount_minor from operation where status = 'succeeded'"
UNDONE = """
    select u.what, d.attempt, (d.at - clock_timestamp())::text, d.said
    from (
        select id, 'payin' what from payin where status = 'submitting'
        union all select id, kind from payin_operation where status = 'pending') u
    left join due d on d.subject = u.id"""


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Restless]:
    """A caudal whose leases end after a second, and whose breakers open for half of one."""
    timing = {"CAUDAL_LEASE_S": "1", "CAUDAL_PROVIDER_TIMEOUT_MS": "2500", "CAUDAL_PROVIDER_BREAKER_OPEN_S": "0.5"}
    started = Restless(open_tmp / "operations", **timing)
    started.start()
    yield started
    assert started.stop() == 0, started.log


class Shoppers:
    """They pay by card, and the merchant captures, voids or refunds; `told` is what each was answered in the end."""

    def __init__(self, asker: Asker, instrument: str) -> None:
        self.asker, self._instrument, self._random = asker, instrument, random.Random(SEED)
        self.told: dict[tuple[str, str], Any] = {}  # payin and kind: the answer
        self.verdicts, self.operating = Counter[str](), 0
        self._stopping, self._tasks = False, list[asyncio.Task[None]]()

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._go_on(number)) for number in range(SHOPPERS)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, shopper: int) -> None:
        nth = 0
        while not self._stopping:
            nth += 1
            await self._one(f"{shopper}-{nth}", self._random.choice(("capture", "capture", "refund", "refund", "void")))

    async def _one(self, name: str, kind: str) -> None:
        capture = "automatic" if kind == "refund" else "manual"
        body = {"amount": AMOUNT, "currency": "BRL", "country": "BR", "method": "card", "capture": capture}
        payin = await self._definite("/v1/payins", f"pay-{name}", {**body, "instrument": {"id": self._instrument}})
        if payin is None or payin["status"] not in ("authorized", "paid"):
            return
        amount = SLOW if self._random.random() < 0.5 else self._random.randint(1, AMOUNT)
        asked = {} if kind == "void" else {"amount": amount}
        self.operating += 1
        answer = await self._definite(f"/v1/payins/{payin['id']}/{NAMES[kind]}", f"{kind}-{name}", asked)
        self.operating -= 1
        if answer is not None:
            self.told[payin["id"], kind] = answer

    async def _definite(self, path: str, key: str, body: dict[str, Any]) -> Any:
        """What was made in the end; None when it was refused."""
        ask = Ask(path=path, key=key, body=json.dumps(body).encode() if body else b"", timeout_ms=WAITS_MS)
        verdict, answer = await self.asker.post(ask)
        self.verdicts[verdict] += 1
        if verdict is Verdict.UNKNOWN or (answer is not None and answer.status == 409):
            answer = await self.asker.settle(ask)
        if answer is None or answer.status not in (200, 201):
            await asyncio.sleep(buyers.THINKS_S)
            return None
        return answer.json


async def test_nothing_at_a_provider_is_lost_or_double_whatever_is_killed(
    whole: Restless, say: Callable[[str], None]
) -> None:
    chance, kills, between, least = random.Random(SEED), Counter[str](), Counter[str](), buyers.BUYERS
    async with buyers.asked(whole, "killed") as (buying, session):
        shoppers = await begun(whole, session)
        buying.start()
        for number in range(ROUNDS):
            first = cascading.DOWN if number % 2 else cascading.DECLINES
            for kind in chance.sample(KINDS, len(KINDS)):
                await cascading.fares(whole, session, first, cascading.SLOW)
                await until(busy(shoppers, buying), "enough requests are in flight", HEALED_S, every_s=0.001)
                await asyncio.sleep(chance.uniform(0.02, 0.4))
                await until(busy(shoppers, buying), "enough requests are in flight", HEALED_S, every_s=0.001)
                least = min(least, buying.asker.in_flight)
                found = await killed(whole, session, kind)
                kills[kind] += 1
                between.update({f"{what} at the death of {kind}": number for what, number in found.items()})
        await cascading.fares(whole, session, cascading.WELL, cascading.WELL)
        await asyncio.gather(shoppers.stop(), buying.stop())
        await everything_ends(whole)
        charged = await buyers.statement(session, whole)
    say(f"{dict(kills)}, {least} purchases in flight at least; {len(buying.told)} purchases, {dict(buying.verdicts)};")
    say(f"{len(shoppers.told)} operations, {dict(shoppers.verdicts)}; done and not known to be:")
    say(", ".join(f"{number} {what}" for what, number in sorted(between.items())))
    say(f"payins that went on to a later provider, and how they ended: {await cascaded(whole)}")
    judged(whole, shoppers, await ours(whole))
    await buyers.judged(whole, buying, charged)
    assert kills.total() >= 3 * ROUNDS and least >= BUYING
    assert shoppers.verdicts[Verdict.UNKNOWN] and buying.verdicts[Verdict.UNKNOWN]
    for what in ("purchase", "capture", "refund"):
        assert sum(number for name, number in between.items() if what in name), f"no kill fell behind a {what}"
    for kind in ("web", "worker"):
        for what in ("begun and not done", "done and not known"):
            name = f"later attempt {what} at the death of {kind}"
            assert between[name], f"no {name}"


async def begun(whole: Restless, session: aiohttp.ClientSession) -> Shoppers:
    asker = Asker(session, whole.ready["api_url"], whole.ready["demo_key"], History())
    card = Ask(path="/v1/instruments", key="card", body=json.dumps({"type": "card", "card": CARD}).encode())
    kept: Answer | None = await asker.answer(card)
    assert kept is not None and kept.status == 201, kept
    shoppers = Shoppers(asker, kept.json["id"])
    shoppers.start()
    return shoppers


def busy(shoppers: Shoppers, buying: buyers.Buyers) -> Callable[[], Any]:
    async def is_busy() -> bool:
        return shoppers.operating >= OPERATING and buying.asker.in_flight >= BUYING

    return is_busy


async def killed(whole: Restless, session: aiohttp.ClientSession, kind: str) -> Counter[str]:
    """Kills and waits until it is back; of what kind that is which the provider had done and we not noted."""
    pid = whole.pid_of(kind)
    begun_before, charged_before = await cascading.under_way(whole), cascading.charged(whole)
    done = {key for key, *_ in theirs(whole)} | {key[:32] for key in charged_before}
    kill(pid)
    caught = await cascading.caught(whole, begun_before, charged_before)
    between = Counter(kind for id, _, kind, status, _ in await ours(whole) if status == "pending" and id in done)
    between["purchase"] = sum(id.hex in done for (id,) in await buyers.found(whole, SUBMITTING))

    async def is_back() -> bool:
        return whole.pid_of(kind) != pid and await is_healthy(whole, session, kind)

    await until(is_back, f"{kind} is back", HEALED_S)
    return between + caught


async def cascaded(whole: Restless) -> Counter[str]:
    """In which attempt payins ended, and how, of those that went on to a second or third."""
    return Counter(f"{status} in attempt {key[33:]}" for key, status in (await cascading.later(whole)).items())


def theirs(whole: Restless) -> list[tuple[Any, ...]]:
    """Key, payment, kind and amount of each operation that the provider has carried out, read from its disk."""
    return provider_rows(whole.var, DONE)


async def ours(whole: Restless) -> list[tuple[str, str, str, str, int]]:
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        return [(id.hex, payin.hex, *rest) for id, payin, *rest in await rows(connection, OPERATIONS)]


async def everything_ends(whole: Restless) -> None:
    """Waits for it; what does not is shown with the work that should end it."""
    undone = list[tuple[Any, ...]]()

    async def is_done() -> bool:
        undone[:] = await buyers.found(whole, UNDONE)
        return not undone

    await until(is_done, lambda: f"everything has an outcome: {len(undone)} without, {undone[:5]}", HEALED_S, 0.2)


def judged(whole: Restless, shoppers: Shoppers, found: list[tuple[str, str, str, str, int]]) -> None:
    """What was acknowledged is there, nothing is there twice, and the provider has done the same."""
    history = shoppers.asker.history
    assert not history.strange, history.strange[:5]
    times = Counter((payin, kind) for _, payin, kind, _, _ in found)
    assert max(times.values()) == 1, "one request became two operations"
    made = {(f"payin_{payin}", kind): (id, status, amount) for id, payin, kind, status, amount in found}
    assert not shoppers.told.keys() - made.keys(), "what was acknowledged is there"
    for (payin, kind), told in shoppers.told.items():
        id, status, amount = made[payin, kind]
        if kind != "void":  # which is answered with the payin
            assert told["id"] == f"{kind}_{id}" and told["amount"] == amount
            assert told["status"] in ("pending", status), (payin, kind, told["status"], status)
    done = {(id, payin, kind, amount) for id, payin, kind, status, amount in found if status == "succeeded"}
    said = {
        (key, payment, "void" if kind == "cancellation" else kind, amount)
        for key, payment, kind, amount in theirs(whole)
    }
    assert done == said, "the provider has done otherwise than we know"
