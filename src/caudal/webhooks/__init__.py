"""Webhooks: merchants hear of their events where they want, signed, in order where possible, and again if need be.

`fan_out` makes deliveries of events, a `Deliverer` sends them, `lag_s` says how far both are behind.
"""

from caudal.webhooks.asked import TYPES
from caudal.webhooks.deliverer import Deliverer
from caudal.webhooks.jobs import JOBS
from caudal.webhooks.model import SCHEDULE_S
from caudal.webhooks.reactions import fan_out
from caudal.webhooks.signing import BadSignature, verify
from caudal.webhooks.store import lag_s

__all__ = ["JOBS", "SCHEDULE_S", "TYPES", "BadSignature", "Deliverer", "fan_out", "lag_s", "verify"]
