"""What a request says, as data: a scenario is a record, and a request is its template with one token filled in.

The token is the only thing that differs between two requests of a run. It stands as `Idempotency-Key` and as
`reference`, has a fixed length (so that `Content-Length` is a constant), and names the run, so that the payins of a run
can be told from all others afterwards.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

TOKEN = "{token}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One kind of request: where it goes, what it says, and which answers acknowledge it."""

    name: str
    method: str
    path: str
    body: str
    """JSON with `{token}` where the token of the request goes."""
    acknowledged: frozenset[int]
    """The statuses that promise that the object is durable."""
    id_prefix: str
    """What the id of the promised object begins with, up to its 32 hexadecimal digits."""


SPEI_CREATE = Scenario(
    name="spei-create",
    method="POST",
    path="/v1/payins",
    body=(
        '{"amount":12050,"currency":"MXN","country":"MX","method":"spei","reference":"{token}",'
        '"payer":{"name":"Ana Pérez","email":"ana@example.com"}}'
    ),
    acknowledged=frozenset({201}),
    id_prefix="payin_",
)

SCENARIOS: Mapping[str, Scenario] = MappingProxyType({scenario.name: scenario for scenario in (SPEI_CREATE,)})


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
    """The requests of one side of a run, numbered from 0 and spread evenly over the keys."""

    def __init__(self, scenario: Scenario, target: Target, keys: list[str], run: str | None = None) -> None:
        self.scenario = scenario
        self.run = run or secrets.token_hex(4)
        self.count = 0
        self.prefix = f"load-{self.run}-"
        self._prefix = self.prefix.encode()
        self._templates = [_template(scenario, target, key, len(self.token(0))) for key in keys]

    def token(self, number: int) -> str:
        """The token of request `number`: 26 characters, unique in the run."""
        return f"{self.prefix}{number:012x}"

    def next(self) -> bytes:
        """The bytes of the next request; its number was `count` before the call."""
        number = self.count
        self.count = number + 1
        token = b"%b%012x" % (self._prefix, number)
        return self._templates[number % len(self._templates)] % (token, token)


def _template(scenario: Scenario, target: Target, key: str, token_length: int) -> bytes:
    """The request as a bytes pattern with two places for the token: the head's and the body's."""
    if "\r" in key or "\n" in key:
        raise ValueError("a key has no line breaks")
    body = scenario.body.replace("%", "%%").encode()
    length = len(scenario.body.encode()) + token_length - len(TOKEN)
    head = (
        f"{scenario.method} {scenario.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\nIdempotency-Key: {TOKEN}\r\n\r\n"
    )
    if scenario.body.count(TOKEN) != 1:
        raise ValueError(f"the body of {scenario.name} has to hold {TOKEN} once")
    return (head.replace("%", "%%").encode() + body).replace(TOKEN.encode(), b"%b")
