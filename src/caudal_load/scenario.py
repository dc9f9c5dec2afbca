"""What a request says, as data: a scenario is a record, and a request is one of its templates with one token filled in.

The token is all that is made for a request. It stands as `Idempotency-Key` and as `reference`, has a fixed length (so
that `Content-Length` is a constant), and names the run, so that the payins of a run can be told from all others
afterwards. What else differs (the merchant, the body of a mix, the card) goes round by the request's number.
"""

import json
import math
import secrets
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from urllib.parse import urlsplit

from caudal_load.deeds import Deed, Deeds, Known
from caudal_load.flows import FEES
from caudal_load.tally import Tally

TOKEN, INSTRUMENT = "{token}", "{instrument}"
_FEW = 4_096
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One kind of request: where it goes, what it says, which answers acknowledge it, and what goes on around it."""

    name: str
    method: str
    path: str
    bodies: tuple[str, ...]
    """JSON with `{token}` where the token of the request goes, and `{instrument}` where the id of a card does.

    Several are a mix: requests take them in turn.
    """
    acknowledged: frozenset[int]
    """The statuses of HTTP that promise that the object is durable."""
    id_prefix: str
    """What the id of the promised object begins with, up to its 32 hexadecimal digits."""
    outcomes: frozenset[bytes] | None = None
    """The object's own `status` in answers that are as hoped for; None: it is not looked at."""
    counted: frozenset[bytes] | None = None
    """Those of them that `rate` counts; None: all. The others are acknowledged, and looked for, all the same."""
    through_provider: bool = False
    """What is acknowledged stands in the sandbox's books too, and is looked for there."""
    whole_flows: bool = False
    """Payers pay, callbacks come, and webhooks are delivered to a receiver of the generator's."""

    turns: tuple[int | Deed, ...] = ()
    """Which request is which, in turn: a body's place, or what else is asked for. Without it all bodies in turn."""
    skew: float = 0.0
    """How unlike the merchants are: the n-th has a share of 1/n^skew of the requests (Zipf). 0: all alike."""
    stock: int = 0
    """So many payins are created before anything else is asked for."""
    fees: tuple[tuple[str, str], ...] = FEES
    """Families of methods and currencies that merchants need a fee for."""

    @property
    def instruments(self) -> bool:
        """Whether cards are needed beforehand."""
        return any(INSTRUMENT in body for body in self.bodies)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where the requests of one side go: plain HTTP, a host and a port."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Target":
        """Read `http://host:port`.

        Raises ValueError for anything else: the generator speaks plain HTTP to a nearby server.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"not an address like http://127.0.0.1:8700: {url}")
        return cls(host=parts.hostname, port=parts.port or 80)

    @property
    def url(self) -> str:
        """The address in one piece, without a slash at the end."""
        return f"http://{self.host}:{self.port}"


class Requests:
    """The requests of one side of a run, spread evenly over bodies and cards, and over keys evenly or by the skew.

    `instruments` are the cards of each key, as many for each; none where the scenario needs none. `timeout_ms` is the
    deadline that every request names; None: caudal's own. Numbers go up from `first` in steps of `step`, so that
    several processes share a run without sharing a number.
    """

    def __init__(
        self,
        scenario: Scenario,
        target: Target,
        keys: list[str],
        run: str | None = None,
        instruments: Sequence[Sequence[str]] = (),
        timeout_ms: int | None = None,
        first: int = 0,
        step: int = 1,
    ) -> None:
        self.scenario = scenario
        self.run = run or secrets.token_hex(4)
        self.count = 0
        self.number = first - step
        """Of the request that was made last."""
        self.deeds: Deeds | None = None
        self.prefix = f"load-{self.run}-"
        self._prefix = self.prefix.encode()
        self._step = step
        self._target, self._keys, self._instruments, self._timeout_ms = target, keys, instruments, timeout_ms
        self._turns = scenario.turns or tuple(range(len(scenario.bodies)))
        self._shift_after = math.lcm(len(keys), len(self._turns)) if math.gcd(len(keys), len(self._turns)) > 1 else None
        self._cards_after = len(keys) * len(self._turns)
        self._shares = _zipf(len(keys), scenario.skew) if scenario.skew else None
        self._amounts = [_amount(body) for body in scenario.bodies]
        self._templates: dict[tuple[int, int, int], bytes] = {}
        self._period = self._periodic()
        self._round: list[bytes] = []
        """The templates of a whole period, in order, where they are few and wanted."""
        for turn in range(len(scenario.bodies)):
            self._template(0, turn, 0)

    def _periodic(self) -> int:
        """After so many requests of this process the templates are the same again; 0: never."""
        if self._shares is not None or any(isinstance(turn, Deed) for turn in self._turns):
            return 0
        cards = max(map(len, self._instruments), default=1) or 1
        whole = self._cards_after * cards
        return whole if self._shift_after is None else math.lcm(whole, self._shift_after * len(self._turns))

    def tell(self, tally: Tally) -> None:
        """Ask for more than payins, if the scenario does, and tell `tally` what becomes of it."""
        if any(isinstance(turn, Deed) for turn in self._turns):
            host = f"{self._target.host}:{self._target.port}"
            self.deeds = Deeds(self._keys, host, tally, pending_are_cancelled=not self.scenario.whole_flows)

    def token(self, number: int) -> str:
        """The token of request `number`: 26 characters, unique in the run."""
        return f"{self.prefix}{number:012x}"

    def next(self) -> bytes:
        """The bytes of the next request; its number is `number` from then on."""
        self.number = number = self.number + self._step
        self.count += 1
        if self.deeds is not None and self.count > self.scenario.stock:
            turn = self._turn(number // self._step)
            if isinstance(turn, Deed):
                asked = self.deeds.ask(turn, number, self.token(number))
                if asked is not None:
                    return asked[0] or self.again(asked[1].number)
        return self.again(number)

    def again(self, number: int) -> bytes:
        """The bytes of the payin that is created by request `number`, the same each time."""
        token = b"%b%012x" % (self._prefix, number)
        own = number // self._step
        if self._round:
            return self._round[own % self._period] % (token, token)
        if 0 < self._period <= _FEW and own > self._period:
            self._round = [
                self._template_of(before, self._place(before * self._step)) for before in range(self._period)
            ]
        return self._template_of(own, self._place(number)) % (token, token)

    def _template_of(self, own: int, place: int) -> bytes:
        turn = self._turn(own)
        if isinstance(turn, Deed):
            turn = own % len(self.scenario.bodies)
        cards = self._instruments[place] if self._instruments else ()
        card = own // self._cards_after % len(cards) if cards else 0
        return self._templates.get((place, turn, card)) or self._template(place, turn, card)

    def known(self, number: int, digits: bytes) -> Known:
        """The payin that request `number` created."""
        turn = self._turn(number // self._step)
        if isinstance(turn, Deed):
            turn = number // self._step % len(self.scenario.bodies)
        return Known(number, self._place(number), digits, self._amounts[turn])

    def _turn(self, own: int) -> int | Deed:
        """What request `own` of this process is. It moves on by one when keys and turns would only meet the same."""
        shift = own // self._shift_after if self._shift_after is not None else 0
        return self._turns[(own + shift) % len(self._turns)]

    def _place(self, number: int) -> int:
        """Whose request it is: by turns, or where multiples of the golden ratio fall among the shares."""
        if self._shares is None:
            return number // self._step % len(self._keys)
        return bisect(self._shares, number * _GOLDEN % 1.0)

    def _template(self, place: int, turn: int, card: int) -> bytes:
        body = self.scenario.bodies[turn]
        if self._instruments:
            body = body.replace(INSTRUMENT, self._instruments[place][card])
        made = _template(self.scenario, body, self._target, self._keys[place], len(self.token(0)), self._timeout_ms)
        self._templates[place, turn, card] = made
        return made


def _zipf(count: int, skew: float) -> list[float]:
    """Where the shares of the second, third … merchant begin, of 1 in all."""
    weights = [1 / rank**skew for rank in range(1, count + 1)]
    whole = sum(weights)
    return [upto / whole for upto in accumulate(weights)][:-1]


def _amount(body: str) -> int:
    """What a body asks for, minor units; 0 if it does not say."""
    try:
        return int(json.loads(body).get("amount", 0))
    except ValueError:
        return 0


def _template(
    scenario: Scenario, body: str, target: Target, key: str, token_length: int, timeout_ms: int | None
) -> bytes:
    """The request as a bytes pattern with two places for the token: the head's and the body's."""
    if "\r" in key or "\n" in key:
        raise ValueError("a key has no line breaks")
    length = len(body.encode()) + token_length - len(TOKEN)
    deadline = "" if timeout_ms is None else f"Request-Timeout-Ms: {timeout_ms}\r\n"
    head = (
        f"{scenario.method} {scenario.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"{deadline}Content-Length: {length}\r\nIdempotency-Key: {TOKEN}\r\n\r\n"
    )
    if body.count(TOKEN) != 1:
        raise ValueError(f"every body of {scenario.name} has to hold {TOKEN} once")
    return (head + body).replace("%", "%%").encode().replace(TOKEN.encode(), b"%b")
