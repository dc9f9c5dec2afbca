"""Connectors: one folder a provider, the same names in each. Nothing outside a folder knows its protocol."""

from caudal.connectors import spei
from caudal.connectors.model import DepositReport, ReturnOrder

__all__ = ["DepositReport", "ReturnOrder", "spei"]
