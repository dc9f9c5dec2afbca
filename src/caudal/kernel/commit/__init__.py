"""The write path: one queue per shard, chained batches, two round trips each (ARCHITECTURE.md §4)."""

from caudal.kernel.commit.failures import is_away
from caudal.kernel.commit.lanes import Limits
from caudal.kernel.commit.model import (
    Answer,
    Command,
    Decision,
    Due,
    Event,
    Head,
    Key,
    Lane,
    Put,
    Result,
    Row,
    Statement,
    Table,
    View,
)
from caudal.kernel.commit.port import BatchPort, PostgresPort
from caudal.kernel.commit.shard import Shard
from caudal.kernel.commit.tables import DUE_NOW, DUE_WORK, KEYS, KeyRecord

__all__ = [
    "DUE_NOW",
    "DUE_WORK",
    "KEYS",
    "Answer",
    "BatchPort",
    "Command",
    "Decision",
    "Due",
    "Event",
    "Head",
    "Key",
    "KeyRecord",
    "Lane",
    "Limits",
    "PostgresPort",
    "Put",
    "Result",
    "Row",
    "Shard",
    "Statement",
    "Table",
    "View",
    "is_away",
]
