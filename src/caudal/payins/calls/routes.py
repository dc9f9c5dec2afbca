"""Which provider is asked, and which one after that: what a payin and this process know, and the choice made of it."""

from __future__ import annotations

import itertools
import time
from typing import Final, NamedTuple
from uuid import UUID

from caudal import routing
from caudal.kernel.context import Context
from caudal.payins import store
from caudal.payins.decide import Created
from caudal.payins.model import Attempt, Payin
from caudal.payins.states import Status
from caudal.routing import (
    ATTEMPTS,
    DEFAULT_RULE,
    IN_ORDER,
    Candidate,
    Choice,
    Offer,
    Profile,
    Rates,
    offers_of,
    usable,
)

# What a fresh process reads of before its first choice by success rate.
_RECENT_MAX: Final = 5_000
_RECENT_S: Final = 3_600.0
_TIME: Final = 80  # an id's bits behind its milliseconds
_SUCCEEDED: Final = (Status.AUTHORIZED, Status.PAID)
_FAILED: Final = (Status.DECLINED, Status.FAILED)


class Route(NamedTuple):
    """What a choice is made of: a merchant's profile, if one is active, and what is known of the payin."""

    profile: Profile | None
    facts: routing.Facts
    live: bool

    @property
    def attempts_max(self) -> int:
        """How many providers may be asked."""
        return ATTEMPTS if self.profile is None else self.profile.attempts_max


class Recent:
    """The rates of this process, and whether they know of the time before it."""

    def __init__(self, _: Context) -> None:
        self.rates, self.is_filled = Rates(), False


async def route(
    context: Context, shard: int, facts: routing.Facts, *, live: bool, profile: UUID | None, instrument: UUID | None
) -> Route:
    """The way to choose for a payin. A card is looked at where a rule of the profile asks for it."""
    if profile is None:
        return Route(None, facts, live)
    rules = await routing.profile(context, shard, profile)
    if rules is not None and rules.looks_at_card and instrument is not None:
        card = await store.instrument(context, shard, instrument)
        facts = facts.with_bin(None if card is None else card.bin)
    if rules is not None and rules.looks_at_rates:
        await remember(context)
    return Route(rules, facts, live)


async def route_of(context: Context, shard: int, payin: Payin) -> Route:
    """The same for a payin that exists: by the profile that it began with."""
    detail, facts = payin.details(), routing_facts(payin)
    instrument = None if detail.chosen is None else detail.chosen.instrument
    return await route(context, shard, facts, live=payin.live, profile=detail.routing, instrument=instrument)


def routing_facts(payin: Payin) -> routing.Facts:
    """What a rule may look at."""
    detail = payin.details()
    return routing.Facts(
        payin=payin.id,
        country=payin.country,
        method=payin.method,
        currency=payin.currency,
        amount_minor=payin.amount_minor,
        metadata=detail.metadata,
        risk_score=detail.risk_score,
    )


def offers(context: Context, facts: routing.Facts, *, live: bool, until: float | None = None) -> dict[str, Offer]:
    """What there is to choose from in this process now, for a call that has to end `until` then if that is said."""
    return offers_of(context, facts, context.once(Recent).rates, time.time(), live=live, until=until)


def choice(context: Context, way: Route, until: float | None = None) -> Choice:
    """The candidates as things stand now."""
    return routing.choose(way.profile, way.facts, offers(context, way.facts, live=way.live, until=until))


def next_attempt(
    context: Context, way: Route, attempts: tuple[Attempt, ...] = (), until: float | None = None
) -> Attempt | None:
    """Whom to ask next; None where nobody is left, or enough were asked. The decision sets when it begins.

    Whoever has no room `until` then, monotonic seconds, is passed over.
    """
    tried = {attempt.provider for attempt in attempts}
    if way.profile is None:  # most payins: the first two in the order of the configuration say all
        names = (name for name in usable(context, way.facts, live=way.live, until=until) if name not in tried)
        left = [Candidate(provider=name, rule=DEFAULT_RULE, reason=IN_ORDER) for name in itertools.islice(names, 2)]
    else:
        left = [one for one in choice(context, way, until).candidates if one.provider not in tried]
    number = len(attempts) + 1
    if not left or number > way.attempts_max:
        return None
    first = left[0]
    more = len(left) > 1 and number < way.attempts_max
    return Attempt(provider=first.provider, begun_at=store.LONG_AGO, rule=first.rule, why=first.reason, more=more)


# How providers do


def note_outcome(context: Context, told: Created | None) -> None:
    """A payment stands as it was said: counted where it came to something by that, which it does once."""
    if told is None or (told.was is not Status.SUBMITTING and told.was is not Status.PENDING):
        return
    payin = told.payin
    if payin.status in _SUCCEEDED or payin.status in _FAILED:
        note_end(context, payin, succeeded=payin.status in _SUCCEEDED)


def note_end(context: Context, payin: Payin, *, succeeded: bool) -> None:
    """The attempt that carries a payin has come to something."""
    _count(context.once(Recent).rates, payin, payin.carrier, time.time(), succeeded=succeeded)


def _count(rates: Rates, payin: Payin, provider: str, at_s: float, *, succeeded: bool) -> None:
    rates.note(provider, payin.method, payin.country, live=payin.live, succeeded=succeeded, at_s=at_s)


async def remember(context: Context) -> None:
    """A fresh process learns of the last hour from the payins of it, of each shard the newest ones if there are many.

    Raises Retry where they cannot be read; the next one who asks tries it again. What this process has counted before
    is among them, so that they take its place.
    """
    known = context.once(Recent)
    if known.is_filled:
        return
    known.is_filled = True  # or is about to be: who comes meanwhile chooses by what there is
    try:
        shards = await context.every_shard()
        pages = [await store.recent_payins(context, shard, _RECENT_S, _RECENT_MAX) for shard in shards]
    except BaseException:  # whoever asked may have gone away, too
        known.is_filled = False
        raise
    rates = Rates()
    for payin in sorted(itertools.chain.from_iterable(pages), key=lambda payin: payin.id.int >> _TIME):
        _recall(rates, payin)
    known.rates = rates


def _recall(rates: Rates, payin: Payin) -> None:
    """What came of a payin's attempts, at the time in its id: that of its beginning, whatever its book's clock says."""
    at_s = (payin.id.int >> _TIME) / 1000
    for attempt in payin.details().attempts[:-1]:
        _count(rates, payin, attempt.provider, at_s, succeeded=False)
    if payin.deposit_number is None and payin.status in _SUCCEEDED + _FAILED:
        _count(rates, payin, payin.carrier, at_s, succeeded=payin.status in _SUCCEEDED)
