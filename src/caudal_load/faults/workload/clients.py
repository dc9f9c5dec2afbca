"""Clients that go on and on: they create, capture, refund, cancel, repeat, race each other for a key, and read.

What a client does not know it asks again later with the same key, as the documentation tells merchants to: the request
joins the doubtful ones, and a few tasks ask those again, more and more slowly, until the answer is definite.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from caudal_load.faults.history import Line, Phase, What
from caudal_load.faults.workload.asker import Ask, Asker
from caudal_load.faults.workload.cast import Merchant
from caudal_load.faults.workload.orders import Payin, order, payin_of
from caudal_load.faults.workload.payers import Payers

_THINKS_S = 0.1
_REMEMBERED = 400
_SETTLERS = 8
_AGAIN_S = (0.2, 5.0)
_HURRY_MS = (100, 3_000)
_PATIENCE_PAUSE_S = 0.05


@dataclass(slots=True)
class Doubtful:
    """A request whose outcome nobody knows, and when it is asked again."""

    ask: Ask
    at_s: float
    pause_s: float = _AGAIN_S[0]


class Clients:
    """All clients of a run."""

    def __init__(self, asker: Asker, cast: list[Merchant], payers: Payers, seed: int, connections: int) -> None:
        self._asker, self._cast, self._payers = asker, cast, payers
        self._seed, self._connections = seed, connections
        self._known: list[deque[Payin]] = [deque(maxlen=_REMEMBERED) for _ in cast]
        self._asked: deque[Ask] = deque(maxlen=_REMEMBERED)
        self.doubtful: dict[str, Doubtful] = {}
        """By key."""
        self.ordered: Callable[[], str | None] = lambda: None
        """Which ending of an amount is wanted at the moment, for a provider that is to misbehave."""
        self.retried = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = 0
        self._loading = True

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._connections)]
        self._tasks += [asyncio.create_task(self._settler(number)) for number in range(_SETTLERS)]

    async def end_load(self) -> None:
        """Ask for nothing new any more; each client waits for its answer."""
        self._loading = False
        await asyncio.gather(*self._tasks[: self._connections])
        self._asker.history.phase = Phase.SETTLE

    async def settle(self, within_s: float) -> None:
        """Ask again what is in doubt until nothing is, or time is up; what stays is `doubtful`."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + within_s
        while self.doubtful and clock() < end_s:  # noqa: ASYNC110 (nobody could tell)
            await asyncio.sleep(_PATIENCE_PAUSE_S)
        for error in await self.end():
            if isinstance(error, Exception):
                raise error

    async def end(self) -> list[BaseException | None]:
        """Let everybody go, whatever they wait for; how each has ended."""
        for task in self._tasks:
            task.cancel()
        return await asyncio.gather(*self._tasks, return_exceptions=True)

    # ── What is in doubt ──────────────────────────────────────────────────────────────────────────────────────────

    def _heard(self, ask: Ask, line: Line) -> None:
        """Learn from an answer; remember the request if it has to be asked again."""
        if line.what is What.UNKNOWN and ask.key:
            at_s = asyncio.get_running_loop().time() + _AGAIN_S[0]
            self.doubtful.setdefault(ask.key, Doubtful(ask=ask.patient(), at_s=at_s))
        elif line.is_final and ask.key:
            self.doubtful.pop(ask.key, None)
            self._asked.append(ask)
        if line.what is What.OK:
            self._learn(ask, line)

    def _learn(self, ask: Ask, line: Line) -> None:
        if ask.op == "create" and not line.replayed:
            payin = payin_of(line.answer, ask.merchant)
            self._known[ask.merchant].append(payin)
            self._payers.told(payin)

    async def _settler(self, number: int) -> None:
        clock, client = asyncio.get_running_loop().time, f"settler-{number}"
        while True:
            now_s = clock()
            doubtful = next((one for one in self.doubtful.values() if one.at_s <= now_s), None)
            if doubtful is None:
                await asyncio.sleep(_PATIENCE_PAUSE_S)
                continue
            doubtful.at_s = now_s + 1_000.0  # nobody else's until it is answered
            self.retried += 1
            line = await self._asker.ask(doubtful.ask, client)
            if line.is_final:
                if line.what is What.OK:
                    self._learn(doubtful.ask, line)
                self.doubtful.pop(doubtful.ask.key, None)
            else:
                doubtful.pause_s = min(2 * doubtful.pause_s, _AGAIN_S[1])
                doubtful.at_s = clock() + doubtful.pause_s

    # ── What a client does ────────────────────────────────────────────────────────────────────────────────────────

    async def _client(self, number: int) -> None:
        random, client = Random(f"{self._seed}-{number}"), f"client-{number}"
        deeds = (
            *((self._create, 50), (self._capture, 12), (self._refund, 12), (self._cancel, 5)),
            *((self._repeat, 6), (self._reuse, 3), (self._race, 5), (self._read, 7)),
        )
        does, weights = [deed for deed, _ in deeds], [weight for _, weight in deeds]
        while self._loading:
            merchant = random.randrange(len(self._cast))
            await random.choices(does, weights)[0](random, client, merchant)
            await asyncio.sleep(random.expovariate(1 / _THINKS_S))

    async def _told(self, ask: Ask, client: str) -> Line:
        line = await self._asker.ask(ask, client)
        self._heard(ask, line)
        return line

    def _key(self) -> str:
        self._numbers += 1
        return f"faults-{self._seed}-{self._numbers:07d}"

    def _hurry(self, random: Random) -> int | None:
        """A third of the callers cannot wait until a database is back."""
        return random.randint(*_HURRY_MS) if random.random() < 0.33 else None

    def _creation(self, random: Random, merchant: int) -> Ask:
        key, ordered = self._key(), self.ordered()
        body = order(random, key, self._cast[merchant].cards, None if ordered is None else int(ordered))
        hurry = self._hurry(random)
        return Ask(op="create", merchant=merchant, path="/v1/payins", key=key, body=body, timeout_ms=hurry)

    async def _create(self, random: Random, client: str, merchant: int) -> None:
        await self._told(self._creation(random, merchant), client)

    def _any_payin(self, random: Random, merchant: int, *statuses: str) -> Payin | None:
        known = [payin for payin in self._known[merchant] if payin.status in statuses]
        return random.choice(known) if known else None

    def _of_payin(self, random: Random, payin: Payin, op: str, path: str, **body: object) -> Ask:
        return Ask(
            op=op,
            merchant=payin.merchant,
            path=f"{payin.path}/{path}",
            key=self._key(),
            body=json.dumps(body) if body else "",
            timeout_ms=self._hurry(random),
        )

    async def _capture(self, random: Random, client: str, merchant: int) -> None:
        """All of it, or a part, the last of which may be final. More than is left is asked for too."""
        if payin := self._any_payin(random, merchant, "authorized"):
            await self._told(self._capturing(random, payin), client)

    def _capturing(self, random: Random, payin: Payin) -> Ask:
        chance, left = random.random(), payin.amount - payin.asked
        amount = payin.amount if chance < 0.4 else random.randint(1, max(1, left if chance < 0.95 else payin.amount))
        payin.asked += amount
        if payin.asked >= payin.amount:
            payin.status = "paid"
        return self._of_payin(random, payin, "capture", "captures", amount=amount, final=chance > 0.8)

    async def _refund(self, random: Random, client: str, merchant: int) -> None:
        if payin := self._any_payin(random, merchant, "paid"):
            await self._told(self._refunding(random, payin), client)

    def _refunding(self, random: Random, payin: Payin) -> Ask:
        amount = payin.amount if random.random() < 0.4 else random.randint(1, payin.amount)
        body: dict[str, object] = {"amount": amount}
        if payin.method == "boleto":
            body["destination"] = _TO
        elif payin.method == "spei":
            body["destination"] = {"account": "646180110400000007", "holder_name": "Beto Ruiz"}
        return self._of_payin(random, payin, "refund", "refunds", **body)

    async def _cancel(self, random: Random, client: str, merchant: int) -> None:
        if payin := self._any_payin(random, merchant, "pending", "authorized", "submitting"):
            await self._told(self._of_payin(random, payin, "cancel", "cancellations"), client)

    async def _repeat(self, random: Random, client: str, merchant: int) -> None:
        """The same request with the same key: the same answer, byte for byte."""
        if self._asked:
            await self._told(random.choice(self._asked), client)

    async def _reuse(self, random: Random, client: str, merchant: int) -> None:
        """Another request with a key that has been used: refused, whatever it asks for."""
        if self._asked:
            ask = random.choice(self._asked)
            other = order(random, f"{ask.key}-{self._key()}", self._cast[ask.merchant].cards)
            await self._told(Ask(op="reuse", merchant=ask.merchant, path="/v1/payins", key=ask.key, body=other), client)

    async def _race(self, random: Random, client: str, merchant: int) -> None:
        """Two at once with one key and one request: one effect, one answer."""
        payin = self._any_payin(random, merchant, "paid") if random.random() < 0.4 else None
        ask = self._creation(random, merchant) if payin is None else self._refunding(random, payin)
        await asyncio.gather(self._told(ask, client), self._told(ask, f"{client}-other"))

    async def _read(self, random: Random, client: str, merchant: int) -> None:
        """How a payin stands, which the merchant remembers; or a list, or what the balances are."""
        payin = random.choice(self._known[merchant]) if self._known[merchant] else None
        path = random.choice(("/v1/balances", "/v1/payins?limit=20", "/v1/events?limit=20"))
        if payin is not None and random.random() < 0.8:
            line = await self._told(Ask(op="read", merchant=merchant, path=payin.path), client)
            if line.what is What.OK:
                payin.status = json.loads(line.answer)["status"]
        else:
            await self._told(Ask(op="read", merchant=merchant, path=path), client)


_TO = {
    "account": "0001-9/1234567-8",
    "bank": "001",
    "kind": "checking",
    "holder_name": "Ana Souza",
    "holder_document": "11144477735",
}
