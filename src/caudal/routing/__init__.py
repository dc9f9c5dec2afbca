"""Routing: which provider a payin goes to, by a merchant's rules, and after which declines to the next one.

`choose` is pure; `offers_of` and `usable` say what there is to choose from, `profile` by which rules, `Rates` how they
have done.
"""

from caudal.routing.asked import ProfileAsked, profile_rules
from caudal.routing.decide import choose
from caudal.routing.declines import DECLINES, is_soft
from caudal.routing.model import (
    ATTEMPTS,
    DEFAULT_RULE,
    IN_ORDER,
    RISK_MAX,
    Candidate,
    Choice,
    Considered,
    Facts,
    Offer,
    Profile,
)
from caudal.routing.offers import offers_of, provider_names, usable
from caudal.routing.rates import Rates
from caudal.routing.store import profile

__all__ = [
    "ATTEMPTS",
    "DECLINES",
    "DEFAULT_RULE",
    "IN_ORDER",
    "RISK_MAX",
    "Candidate",
    "Choice",
    "Considered",
    "Facts",
    "Offer",
    "Profile",
    "ProfileAsked",
    "Rates",
    "choose",
    "is_soft",
    "offers_of",
    "profile",
    "profile_rules",
    "provider_names",
    "usable",
]
