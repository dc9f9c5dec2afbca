"""Which providers are asked for a payin, in which order, and why. Pure: the same facts make the same choice.

Rules are looked at in their order. Of a rule whose conditions hold, the providers that can be asked now are candidates;
the next rule that holds adds its own behind them, and behind all rules stands every provider in the order of their
configuration. So a rule all of whose providers are unusable is passed over, and a payin whose first attempt comes to
nothing goes on along the same list.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final
from uuid import UUID

from caudal.routing.model import (
    DEFAULT_RULE,
    IN_ORDER,
    Candidate,
    Choice,
    Choose,
    Considered,
    Facts,
    Offer,
    Profile,
    Rule,
    When,
)

_PERCENT: Final = 100


def choose(profile: Profile | None, facts: Facts, offers: Mapping[str, Offer]) -> Choice:
    """The candidates for a payin. `offers` are the providers that can make it, in the order of their configuration."""
    candidates: dict[str, Candidate] = {}
    considered: list[Considered] = []
    for rule in () if profile is None else profile.rules:
        why = _unmatched(rule.when, facts)
        if why is not None:
            considered.append(Considered(rule=rule.name, reason=why))
            continue
        for provider, reason in _ordered(rule, facts, offers):
            considered.append(_consider(rule.name, provider, reason, offers, candidates))
    for provider in offers:
        considered.append(_consider(DEFAULT_RULE, provider, IN_ORDER, offers, candidates))
    return Choice(candidates=tuple(candidates.values()), considered=tuple(considered))


def _consider(
    rule: str, provider: str, reason: str, offers: Mapping[str, Offer], candidates: dict[str, Candidate]
) -> Considered:
    offer = offers.get(provider)
    if provider in candidates:
        return Considered(rule=rule, provider=provider, reason="it is a candidate already")
    if offer is None:
        return Considered(rule=rule, provider=provider, reason="it does not offer this payment")
    if offer.why_not is not None:
        return Considered(rule=rule, provider=provider, reason=offer.why_not)
    candidates[provider] = Candidate(provider=provider, rule=rule, reason=reason)
    return Considered(rule=rule, provider=provider, place=len(candidates), reason=reason)


def _unmatched(when: When, facts: Facts) -> str | None:
    """Why a rule is not for this payin, or None."""
    if when.countries and facts.country not in when.countries:
        return f"the country is {facts.country}"
    if when.methods and facts.method not in when.methods:
        return f"the method is {facts.method}"
    if when.currencies and facts.currency not in when.currencies:
        return f"the currency is {facts.currency}"
    if when.amount_from is not None and facts.amount_minor < when.amount_from:
        return "the amount is lower"
    if when.amount_to is not None and facts.amount_minor > when.amount_to:
        return "the amount is higher"
    if when.bins and (facts.bin is None or not facts.bin.startswith(when.bins)):
        return "the card begins otherwise" if facts.bin is not None else "no card is known"
    for key, values in when.metadata.items():
        if facts.metadata.get(key) not in values:
            return f"the metadata's {key} is another"
    return None if when.risk_from is None and when.risk_to is None else _other_risk(when, facts.risk_score)


def _other_risk(when: When, score: int | None) -> str | None:
    """Why a payin's risk is not the rule's; a payin that nobody has scored is of no rule that asks for a score."""
    if score is None:
        return "no risk score is known"
    if when.risk_from is not None and score < when.risk_from:
        return f"the risk score is {score}, lower"
    return f"the risk score is {score}, higher" if when.risk_to is not None and score > when.risk_to else None


def _ordered(rule: Rule, facts: Facts, offers: Mapping[str, Offer]) -> Iterator[tuple[str, str]]:
    """A rule's providers in the order in which it would ask them, each with its reason."""
    choose = rule.choose
    match choose.by:
        case "order":
            for place, provider in enumerate(choose.providers, 1):
                yield provider, f"number {place} of the rule's list"
        case "split":
            yield from _split(rule.name, choose, facts.payin)
        case "least_cost":
            yield from _cheapest(choose, facts.amount_minor, offers)
        case "success_rate":
            yield from _best(choose, facts.payin, offers)


def _split(rule: str, choose: Choose, payin: UUID) -> Iterator[tuple[str, str]]:
    """The share that the payin's own hash falls into, then the others, the largest first."""
    drawn = int.from_bytes(blake2b(payin.bytes + rule.encode(), digest_size=8).digest(), "big") % _PERCENT
    end, first = 0, ""
    for provider, share in choose.shares.items():
        end += share
        if drawn < end:
            first = provider
            break
    yield first, f"its share is {choose.shares[first]} %, and the payin falls into it"
    for provider in sorted(choose.shares, key=lambda name: (-choose.shares[name], name)):
        if provider != first:
            yield provider, f"its share is {choose.shares[provider]} %, and the payin falls into another"


def _cheapest(choose: Choose, amount_minor: int, offers: Mapping[str, Offer]) -> Iterator[tuple[str, str]]:
    """By cost; what has none configured comes last, because nobody knows what it takes."""
    costs: list[tuple[bool, int, int, str]] = []
    for place, provider in enumerate(choose.providers or tuple(offers)):
        offer = offers.get(provider)
        cost = None if offer is None or offer.cost is None else offer.cost.of(amount_minor)
        costs.append((cost is None, cost or 0, place, provider))
    for unknown, cost, _, provider in sorted(costs):
        yield provider, "no cost of it is configured" if unknown else f"it takes {cost}"


def _best(choose: Choose, payin: UUID, offers: Mapping[str, Offer]) -> Iterator[tuple[str, str]]:
    """Thompson sampling: a draw from what each one's success rate may be, seeded by the payin. Whoever is known to be
    good is mostly first; whoever is little known is tried as often as it may yet turn out better, and no oftener.
    """
    draws: list[tuple[float, int, str, float]] = []
    for place, provider in enumerate(choose.providers or tuple(offers)):
        offer = offers.get(provider)
        if offer is None:
            draws.append((0.0, place, provider, 0.0))
            continue
        seed = int.from_bytes(blake2b(payin.bytes + provider.encode(), digest_size=8).digest(), "big")
        rate = offer.rate
        draw = random.Random(seed).betavariate(rate.succeeded + 1, rate.failed + 1)
        draws.append((-draw, place, provider, rate.expected))
    for draw, _, provider, expected in sorted(draws):
        yield provider, f"{expected:.1%} succeeded lately; drawn {-draw:.3f}"
