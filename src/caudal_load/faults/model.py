"""The nouns: a fault, a plan of faults, and the world that they happen to.

A fault names a kind, a target and when it begins and ends, in seconds since the run's. What a fault of a kind does to
a target, and what shows that it really happened, is the table in `kinds.py`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

Parameter = int | float | str
PROVIDERS = {"sandbox": "", "norte": "/providers/norte"}
"""The sandbox's providers, in the order in which payins go to them, and where each stands in it."""


class BadFaults(Exception):
    """The plan cannot be made or carried out here; the message says why and what to do."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that goes wrong: `kind` happens to `target` at `at_s` and, where that means anything, lasts `for_s`."""

    at_s: float
    kind: str
    target: str
    for_s: float
    parameters: dict[str, Parameter] = {}

    @property
    def name(self) -> str:
        """How it is planned and counted: `kill:web`."""
        return f"{self.kind}:{self.target}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All faults of a run, in the order of their beginning. The same seed, seconds and kinds make the same plan."""

    seed: int
    seconds: float
    faults: Sequence[Fault]

    def planned(self) -> Counter[str]:
        """How often each fault is to happen, by name."""
        return Counter(fault.name for fault in self.faults)

    def as_json(self) -> bytes:
        """The plan as it is kept."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


def plan_from_json(text: bytes | str) -> Plan:
    """A plan that was kept. Raises BadFaults."""
    try:
        return msgspec.json.decode(text, type=Plan)
    except msgspec.DecodeError as error:
        raise BadFaults(f"this is no plan: {error}") from error


class World(Protocol):
    """A whole caudal in which faults happen, with what a run needs of it."""

    api_urls: list[str]
    """Of each API process; a client goes to the next one when one does not answer."""
    operator_key: str
    database_url: str
    """The database itself, past every fault between caudal and it: for checks."""
    sandbox_url: str
    """The sandbox itself, likewise: for payers and checks."""
    happened: Counter[str]
    """By a fault's name, how often it really took effect, as its evidence says."""

    def webhook_url_of(self, port: int) -> str:
        """Where caudal reaches a receiver on this port of this machine: through the proxy."""
        ...

    def processes(self) -> Mapping[str, Sequence[int]]:
        """The process ids that run now, by kind: web, worker, sandbox, postgres."""
        ...

    def ordered(self) -> str | None:
        """The magic amount (four last digits) that is the order of the moment to the provider; None: an ordinary one.

        A client that makes a payment or an operation with a provider asks, and makes its amount end so.
        """
        ...

    async def inject(self, fault: Fault) -> None:
        """Begin a fault; its end comes by itself. Returns when it has begun."""
        ...

    async def heal(self) -> None:
        """End every fault; returns when every process runs and every API process says that it is ready."""
        ...
