"""Scenarios are files: what is asked for, by whom, in which shape over time, and what it has to keep (docs/load.md).

Those of the product stand in this folder and have the names of their files; others are given by their path.
"""

from caudal_load.scenarios.model import Slo
from caudal_load.scenarios.read import BadScenario, Script, names, read

SPEI_CREATE = read("spei-create").scenario
CARD_CAPTURED = read("card-captured").scenario
MIXED = read("mixed").scenario

__all__ = ["CARD_CAPTURED", "MIXED", "SPEI_CREATE", "BadScenario", "Script", "Slo", "names", "read"]
