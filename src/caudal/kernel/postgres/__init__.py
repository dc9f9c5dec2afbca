"""An embedded PostgreSQL 18, and processes that die with the one that started them."""

from caudal.kernel.postgres.child import Child, Owner, reason
from caudal.kernel.postgres.cluster import Cluster
from caudal.kernel.postgres.durable import TIMELINE, Durability, verify_durable
from caudal.kernel.postgres.failures import ClusterError, NotDurable
from caudal.kernel.postgres.home import private_file
from caudal.kernel.postgres.sizing import Machine, settings_for, this_machine

__all__ = [
    "TIMELINE",
    "Child",
    "Cluster",
    "ClusterError",
    "Durability",
    "Machine",
    "NotDurable",
    "Owner",
    "private_file",
    "reason",
    "settings_for",
    "this_machine",
    "verify_durable",
]
