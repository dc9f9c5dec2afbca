"""Payins: a merchant asks for a payment, the payer pays, the money is in the ledger, the merchant is told."""

from caudal.payins.jobs import JOBS
from caudal.payins.reactions import project_search
from caudal.payins.states import Status
from caudal.payins.store import drop_unused_files

__all__ = ["JOBS", "Status", "drop_unused_files", "project_search"]
