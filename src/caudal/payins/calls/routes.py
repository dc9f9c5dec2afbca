"""Which provider is asked, and which one after that: what a payin and this process know, and the choice made of it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from typing import Final, NamedTuple
from uuid import UUID

from caudal import routing
from caudal.kernel.context import Context, answered, reading_until
from caudal.kernel.telemetry import apart
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

log = logging.getLogger(__name__)

# What a fresh process reads of when it first chooses by success rate, and how soon again where that failed.
_RECENT_MAX: Final = 5_000
_RECENT_S: Final = 3_600.0
_AGAIN_S: Final = 5.0
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
    """The rates of this process. What was before it is read once, by a task of its own: no payin waits for a figure
    that only ranks providers."""

    def __init__(self, context: Context) -> None:
        self.rates = Rates()
        self.is_filled = False
        self._context = context
        self._reading: asyncio.Task[None] | None = None
        self._again_at = 0.0
        context.closing.append(self._close)

    def remember(self) -> None:
        """Begins to read what was before, unless that is done or under way, or has just failed."""
        if not self.is_filled and self._reading is None and time.monotonic() >= self._again_at:
            self._read()

    async def remembered(self, deadline: float | None) -> None:
        """Waits until it is read. Raises Retry where it cannot be, or is not by the deadline (monotonic seconds)."""
        if not self.is_filled:
            await answered(asyncio.shield(self._reading or self._read()), deadline)

    def _read(self) -> asyncio.Task[None]:
        self._reading = asyncio.create_task(self._fill(), name="recent", context=apart())
        self._reading.add_done_callback(self._ended)
        return self._reading

    async def _fill(self) -> None:
        with reading_until(None):  # not by the deadline of whoever happened to choose first
            shards = await self._context.every_shard()
            pages = [await store.recent_payins(self._context, shard, _RECENT_S, _RECENT_MAX) for shard in shards]
        rates = Rates()
        for payin in sorted(itertools.chain.from_iterable(pages), key=lambda payin: payin.id.int >> _TIME):
            _recall(rates, payin)
        self.rates.learn(rates, time.time())
        self.is_filled = True

    def _ended(self, reading: asyncio.Task[None]) -> None:
        self._reading = None
        error = None if reading.cancelled() else reading.exception()
        if error is not None:
            self._again_at = time.monotonic() + _AGAIN_S
            log.warning("how providers did in the last hour is not known: %s", error)

    async def _close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})


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
        context.once(Recent).remember()
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


async def remembered(context: Context, deadline: float | None) -> None:
    """Waits until this process has learned of the last hour: from the payins of it, of each shard the newest ones if
    there are many. Raises Retry where they cannot be read by the deadline (monotonic seconds)."""
    await context.once(Recent).remembered(deadline)


def _recall(rates: Rates, payin: Payin) -> None:
    """What came of a payin's attempts, at the time in its id: that of its beginning, whatever its book's clock says."""
    at_s = (payin.id.int >> _TIME) / 1000
    for attempt in payin.details().attempts[:-1]:
        _count(rates, payin, attempt.provider, at_s, succeeded=False)
    if payin.deposit_number is None and payin.status in _SUCCEEDED + _FAILED:
        _count(rates, payin, payin.carrier, at_s, succeeded=payin.status in _SUCCEEDED)
