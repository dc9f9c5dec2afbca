"""Settlement: when a merchant's money becomes available, and its statement.

`earned`, `taken`, `given_back` and `line` are for the decisions of whoever moves a merchant's money (decide.py has
their contract), `needs` for their commands; `look_at_clock` for the sandbox's clock; `JOBS` for the worker.
"""

from caudal.settlement.decide import available_on, earned, given_back, line, needs, taken
from caudal.settlement.jobs import JOBS, look_at_clock
from caudal.settlement.model import GivenBack, Movement, Parts, Split

__all__ = [
    "JOBS",
    "GivenBack",
    "Movement",
    "Parts",
    "Split",
    "available_on",
    "earned",
    "given_back",
    "line",
    "look_at_clock",
    "needs",
    "taken",
]
