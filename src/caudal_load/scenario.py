"""What a request says, as data: a scenario is a record, and a request is one of its templates with one token filled in.

The token is all that is made for a request. It stands as `Idempotency-Key` and as `reference`, has a fixed length (so
that `Content-Length` is a constant), and names the run, so that the payins of a run can be told from all others
afterwards. What else differs (the merchant, the body of a mix, the card) goes round by the request's number.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from caudal_load.flows import CARD, SPEI, mix

TOKEN, INSTRUMENT = "{token}", "{instrument}"


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

    @property
    def instruments(self) -> bool:
        """Whether cards are needed beforehand."""
        return any(INSTRUMENT in body for body in self.bodies)


SPEI_CREATE = Scenario(
    name="spei-create",
    method="POST",
    path="/v1/payins",
    bodies=(SPEI,),
    acknowledged=frozenset({201}),
    id_prefix="payin_",
)
CARD_CAPTURED = Scenario(
    name="card-captured",
    method="POST",
    path="/v1/payins",
    bodies=(CARD,),
    acknowledged=frozenset({201}),
    id_prefix="payin_",
    outcomes=frozenset({b"paid", b"submitting"}),
    counted=frozenset({b"paid"}),
    through_provider=True,
)
MIXED = Scenario(
    name="mixed",
    method="POST",
    path="/v1/payins",
    bodies=mix(),
    acknowledged=frozenset({201}),
    id_prefix="payin_",
    outcomes=frozenset({b"paid", b"pending", b"submitting"}),
    through_provider=True,
    whole_flows=True,
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {scenario.name: scenario for scenario in (SPEI_CREATE, CARD_CAPTURED, MIXED)}
)


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
    """The requests of one side of a run, numbered from 0 and spread evenly over keys, bodies and cards.

    `instruments` are the cards of each key, as many for each; none where the scenario needs none. `timeout_ms` is the
    deadline that every request names; None: caudal's own.
    """

    def __init__(
        self,
        scenario: Scenario,
        target: Target,
        keys: list[str],
        run: str | None = None,
        instruments: Sequence[Sequence[str]] = (),
        timeout_ms: int | None = None,
    ) -> None:
        self.scenario = scenario
        self.run = run or secrets.token_hex(4)
        self.count = 0
        self.prefix = f"load-{self.run}-"
        self._prefix = self.prefix.encode()
        length = len(self.token(0))
        turns = range(len(instruments[0])) if instruments else ()
        rounds = [[cards[turn] for cards in instruments] for turn in turns] or [[]]
        self._templates = [
            _template(
                scenario, body.replace(INSTRUMENT, cards[place] if cards else ""), target, key, length, timeout_ms
            )
            for cards in rounds
            for body in scenario.bodies
            for place, key in enumerate(keys)
        ]

    def token(self, number: int) -> str:
        """The token of request `number`: 26 characters, unique in the run."""
        return f"{self.prefix}{number:012x}"

    def next(self) -> bytes:
        """The bytes of the next request; its number was `count` before the call."""
        number = self.count
        self.count = number + 1
        return self.again(number)

    def again(self, number: int) -> bytes:
        """The bytes of request `number`, the same each time."""
        token = b"%b%012x" % (self._prefix, number)
        return self._templates[number % len(self._templates)] % (token, token)


def _with_card(body: str, cards: Sequence[str], place: int) -> str:
    return body.replace(INSTRUMENT, cards[place] if cards else "")


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
