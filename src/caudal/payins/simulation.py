"""What a routing profile would do with the payins of a time that is over. Reads alone; nothing is written.

In a replay every provider counts as available, whatever it is now: the question is where payins would go, not how the
last minutes were. A split says the same of a payin as it did when the payin was made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from caudal import routing
from caudal.connectors import Cost
from caudal.kernel.clock import rfc3339
from caudal.kernel.context import Context
from caudal.merchants import Caller
from caudal.payins import calls, store
from caudal.payins.model import Payin
from caudal.routing import Offer, Profile

REPLAYED_MAX: Final = 10_000
_PAGE: Final = 200  # choices between two looks at other requests


class ReplayedCost(msgspec.Struct, frozen=True, kw_only=True):
    """What providers take for the replayed payins of one currency, where a cost is configured; minor units."""

    currency: str
    went: int
    would: int


class ReplayedProvider(msgspec.Struct, frozen=True, kw_only=True):
    """How many payins went to a provider first, and how many would."""

    provider: str
    went: int
    would: int


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True):
    """The payins of a time under another profile. `cut`: there are older ones in that time, which were not looked at.

    `moved` would go elsewhere first, `unroutable` nowhere. Success is what recent rates let expect of first attempts.
    """

    replayed_from: str
    replayed_to: str
    payins: int
    cut: bool
    moved: int
    unroutable: int
    providers: list[ReplayedProvider]
    costs: list[ReplayedCost]
    expected_success_went: float | None
    expected_success_would: float | None


class _Tally:
    """What has been counted so far."""

    def __init__(self) -> None:
        self.went, self.would = Counter[str](), Counter[str]()
        self.cost_went, self.cost_would = Counter[str](), Counter[str]()
        self.payins = self.moved = self.unroutable = 0
        self.success_went = self.success_would = 0.0

    def count(self, payin: Payin, offers: dict[str, Offer], first: str | None) -> None:
        """One payin, and where it would go."""
        was = payin.provider(1)
        assert was is not None, "it went somewhere"
        self.payins += 1
        self.went[was] += 1
        self.success_went += _expected(offers, was)
        self.cost_went[payin.currency] += _cost(offers, was, payin.amount_minor)
        if first is None:
            self.unroutable += 1
            return
        self.moved += first != was
        self.would[first] += 1
        self.success_would += _expected(offers, first)
        self.cost_would[payin.currency] += _cost(offers, first, payin.amount_minor)


def _expected(offers: dict[str, Offer], provider: str) -> float:
    found = offers.get(provider)
    return 0.5 if found is None else found.rate.expected


def _cost(offers: dict[str, Offer], provider: str, amount_minor: int) -> int:
    found = offers.get(provider)
    cost: Cost | None = None if found is None else found.cost
    return 0 if cost is None else cost.of(amount_minor)


async def replay(
    context: Context,
    caller: Caller,
    profile: Profile | None,
    since: datetime,
    until: datetime,
    deadline: float | None,
) -> ReplayBody:
    """The caller's payins of a time, newest first, under a profile; at most REPLAYED_MAX of them.

    Raises Retry where how providers did is not known by the deadline (monotonic seconds).
    """
    tally, place = _Tally(), (store.FAR_OFF, store.LAST)
    narrow = store.Filter(since=since, until=until)
    await calls.remembered(context, deadline)
    looked, oldest, more = 0, until, True
    while more and looked < REPLAYED_MAX:
        page = (await store.payins_before(context, caller.shard, caller.book, place, narrow, _PAGE + 1)).rows
        rows, more = page[:_PAGE], len(page) > _PAGE
        await _replay_page(context, caller, profile, rows, tally)
        looked += len(rows)
        if rows:
            oldest, place = rows[-1].created_at, (rows[-1].created_at, rows[-1].id)
    would = tally.payins - tally.unroutable
    return ReplayBody(
        replayed_from=rfc3339(oldest if more else since),
        replayed_to=rfc3339(until),
        payins=tally.payins,
        cut=more,
        moved=tally.moved,
        unroutable=tally.unroutable,
        providers=[
            ReplayedProvider(provider=name, went=tally.went[name], would=tally.would[name])
            for name in sorted(tally.went | tally.would)
        ],
        costs=[
            ReplayedCost(currency=currency, went=tally.cost_went[currency], would=tally.cost_would[currency])
            for currency in sorted(tally.cost_went | tally.cost_would)
        ],
        expected_success_went=tally.success_went / tally.payins if tally.payins else None,
        expected_success_would=tally.success_would / would if would else None,
    )


async def _replay_page(
    context: Context, caller: Caller, profile: Profile | None, rows: Sequence[Payin], tally: _Tally
) -> None:
    rows = [payin for payin in rows if payin.deposit_number is None]  # transfers go to no provider
    bins: dict[str, str] = {}
    if profile is not None and profile.looks_at_card:
        chosen = [payin.details().chosen for payin in rows]
        wanted = {one.instrument for one in chosen if one is not None and one.instrument is not None}
        bins = {card.id.hex: card.bin for card in await store.instruments(context, caller.shard, wanted)}
    offered: dict[tuple[str, str, str], dict[str, Offer]] = {}
    for payin in rows:
        facts, used = calls.routing_facts(payin), payin.details().chosen
        if used is not None and used.instrument is not None:
            facts = facts.with_bin(bins.get(used.instrument.hex))
        kind = (payin.method, payin.country, payin.currency)
        if kind not in offered:
            found = calls.offers(context, facts, live=caller.live)
            offered[kind] = {name: msgspec.structs.replace(offer, why_not=None) for name, offer in found.items()}
        candidates = routing.choose(profile, facts, offered[kind]).candidates
        tally.count(payin, offered[kind], candidates[0].provider if candidates else None)
