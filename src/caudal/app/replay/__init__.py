"""Replays every posting of a shard through a model of its own and reports each difference by name.

Shares no code with `caudal.ledger`: what the two must agree on is written down in docs/money.md, and twice in code.
"""

from caudal.app.replay.model import Difference, Model
from caudal.app.replay.reading import Replayed, replay

__all__ = ["Difference", "Model", "Replayed", "replay"]
