"""What there is to choose from now: providers, whether they may be asked, what they cost and how they have done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caudal.connectors import BANK, Mode, Provider, available, door, links, takers, why_unavailable
from caudal.kernel.context import Context
from caudal.routing.model import Facts, Offer
from caudal.routing.rates import Rates

_BUSY: Final = "so many wait for it that it would not answer in time"
_AWAY: Final = "it does not answer at the moment"  # where what keeps payments from it has just ended


def provider_names(context: Context, *, live: bool) -> tuple[str, ...]:
    """The names that a rule may have: the providers of this mode, in the order of the configuration."""
    mode = "live" if live else "test"
    found = (link.provider for link in links(context))
    return tuple(provider.name for provider in found if provider.mode == mode and provider.name != BANK)


def offers_of(
    context: Context, facts: Facts, rates: Rates, at_s: float, *, live: bool, until: float | None = None
) -> dict[str, Offer]:
    """The providers that offer a payment, in the order of the configuration, with what a choice looks at.

    `until` is monotonic seconds: whoever is so busy that a call would end later is away, too.
    """
    return {
        provider.name: Offer(
            provider=provider.name,
            why_not=_why_not(context, provider, facts.method, until),
            cost=provider.cost(facts.method, facts.currency),
            rate=rates.of(provider.name, facts.method, facts.country, at_s, live=live),
        )
        for provider in takers(context, facts.method, facts.country, _mode(live))
    }


def usable(context: Context, facts: Facts, *, live: bool, until: float | None = None) -> Iterator[str]:
    """The same providers by name, without those that may not be asked: what a choice comes to that no rule changes."""
    for provider in takers(context, facts.method, facts.country, _mode(live)):
        if available(context, provider.name, facts.method, provider.mode) and not _is_crowded(context, provider, until):
            yield provider.name


def _mode(live: bool) -> Mode:
    return "live" if live else "test"


def _why_not(context: Context, provider: Provider, method: str, until: float | None) -> str | None:
    if not available(context, provider.name, method, provider.mode):
        return why_unavailable(context, provider.name, provider.mode) or _AWAY
    return _BUSY if _is_crowded(context, provider, until) else None


def _is_crowded(context: Context, provider: Provider, until: float | None) -> bool:
    return until is not None and door(context, provider.name, provider.mode).refusal(until) is not None
