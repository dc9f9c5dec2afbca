"""What a failed batch means, by SQLSTATE and by how far it had come.

again     nothing happened: the batch runs again, at most five times (serialization, deadlock, lock time-out)
halve     one command is at fault: the batch is halved until it is alone, and gets a Fault
lost      the connection or the server is in trouble: before the write segment nothing happened; behind it nobody
          knows until the batch has been looked for
defect    anything else: our statement is wrong; nothing was written
"""

from __future__ import annotations

from enum import Enum
from typing import Final

import psycopg

from caudal.kernel.commit.port import NotCommitted

_AGAIN: Final = {"40001", "40P01", "55P03", "40003"}
_HALVE: Final = ("22", "23", "54000")
_LOST: Final = ("25006", "25P03", "25P04", "53", "57", "58", "XX", "08")


class Failure(Enum):
    AGAIN = "again"
    HALVE = "halve"
    LOST = "lost"
    DEFECT = "defect"


def classify(error: BaseException) -> Failure:
    """What an exception of the port means. Total: an unknown one is a defect."""
    if isinstance(error, TimeoutError | OSError | EOFError):
        return Failure.LOST
    if isinstance(error, NotCommitted):
        return Failure.LOST
    if isinstance(error, psycopg.Error):
        state = error.sqlstate
        if state is None:
            # libpq lost the server: no SQLSTATE came. A missing library function would look the same.
            return (
                Failure.LOST if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else _python(error)
            )
        if state in _AGAIN:
            return Failure.AGAIN
        if state.startswith(_HALVE):
            return Failure.HALVE
        if state.startswith(_LOST):
            return Failure.LOST
        return Failure.DEFECT
    return (
        Failure.HALVE
        if isinstance(error, ArithmeticError | ValueError | TypeError | AssertionError)
        else Failure.DEFECT
    )


def _python(error: psycopg.Error) -> Failure:
    # A value that psycopg could not send (psycopg.DataError without SQLSTATE) belongs to one command.
    return Failure.HALVE if isinstance(error, psycopg.DataError) else Failure.DEFECT
