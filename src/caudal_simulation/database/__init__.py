"""A database in memory that takes the statements of the real one: their guards, their locks, its refusals."""

from caudal_simulation.database.engine import Database, Session, Transaction, Wait
from caudal_simulation.database.schema import Row, relations

__all__ = ["Database", "Row", "Session", "Transaction", "Wait", "relations"]
