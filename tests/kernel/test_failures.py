"""What a failed batch means: every SQLSTATE that PostgreSQL has, before and behind the write segment, and the rest."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from caudal.kernel.commit.failures import Failure, classify, is_away
from caudal.kernel.commit.port import NotCommitted
from caudal.kernel.commit.wire import Unsendable
from caudal.kernel.errors import Retry
from caudal.kernel.postgres import NotDurable

# A state, or all of a class (two letters); what it means before the write segment, and behind it.
STATES = """
02      defect     defect     no data
03      defect     defect     statement not yet complete
08      lost       unknown    connection exception
09      defect     defect     triggered action
0A      defect     defect     feature not supported
0B      defect     defect     invalid transaction initiation
0F      defect     defect     locator
0L      defect     defect     invalid grantor
0P      defect     defect     invalid role
0Z      defect     defect     diagnostics
10      defect     defect     XQuery
20      defect     defect     case not found
21      defect     defect     cardinality
22      halve      halve      data exception, a guard's division by zero too
23      halve      halve      integrity constraint
24      defect     defect     cursor state
25      defect     defect     transaction state
25006   lost       unknown    read-only: no longer the primary
25P03   lost       unknown    idle_in_transaction_session_timeout
25P04   lost       unknown    transaction_timeout
26      defect     defect     statement name
27      defect     defect     triggered data change
28      defect     defect     authorization
2B      defect     defect     dependent privileges
2D      defect     defect     transaction termination
2F      defect     defect     SQL routine
34      defect     defect     cursor name
38      defect     defect     external routine
39      defect     defect     external routine invocation
3B      defect     defect     savepoint
3D      defect     defect     catalog name
3F      defect     defect     schema name
40      defect     defect     transaction rollback
40001   again      again      serialization failure
40003   lost       unknown    statement completion unknown: the commit may have come through
40P01   again      again      deadlock
42      defect     defect     syntax or access rule
44      defect     defect     with check option
53      lost       unknown    insufficient resources
54      defect     defect     program limit
54000   halve      halve      an indexed text that is too long
55      defect     defect     object not in prerequisite state
55P03   again      again      lock_timeout
57      lost       unknown    operator intervention
58      lost       unknown    system error
72      defect     defect     snapshot too old, of former versions
F0      defect     defect     configuration file
HV      defect     defect     foreign data
P0      defect     defect     PL/pgSQL
XX      lost       unknown    internal error
"""
MEANINGS = {line.split()[0]: tuple(map(Failure, line.split()[1:3])) for line in STATES.strip().splitlines()}
KNOWN = sorted({kind.sqlstate for kind in vars(errors).values() if isinstance(getattr(kind, "sqlstate", None), str)})


@pytest.mark.parametrize("state", KNOWN)
def test_every_state_of_postgresql_is_classified(state: str) -> None:
    expected = MEANINGS.get(state) or MEANINGS[state[:2]]
    for writing in (False, True):
        assert classify(errors.lookup(state)(state), writing=writing) is expected[writing]


def test_every_line_of_the_table_is_about_something() -> None:
    assert not [state for state in MEANINGS if not any(known.startswith(state) for known in KNOWN)]


# What comes without a state
OTHERS = [
    (psycopg.OperationalError("the server closed the connection"), Failure.LOST, Failure.UNKNOWN),
    (psycopg.InterfaceError("the connection was given up"), Failure.LOST, Failure.UNKNOWN),
    (Unsendable("a value that cannot be sent"), Failure.HALVE, Failure.HALVE),
    (psycopg.DataError("a value that cannot be read"), Failure.HALVE, Failure.UNKNOWN),
    (psycopg.ProgrammingError("an answer of another kind"), Failure.DEFECT, Failure.UNKNOWN),
    (NotCommitted("ROLLBACK"), Failure.LOST, Failure.UNKNOWN),
    (NotDurable("fsync is off"), Failure.LOST, Failure.UNKNOWN),
    (TimeoutError(), Failure.LOST, Failure.UNKNOWN),
    (ConnectionResetError(), Failure.LOST, Failure.UNKNOWN),
    (EOFError(), Failure.LOST, Failure.UNKNOWN),
    (OverflowError(), Failure.HALVE, Failure.UNKNOWN),
    (AssertionError(), Failure.HALVE, Failure.UNKNOWN),
    (LookupError("there is no shard 7"), Failure.DEFECT, Failure.UNKNOWN),
    (RuntimeError(), Failure.DEFECT, Failure.UNKNOWN),
]


@pytest.mark.parametrize(("error", "before", "behind"), OTHERS, ids=[type(row[0]).__name__ for row in OTHERS])
def test_what_has_no_state_is_classified_by_its_kind(error: Exception, before: Failure, behind: Failure) -> None:
    assert (classify(error, writing=False), classify(error, writing=True)) == (before, behind)


# What a worker waits out, and what it calls broken
AWAY = [
    (psycopg.OperationalError("the server closed the connection"), True),
    (errors.AdminShutdown("the server stops"), True),
    (errors.TooManyConnections("no room"), True),
    (errors.LockNotAvailable("somebody has it"), True),
    (NotDurable("fsync is off"), True),
    (Retry("database_unavailable", "it does not answer"), True),
    (Retry("provider_unavailable", "nobody answers"), False),
    (errors.UndefinedTable("no such table"), False),
    (errors.UniqueViolation("twice"), False),
    (TimeoutError(), False),
    (ConnectionResetError(), False),
    (ValueError(), False),
]


@pytest.mark.parametrize(("error", "away"), AWAY, ids=[type(row[0]).__name__ for row in AWAY])
def test_a_database_that_is_away_is_no_defect(error: Exception, away: bool) -> None:
    assert is_away(error) is away
