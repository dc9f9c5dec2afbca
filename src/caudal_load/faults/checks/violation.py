"""What a check finds."""

from enum import StrEnum
from typing import NamedTuple


class Harm(StrEnum):
    """What it means for whoever trusted us."""

    LOST = "lost"
    """Something acknowledged is not there, or not as it was answered."""
    DOUBLED = "doubled"
    """Something happened twice, or though it was refused."""
    STUCK = "stuck"
    """Something never came to its end."""
    WRONG = "wrong"
    """The books contradict themselves or the rules."""


class Violation(NamedTuple):
    """One thing that is not as promised."""

    check: str
    harm: Harm
    what: str
