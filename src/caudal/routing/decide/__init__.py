"""The judgement of routing: what becomes of a profile, and which providers a payin goes to. Pure."""

from caudal.routing.decide.choice import choose
from caudal.routing.decide.profiles import activate, create

__all__ = ["activate", "choose", "create"]
