"""What a failed batch means, by SQLSTATE and by how far it had come.

again     nothing happened: the batch runs again, at most five times (serialization, deadlock, lock time-out)
halve     one command is at fault: the batch is halved until it is alone, and gets a Fault
lost      the connection or the server is in trouble before the write segment: nothing happened
unknown   the same behind it, and whatever else the server did not say with an SQLSTATE: nobody knows whether the COMMIT
          came through until the batch has been looked for
defect    anything else: our statement is wrong; nothing was written
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import psycopg

from caudal.kernel.commit.port import NotCommitted
from caudal.kernel.commit.wire import Unsendable
from caudal.kernel.errors import CaudalError
from caudal.kernel.postgres import NotDurable
from caudal.kernel.seal import WrongKek

_AGAIN: Final = {"40001", "40P01", "55P03"}
_HALVE: Final = ("22", "23", "54000")
_LOST: Final = ("08", "25006", "25P03", "25P04", "40003", "53", "57", "58", "XX")


class Failure(Enum):
    AGAIN = "again"
    HALVE = "halve"
    LOST = "lost"
    UNKNOWN = "unknown"
    DEFECT = "defect"


def classify(error: BaseException, *, writing: bool) -> Failure:
    """What an exception of the port means; `writing`: the write segment had begun. Total: the rest are defects."""
    if isinstance(error, Unsendable):
        return Failure.HALVE  # the COMMIT stands behind it and did not go out
    failure = _failure(error)
    if writing and (failure is Failure.LOST or _state_of(error) is None):
        return Failure.UNKNOWN
    return failure


def is_away(error: BaseException) -> bool:
    """Whether the database is away, or busy with itself, so that the same may be tried again: no defect of ours."""
    if isinstance(error, CaudalError):
        return error.code == "database_unavailable"
    is_its = isinstance(error, psycopg.Error | NotCommitted | NotDurable)  # a time-out may be anybody's
    return is_its and _failure(error) in (Failure.LOST, Failure.AGAIN)


def _state_of(error: BaseException) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _failure(error: BaseException) -> Failure:
    if isinstance(error, TimeoutError | OSError | EOFError):
        return Failure.LOST
    if isinstance(error, NotCommitted | NotDurable | WrongKek):
        return Failure.LOST
    state = _state_of(error)
    if state is not None:
        if state in _AGAIN:
            return Failure.AGAIN
        if state.startswith(_HALVE):
            return Failure.HALVE
        if state.startswith(_LOST):
            return Failure.LOST
        return Failure.DEFECT
    # libpq lost the server: no SQLSTATE came. A missing library function would look the same.
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return Failure.LOST
    culprit = isinstance(error, ArithmeticError | ValueError | TypeError | AssertionError | psycopg.DataError)
    return Failure.HALVE if culprit else Failure.DEFECT
