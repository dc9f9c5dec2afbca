"""Payins: a merchant asks for a payment, the payer pays, the money is in the ledger, the merchant is told."""

from caudal.payins.calls import override_provider, overrides, watch
from caudal.payins.decide import Draining, Forcing, deposits_beside
from caudal.payins.http.waiting import overdue
from caudal.payins.jobs import JOBS
from caudal.payins.model import OverrideBody
from caudal.payins.reactions import project_search
from caudal.payins.states import Status
from caudal.payins.store import drop_unused_files

__all__ = [
    "JOBS",
    "Draining",
    "Forcing",
    "OverrideBody",
    "Status",
    "deposits_beside",
    "drop_unused_files",
    "overdue",
    "override_provider",
    "overrides",
    "project_search",
    "watch",
]
