"""Merchants' programs: what they ask for, under which key, what they were answered, and what they make of silence."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final

import msgspec

from caudal_simulation.programs import Lost
from caudal_simulation.world import World

_TRIES: Final = 8
_JSON: Final = b"application/json"
_FILE: Final = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\nstartxref\n45\n%%EOF\n"


class Asked:
    """One request with a key: each answer that came, in order. Status 0: none came."""

    def __init__(self, key: str, path: str, body: bytes, type: bytes = _JSON) -> None:
        self.key, self.path, self.body, self.type = key, path, body, type
        self.answers: list[tuple[int, bytes]] = []

    @property
    def acknowledged(self) -> tuple[int, bytes] | None:
        """The first answer that is final."""
        return next((answer for answer in self.answers if final(answer)), None)

    @property
    def refused(self) -> int | None:
        """The status of a refusal that is its first answer for good; an invalid request leaves its key unused."""
        status, body = self.acknowledged or (0, b"")
        return status if status >= 400 and b'"invalid_request"' not in body else None


def final(answer: tuple[int, bytes]) -> bool:
    """Whether an answer says what became of the request, for good."""
    status, body = answer
    if status == 409:
        return b'"key_in_progress"' not in body
    return 200 <= status < 300 or status in (422, 404)


class Merchant:
    """Who a client works for."""

    def __init__(self, name: str, secret: str, slot: int, instrument: str) -> None:
        self.name, self.secret, self.slot, self.instrument = name, secret, slot, instrument


class Client:
    """One program of a merchant's."""

    def __init__(self, world: World, merchant: Merchant, number: int) -> None:
        self.world, self.merchant, self.number = world, merchant, number
        self.random = Random(world.seed * 16 + number)
        self.asked: list[Asked] = []
        self.payins: list[dict[str, Any]] = []
        self.commands = 0
        self.reads: list[str] = []

    async def work(self, commands: int) -> None:
        """So many commands, one after the other, with pauses."""
        verbs = (
            (self.spei, 6),
            (self.card, 6),
            (self.deposit, 6),
            (self.capture, 4),
            (self.refund, 4),
            (self.cancel, 2),
            (self.replay, 3),
            (self.race, 2),
            (self.reuse, 1),
            (self.confirm, 2),
            (self.dispute, 2),
            (self.answer, 1),
            (self.decide, 1),
            (self.look, 1),
        )
        lots = [verb for verb, weight in verbs for _ in range(weight)]
        while self.commands < commands:
            await asyncio.sleep(self.random.random() * 0.3)
            if await lots[int(self.random.random() * len(lots))]():
                self.commands += 1

    # Verbs: whether there was something to do

    async def spei(self) -> bool:
        amount = 1_000 + int(self.random.random() * 50_000)
        await self._create({"amount": amount, "currency": "MXN", "country": "MX", "method": "spei"})
        return True

    async def card(self) -> bool:
        await self._create(self._card())
        return True

    def _card(self) -> dict[str, Any]:
        return {
            "amount": 1_000 + int(self.random.random() * 50_000),
            "currency": "BRL",
            "country": "BR",
            "method": "card",
            "capture": "manual" if self.random.random() < 0.6 else "automatic",
            "instrument": {"id": self.merchant.instrument},
        }

    async def _create(self, body: dict[str, Any]) -> None:
        asked = self._new("/v1/payins", body)
        made = await self.ask(asked)
        if made is not None and made.get("object") == "payin":
            self.payins.append(made)

    async def deposit(self) -> bool:
        payin = self._one("spei")
        if payin is None:
            return False
        share = self.random.random()
        amount = payin["amount"] if share < 0.7 else max(1, int(payin["amount"] * share))
        if share > 0.95:
            amount = payin["amount"] + 7
        tracking = f"T{self.number}x{len(self.world.deposits)}"
        asyncio.get_running_loop().create_task(self.world.deposit(tracking, payin["next_action"]["clabe"], amount))
        return True

    async def capture(self) -> bool:
        payin = self._one("card", "authorized")
        if payin is None:
            return False
        body: dict[str, Any] = {}
        if self.random.random() < 0.5:
            body = {"amount": max(1, payin["amount"] // 3), "final": self.random.random() < 0.3}
        await self.ask(self._new(f"/v1/payins/{payin['id']}/captures", body))
        return True

    async def refund(self) -> bool:
        payin = self._one("card") if self.random.random() < 0.6 else self._one("spei")
        if payin is None:
            return False
        body: dict[str, Any] = {"amount": max(1, payin["amount"] // 4)}
        if payin["method"] == "spei":
            body["destination"] = {"account": "646180110400000007", "holder_name": "Beto Ruiz"}
        await self.ask(self._new(f"/v1/payins/{payin['id']}/refunds", body))
        return True

    async def cancel(self) -> bool:
        payin = self._one(None)
        if payin is None:
            return False
        await self.ask(self._new(f"/v1/payins/{payin['id']}/cancellations", None))
        return True

    async def replay(self) -> bool:
        """A request once more, as it was."""
        if not self.asked:
            return False
        await self.ask(self._among(self.asked))
        return True

    async def race(self) -> bool:
        """Two programs, one key, both webs."""
        body = self._card() if self.random.random() < 0.5 else {
            "amount": 2_500, "currency": "MXN", "country": "MX", "method": "spei",
        }  # fmt: skip
        asked = self._new("/v1/payins", body)
        made = await asyncio.gather(self.ask(asked, web=0), self.ask(asked, web=1))
        self.payins += [one for one in made[:1] if one is not None and one.get("object") == "payin"]
        return True

    async def reuse(self) -> bool:
        """A key that was used, for another request."""
        if not self.asked:
            return False
        before = self._among(self.asked)
        other = Asked(before.key, "/v1/payins", b'{"amount":77,"currency":"MXN","country":"MX","method":"spei"}')
        status, _ = await self._once(other, None)
        said = before.acknowledged  # a request that was invalid has left its key free
        if said is not None and said[0] != 422 and 200 <= status < 300:
            self.reads.append(f"key {before.key} made something else as well")
        return True

    async def confirm(self) -> bool:
        """A payer proves to hold the card."""
        payin = self._one("card")
        placed = None if payin is None else self.world.outside.with_(payin["id"])
        if placed is None:
            return False
        provider, key = placed
        provider.payer_confirms(key)
        return True

    async def dispute(self) -> bool:
        """A payer disputes a payment, or a part of it; one about which its provider has not erred."""
        payin = self._one("card")
        placed = None if payin is None else self.world.outside.with_(payin["id"])
        if placed is None:
            return False
        provider, key = placed
        left = provider.payments[key]["captured"] - provider.disputed(key)
        if left <= 0 or key in provider.erred:
            return False
        provider.dispute(key, left if self.random.random() < 0.5 else max(1, left // 3), self.world.in_days(3))
        return True

    async def answer(self) -> bool:
        """The merchant looks at a payin that is disputed, and answers with a file."""
        payin = next((one for one in self.payins if self.world.outside.is_disputed(one["id"])), None)
        found = None if payin is None else await self._seen(payin)
        if found is None or not found["dispute"]:
            return False
        await self.ask(self._new(f"/v1/disputes/{found['dispute']}/evidence", _FILE, b"application/pdf"))
        return True

    async def decide(self) -> bool:
        """The scheme decides a dispute."""
        return self.world.outside.decide(self.random)

    async def look(self) -> bool:
        """What was answered is there."""
        payin = self._one(None)
        if payin is None:
            return False
        await self._seen(payin)
        return True

    async def _seen(self, payin: dict[str, Any]) -> dict[str, Any] | None:
        try:
            response = await self.world.ask("GET", f"/v1/payins/{payin['id']}", b"", self._headers(None))
        except Lost:
            return None
        if response.status == 404:
            self.reads.append(f"{payin['id']} was answered and is not there")
        found: dict[str, Any] | None = msgspec.json.decode(response.body) if response.status == 200 else None
        return found

    # Asking

    def _one(self, method: str | None, status: str | None = None) -> dict[str, Any] | None:
        found = [
            payin for payin in self.payins if method in (None, payin["method"]) and status in (None, payin["status"])
        ]
        return self._among(found) if found else None

    def _among(self, things: list[Any]) -> Any:
        return things[int(self.random.random() * len(things))]

    def _new(self, path: str, body: dict[str, Any] | bytes | None, type: bytes = _JSON) -> Asked:
        key = f"{self.merchant.name}-{self.number}-{len(self.asked)}"
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        asked = Asked(key, path, raw, type)
        self.asked.append(asked)
        return asked

    def _headers(self, key: str | None, type: bytes = _JSON) -> dict[bytes, bytes]:
        headers = {b"authorization": f"Bearer {self.merchant.secret}".encode(), b"content-type": type}
        if key is not None:
            headers[b"idempotency-key"] = key.encode()
        return headers

    async def ask(self, asked: Asked, web: int | None = None) -> dict[str, Any] | None:
        """A request, again with its key while nobody says what became of it; its body, where it was done."""
        pause_s = 0.1
        for _ in range(_TRIES):
            answer = await self._once(asked, web)
            if final(answer):
                status, body = answer
                return msgspec.json.decode(body) if status < 300 else None
            await asyncio.sleep(pause_s * (0.5 + self.random.random()))
            pause_s = min(pause_s * 2, 2.0)
        return None

    async def _once(self, asked: Asked, web: int | None) -> tuple[int, bytes]:
        try:
            response = await self.world.ask("POST", asked.path, asked.body, self._headers(asked.key, asked.type), web)
            answer = (response.status, response.body)
        except Lost:
            answer = (0, b"")
        asked.answers.append(answer)
        if self.world.shown:
            self.world.note(
                f"{self.merchant.name}/{self.number} {asked.key} {asked.path}: {answer[0]} {answer[1][:90]!r}"
            )
        return answer
