"""Whether a process can do its work: checks with names, and what an operator should see to although it can.

    running      nobody has asked it to end
    database     its database answers
    migrations   every migration that has to run before this version starts has run
    loops        in a worker: each of its loops turns, or has a reason to rest
    shard        what it commits comes through: its last batch did, and nothing has waited for more than 5 s
    queue        first commands find room

The last two are told and are no reason for balancers to go elsewhere: they would find the same shard there.

`/livez` asks nothing but the process itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import msgspec

from caudal.app.migrate import files
from caudal.kernel import sqlfile
from caudal.kernel.context import Context, in_time
from caudal.kernel.loops import Loops
from caudal.kernel.telemetry import Reading, apart
from caudal.payins import overdue

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))

_STUCK_S: Final = 5.0
_GLANCE_S: Final = 0.2
_FIRST_S: Final = 5.0
_SLOW_S: Final = 1.0
_ANSWER_S: Final = 3.0  # for the database, so that one that stands still is said before whoever asks has gone
_UNKNOWN_EVERY_S: Final = 10.0
_UNKNOWN_S: Final = 1.0
_TOLD: Final = ("shard", "queue")


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process can do its work, and why not, or what an operator should see to although it can.

    `checks` says `ok` or what is wrong, check by check.
    """

    status: Literal["ok", "unavailable"]
    reasons: list[str] = []
    checks: dict[str, str] = {}

    @property
    def lacks(self) -> str:
        """What is wrong; nothing where the process can do its work."""
        return "; ".join(why for check, why in self.checks.items() if why != "ok" and check not in _TOLD)


class _Watched:
    """The checks of one process."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._needed = {migration.number: migration.name for migration in files() if migration.phase == "pre"}
        self._migrated = False
        self._ask_at, self._told = 0.0, list[str]()
        self._found: Health | None = None
        self._looking: asyncio.Task[Health] | None = None
        self._looks_since = 0.0
        context.meter.add(self._readings)

    async def health(self) -> Health:
        """How it is now, or was a moment ago."""
        if self._context.stopping:
            why = "this process is stopping"
            return Health(status="unavailable", reasons=[why], checks={"running": why})
        return await asyncio.shield(self._under_way())

    async def glance(self) -> None:
        """Looks for the page of figures, which waits for no database: a look that takes long goes on behind it, and the
        next page has what it found."""
        looking = self._under_way()
        patience_s = _FIRST_S if self._found is None else _GLANCE_S
        await asyncio.wait({looking}, timeout=patience_s)
        if not looking.done() and monotonic() - self._looks_since > _SLOW_S and self._found is not None:
            checks = self._found.checks | {"database": f"the database has not answered for {_SLOW_S:.0f} s"}
            self._found = Health(status="unavailable", reasons=[checks["database"]], checks=checks)

    def _under_way(self) -> asyncio.Task[Health]:
        """The look under way, or a new one. All who ask share it, for anybody may, as often as he likes."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="health", context=apart())
            self._looks_since = monotonic()
        return self._looking

    async def _look(self) -> Health:
        """Looks, and keeps what it finds, whoever still waits for it."""
        checks, told = {"running": "ok"}, list[str]()
        if loops := self._context.once(Loops):
            checks["loops"] = "; ".join(loops.late()) or "ok"
        checks["shard"] = self._stuck() or "ok"
        checks["queue"] = self._crowd() or "ok"
        try:
            missing, told = await in_time(self._asked(), _ANSWER_S)
        except Exception as error:
            checks["database"] = f"the database does not answer: {type(error).__name__}"
        else:
            checks["database"], checks["migrations"] = "ok", missing or "ok"
            told += await self._unknown()
        told = [checks[check] for check in _TOLD if checks[check] != "ok"] + told
        wrong = [why for check, why in checks.items() if why != "ok" and check not in _TOLD]
        self._found = Health(status="unavailable" if wrong else "ok", reasons=[*wrong, *told], checks=checks)
        return self._found

    async def _asked(self) -> tuple[str | None, list[str]]:
        """What only the database knows: what has not run yet, and what an operator should see to."""
        ahead = await self._context.rows(SQL["shards_ahead"])
        missing = await self._missing()
        told = [f"the time of shard {id} is ahead of the database's clock by {by}" for id, by in ahead]
        return missing, [*told, *self._context.primary.reasons]

    def _stuck(self) -> str | None:
        for shard in self._context.shards.values():
            waits = f"a command has waited for {shard.waits_s:.0f} s" if shard.waits_s > _STUCK_S else ""
            fails = "" if shard.fails is None else f"its last batch was not written: {shard.fails}"
            if waits or fails:
                return f"shard {shard.id}: " + ", ".join(filter(None, (waits, fails)))
        return None

    def _crowd(self) -> str | None:
        for shard in self._context.shards.values():
            if shard.lanes.is_full:
                return f"shard {shard.id}: the queue is full, {len(shard.lanes)} commands wait"
        return None

    async def _missing(self) -> str | None:
        """What has not run; never looked at again once all has."""
        if self._migrated:
            return None
        ran = {number for (number,) in await self._context.rows(SQL["migrations"])}
        left = [f"{number:04}_{name}" for number, name in self._needed.items() if number not in ran]
        self._migrated = not left
        return f"not migrated: {', '.join(left)} (`caudal migrate`)" if left else None

    async def _unknown(self) -> list[str]:
        """What has no outcome, looked at once in a while however often it is asked for.

        How long that takes says nothing of the process, which may be what brings the number down.
        """
        if monotonic() >= self._ask_at:
            self._ask_at = monotonic() + _UNKNOWN_EVERY_S  # nobody asks beside it: there is one look at a time
            try:
                found = await in_time(overdue(self._context), _UNKNOWN_S)
            except Exception as error:
                self._told = [f"how many outcomes are unknown could not be found out: {type(error).__name__}"]
            else:
                text = f"{found.count} outcomes are unknown, the oldest for {found.oldest_s} s"
                self._told = [text] if found.count else []
        return self._told

    def _readings(self) -> Iterator[Reading]:
        """What was found last; a process that nobody asks says nothing."""
        if self._found is not None:
            for check, told in self._found.checks.items():
                yield "caudal.ready", (check,), told == "ok" and not (check == "running" and self._context.stopping)


async def health_of(context: Context) -> Health:
    """How this process is. It does not raise."""
    return await context.once(_Watched).health()


async def glance(context: Context) -> None:
    """Finds out how this process is, for its figures, without waiting for its database."""
    await context.once(_Watched).glance()
