"""The nouns of routing: a profile with its rules, what is known of a payin and of providers, and a choice."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from caudal.connectors import Cost
from caudal.kernel import ids
from caudal.kernel.clock import rfc3339

ATTEMPTS_MAX: Final = 5
ATTEMPTS: Final = 3  # where no profile says otherwise
DEFAULT_RULE: Final = "default"
RISK_MAX: Final = 100
IN_ORDER: Final = "in the order of configuration"  # its reason

Way = Literal["order", "split", "least_cost", "success_rate"]


class When(msgspec.Struct, frozen=True, kw_only=True):
    """Conditions, all of which have to hold; an empty one holds always. Amounts are minor units of one currency."""

    countries: Annotated[tuple[str, ...], Meta(description="ISO 3166-1 alpha-2")] = ()
    methods: tuple[str, ...] = ()
    currencies: Annotated[tuple[str, ...], Meta(description="ISO 4217")] = ()
    amount_from: Annotated[int | None, Meta(description="this amount or more; needs one currency")] = None
    amount_to: Annotated[int | None, Meta(description="this amount or less; needs one currency")] = None
    bins: Annotated[tuple[str, ...], Meta(description="a card's first digits, 2 to 8 of them")] = ()
    metadata: Annotated[
        dict[str, tuple[str, ...]], Meta(description="a payin's metadata: the key has one of these values")
    ] = {}
    risk_from: Annotated[int | None, Meta(description="this risk score or more; without a score it does not hold")] = (
        None
    )
    risk_to: Annotated[int | None, Meta(description="this risk score or less; without a score it does not hold")] = None


class Choose(msgspec.Struct, frozen=True, kw_only=True):
    """How a rule chooses: in the given order; by shares in percent; the cheapest; the one that succeeds most.

    The last two choose among all providers unless some are named.
    """

    by: Way
    providers: Annotated[tuple[str, ...], Meta(description="names of providers")] = ()
    shares: Annotated[dict[str, int], Meta(description="percent by provider, 100 together")] = {}

    @property
    def named(self) -> tuple[str, ...]:
        """The providers that it names."""
        return self.providers or tuple(self.shares)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """For the payins of which its conditions hold: which providers are asked, in which order."""

    name: str
    when: When = When()
    choose: Choose


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a merchant's rules for one of its modes. It never changes; `number` counts from 1."""

    id: UUID
    book: int
    number: int
    name: str
    attempts_max: int
    rules: tuple[Rule, ...]
    created_at: datetime

    @property
    def looks_at_card(self) -> bool:
        """Whether a choice needs to know the card."""
        return any(rule.when.bins for rule in self.rules)

    @property
    def looks_at_rates(self) -> bool:
        """Whether a choice needs to know how providers have done lately."""
        return any(rule.choose.by == "success_rate" for rule in self.rules)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a payin before it is sent."""

    payin: UUID
    country: str
    method: str
    currency: str
    amount_minor: int
    bin: str | None = None
    metadata: dict[str, str] = {}
    risk_score: int | None = None

    def with_bin(self, bin: str | None) -> Facts:
        """The same, knowing how the card begins."""
        return msgspec.structs.replace(self, bin=bin)


class Rate(msgspec.Struct, frozen=True):
    """How many payments succeeded and failed lately, decayed."""

    succeeded: float = 0.0
    failed: float = 0.0

    @property
    def expected(self) -> float:
        """The share that is to be expected; a half where nothing is known."""
        return (self.succeeded + 1) / (self.succeeded + self.failed + 2)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that can make a payment, and why it is not asked now, if so. Its cost where that is configured."""

    provider: str
    why_not: str | None = None
    cost: Cost | None = None
    rate: Rate = Rate()


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that is asked, if those before it come to nothing."""

    provider: str
    rule: str
    reason: str


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a rule, or of a provider under it: a place among the candidates, or why not."""

    rule: str
    provider: str | None = None
    place: int | None = None
    reason: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates in their order, and everything that was looked at on the way."""

    candidates: tuple[Candidate, ...]
    considered: tuple[Considered, ...]


class ProfileBody(msgspec.Struct, frozen=True, kw_only=True):
    """A routing profile as it is shown. `active` is whether new payins are routed by it."""

    id: str
    object: Literal["routing_profile"] = "routing_profile"
    mode: Literal["test", "live"]
    version: int
    name: str
    active: bool
    max_attempts: int
    rules: tuple[Rule, ...]
    created_at: str


def profile_body(profile: Profile, *, active: bool) -> ProfileBody:
    """The profile as it is shown."""
    return ProfileBody(
        id=ids.public("rprof", profile.id),
        mode="live" if profile.book & 1 else "test",
        version=profile.number,
        name=profile.name,
        active=active,
        max_attempts=profile.attempts_max,
        rules=profile.rules,
        created_at=rfc3339(profile.created_at),
    )
