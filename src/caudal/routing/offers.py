"""What there is to choose from now: providers, whether they may be asked, what they cost and how they have done."""

from __future__ import annotations

from typing import Final

from caudal.connectors import available, door, links, takers
from caudal.kernel.context import Context
from caudal.routing.model import Facts, Offer
from caudal.routing.rates import Rates

_BUSY: Final = "so many wait for it that it would not answer in time"
_AWAY: Final = "it does not answer at the moment, or is asked nothing new"


def provider_names(context: Context, *, live: bool) -> tuple[str, ...]:
    """The names that a rule may have: the providers of this mode, in the order of the configuration."""
    mode = "live" if live else "test"
    return tuple(link.provider.name for link in links(context) if link.provider.mode == mode)


def offers_of(
    context: Context, facts: Facts, rates: Rates, at_s: float, *, live: bool, until: float | None = None
) -> dict[str, Offer]:
    """The providers that offer a payment, in the order of the configuration, with what a choice looks at.

    `until` is monotonic seconds: whoever is so busy that a call would end later is away, too.
    """
    offers = {}
    for provider in takers(context, facts.method, facts.country, "live" if live else "test"):
        name, here = provider.name, available(context, provider.name, facts.method, provider.mode)
        why_not = None if here else _AWAY
        if here and until is not None and door(context, name, provider.mode).refusal(until) is not None:
            why_not = _BUSY
        cost = provider.cost(facts.method, facts.currency)
        offers[name] = Offer(
            provider=name,
            why_not=why_not,
            cost=cost,
            rate=rates.of(name, facts.method, facts.country, at_s),
        )
    return offers
