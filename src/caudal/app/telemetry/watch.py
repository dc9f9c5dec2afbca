"""What one worker at a time gathers for all: figures that only the database knows, and whether the books are in order.

Who watches holds a lock of its session (`watch_alone`); when that process or its connection ends, another one finds
the lock free within CAUDAL_WATCH_S. Nothing depends on it but who measures. Every figure is a few probes of indexes,
bounded, but what is authorized: that is summed while the laws of db/checks are held against one range after the other,
for a small share of the time, round after round, the shard first that was looked at longest ago. A round that failed
goes on where it was, and so does that of a worker which has ended: its place is kept (`kept.py`), and whoever is next
tells what it has found before it looks at anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import Any, Final, TypeVar

import psycopg

from caudal.app.check import Look, Round, digest_of_laws, laws
from caudal.app.telemetry import kept
from caudal.kernel import db, sqlfile
from caudal.kernel.context import Context
from caudal.kernel.loops import Loop, Loops
from caudal.kernel.telemetry import Reading
from caudal.ledger import account_name
from caudal.payins import overdue

log = logging.getLogger(__name__)

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
RANGE: Final = 2_000
_ROUND_EVERY: Final = 4  # gatherings: after so many the laws are held against all rows anew
_AFTER_ERROR_S: Final = 5.0
_PATIENCE_S: Final = 60.0  # with one statement of a law, at first
_TOLD_MAX: Final = 20  # violations of one round that are logged one by one
_MERCHANTS: Final = 2 << 16  # the ids of the house's accounts are below

N = TypeVar("N", int, float)
Connection = psycopg.AsyncConnection[Any]
_Held = tuple[int, bool, str]  # shard, whether live, currency


class Watch:
    """One process's part in it: all of it, or waiting."""

    def __init__(self, context: Context, kinds: tuple[str, ...]) -> None:
        """`kinds` are those of due work."""
        self._context, self._kinds = context, kinds
        self._figures = list[Reading]()
        self._shards = list[int]()
        self._names = tuple(law.name for law in laws())
        self._checked: dict[tuple[int, str], float] = {}  # when a law of a shard was last looked at in full
        self._wrong: dict[tuple[int, str], int] = {}  # what it found then
        self._finding = Counter[tuple[int, str]]()  # what the look under way has found
        self._ranges = Counter[int]()
        self._rounds = dict[int, Round]()  # under way, by shard
        self._kept_s = dict[int, float]()  # when the place of each shard's was kept, monotonic
        self._laws = digest_of_laws()
        self._told = Counter[int]()
        self._summed = Counter[_Held]()  # what is authorized, as far as the round under way has come
        self._authorized = Counter[_Held]()  # what the last whole one found
        self._watches = False
        context.meter.add(self._readings)

    async def run(self, stopping: asyncio.Event) -> None:
        """Waits for its turn, and watches from then on."""
        loop = self._context.once(Loops).add("watch of all figures")
        while not stopping.is_set():
            try:
                with loop:
                    connection = await self._context.primary.connect()
                async with db.closing(connection):
                    await self._watch(connection, stopping, loop)
            except (psycopg.Error, OSError) as error:
                log.warning("the figures of all are not gathered here: %s", error)
            except Exception:
                log.exception("gathering figures broke")
            self._forget()
            loop.rests(self._context.settings.watch_s)
            await _pause(stopping, self._context.settings.watch_s)

    async def _watch(self, connection: Connection, stopping: asyncio.Event, loop: Loop) -> None:
        connection.prepare_threshold = None  # a plan for any range might read a whole table for each
        with loop:
            if not (await _rows(connection, SQL["watch_alone"]))[0][0]:
                return
        log.info("this worker gathers the figures of all")
        with loop:
            await self._take_up(connection)
        checking = asyncio.create_task(self._check(stopping), name="laws of the books")
        try:
            while not stopping.is_set():
                with loop:
                    self._figures, self._watches = [one async for one in self._gathered(connection)], True
                loop.rests(self._context.settings.watch_s)
                await _pause(stopping, self._context.settings.watch_s)
        finally:
            checking.cancel()
            with suppress(asyncio.CancelledError):
                await checking

    def _forget(self) -> None:
        """Another worker may have them now."""
        self._watches = False
        self._figures, self._finding = [], Counter()
        self._checked, self._wrong, self._rounds, self._kept_s = {}, {}, {}, {}
        self._authorized = Counter()

    # The figures

    async def _gathered(self, connection: Connection) -> Any:
        shards = await _rows(connection, SQL["heads"])
        self._shards = [shard for shard, *_ in shards]
        for shard, _, ahead_s in shards:
            yield "caudal.shard.time_ahead", (str(shard),), ahead_s
            async for reading in self._of_shard(connection, shard):
                yield reading
        for shard, name, lag in await _rows(connection, SQL["consumers"]):
            yield "caudal.consumer.lag", (str(shard), name), lag
        unknown = await overdue(self._context)
        yield "caudal.unresolved.outcomes", (), unknown.count
        yield "caudal.unresolved.oldest_age", (), unknown.oldest_s
        yield "caudal.watch.last_run_timestamp", (), time()

    async def _of_shard(self, connection: Connection, shard: int) -> Any:
        of = (str(shard),)
        ages = dict.fromkeys(self._kinds, 0.0) | dict(await _rows(connection, SQL["oldest_due"], shard))
        for kind, age_s in ages.items():
            yield "caudal.due.oldest_age", (*of, kind), age_s
        in_vain = dict.fromkeys(self._kinds, 0) | dict(await _rows(connection, SQL["in_vain"], shard))
        for kind, count in in_vain.items():
            yield "caudal.due.in_vain", (*of, kind), count
        late = dict(await _rows(connection, SQL["webhooks_late"], shard))
        unmade = await _rows(connection, SQL["webhooks_unmade"], shard)
        yield "caudal.webhook.lag", (*of, "unmade"), unmade[0][0] if unmade else 0.0
        yield "caudal.webhook.lag", (*of, "first"), late.get(False, 0.0)
        yield "caudal.webhook.lag", (*of, "again"), late.get(True, 0.0)
        [(count, oldest_s)] = await _rows(connection, SQL["open_discrepancies"], shard)
        yield "caudal.discrepancies.open", of, count
        yield "caudal.discrepancies.oldest_age", of, oldest_s
        for kind, live, currency, minor in await _rows(connection, SQL["operations_under_way"], shard):
            yield "caudal.money.in_flight", (*of, _mode(live), currency, kind), minor
        for live, currency, minor in await _rows(connection, SQL["returns_under_way"], shard):
            yield "caudal.money.in_flight", (*of, _mode(live), currency, "return"), minor
        for id, minor in await _rows(connection, SQL["house_accounts"], shard, _MERCHANTS):
            name = account_name(id)
            yield "caudal.money.house", (*of, _mode(name.live), name.currency, name.purpose.name.lower()), minor

    # The laws

    async def _check(self, stopping: asyncio.Event) -> None:
        """Round after round over all shards; what goes wrong with a look is no violation."""
        while not stopping.is_set():
            try:
                async with db.closing(await self._context.primary.connect()) as connection:
                    connection.prepare_threshold = None
                    shards = [shard for shard, *_ in await _rows(connection, SQL["heads"])]
                    for shard in sorted(shards, key=self._turn):
                        await self._check_shard(connection, shard, stopping)
                await _pause(stopping, _ROUND_EVERY * self._context.settings.watch_s)
            except (psycopg.Error, OSError) as error:
                log.warning("the laws of the books are not looked at: %s", error)
                await _pause(stopping, _AFTER_ERROR_S)
            except Exception:
                log.exception("looking at the laws of the books broke")
                self._rounds.clear()
                await _pause(stopping, _ROUND_EVERY * self._context.settings.watch_s)

    def _turn(self, shard: int) -> tuple[bool, float]:
        """Rounds that are under way go on, then comes whichever shard has the law that was looked at longest ago."""
        return shard not in self._rounds, min(self._checked.get((shard, law), 0.0) for law in self._names)

    async def _check_shard(self, connection: Connection, shard: int, stopping: asyncio.Event) -> None:
        """One round of a shard, or what is left of it, at no more than its share of the time."""
        share, walk = self._context.settings.check_share, self._rounds.get(shard)
        if walk is None:
            walk = self._rounds[shard] = self._begun(shard)
        while not stopping.is_set():
            began = monotonic()
            try:
                look = await walk.look(connection)
            except psycopg.errors.QueryCanceled as error:
                log.warning("a look at the laws took too long, the next one is smaller or has more time: %s", error)
            else:
                if self._note(walk, look) or monotonic() - self._kept_s.get(shard, 0.0) >= kept.KEEP_EVERY_S:
                    await self._keep(connection, walk)
                if look is None:
                    del self._rounds[shard]
                    return
            await _pause(stopping, (monotonic() - began) * (1 / share - 1))

    def _begun(self, shard: int) -> Round:
        self._told[shard] = 0
        for found in (self._finding, self._summed):
            for key in [key for key in found if key[0] == shard]:
                del found[key]
        return Round(shard, size=RANGE, patience_s=_PATIENCE_S, beside={"payins": SQL["authorized_in_range"]})

    async def _take_up(self, connection: Connection) -> None:
        """Knows of every shard what the last worker knew; goes on where it was, where the laws are the same."""
        for shard, found in (await kept.load(connection, SQL["check_places"], self._laws)).items():
            self._kept_s[shard] = monotonic()
            self._checked.update({(shard, law): at for law, at in found.checked.items()})
            self._wrong.update({(shard, law): count for law, count in found.wrong.items() if law in self._names})
            self._authorized.update({(shard, live, currency): minor for live, currency, minor in found.authorized})
            if found.place is None:  # it was between two rounds
                continue
            walk = self._begun(shard)
            try:
                walk.go_on(found.place)
            except ValueError as error:
                log.warning("the laws of shard %d are looked at from the beginning: no place: %s", shard, error)
                continue
            self._finding.update({(shard, law): count for law, count in found.finding.items()})
            self._summed.update({(shard, live, currency): minor for live, currency, minor in found.summed})
            self._rounds[shard] = walk
            log.info("the laws of shard %d are looked at from %s %s on", shard, found.place.kind, found.place.before)

    async def _keep(self, connection: Connection, walk: Round) -> None:
        of = walk.shard
        now = kept.Kept(
            place=walk.place,
            finding=_of(of, self._finding),
            checked=_of(of, self._checked),
            wrong=_of(of, self._wrong),
            summed=_sums(of, self._summed),
            authorized=_sums(of, self._authorized),
        )
        await kept.keep(connection, SQL["keep_check_place"], of, self._laws, now)
        self._kept_s[of] = monotonic()

    def _note(self, walk: Round, look: Look | None) -> bool:
        """What a look found, and the laws that it has ended with; whether either is news, which is kept at once."""
        shard, news = walk.shard, bool(walk.ended or look is None or look.wrong)
        for names in walk.ended:
            self._looked(shard, names)
        walk.ended.clear()
        if look is None:
            self._authorized = Counter({key: minor for key, minor in self._authorized.items() if key[0] != shard})
            self._authorized.update({key: minor for key, minor in self._summed.items() if key[0] == shard})
            return news
        self._ranges[shard] += 1
        for live, currency, minor in look.beside:
            self._summed[shard, live, currency] += minor
        for check, of, subject, detail in look.wrong:
            self._finding[of, check] += 1
            self._told[shard] += 1
            if self._told[shard] <= _TOLD_MAX:
                what = {"check": check, "shard": of, "subject": str(subject), "detail": str(detail)}
                log.error("the books break the law %s", check, extra=what)
        return news

    def _looked(self, shard: int, laws: tuple[str, ...]) -> None:
        """These have been held against everything."""
        for law in laws:
            self._checked[shard, law] = time()
            self._wrong[shard, law] = self._finding[shard, law]

    def _readings(self) -> Iterator[Reading]:
        if not self._watches:
            return
        yield from self._figures
        for (shard, live, currency), minor in self._authorized.items():
            yield "caudal.money.in_flight", (str(shard), _mode(live), currency, "authorized"), minor
        for shard in self._shards:
            for law in self._names:
                looked_at = self._checked.get((shard, law), 0.0)
                yield "caudal.ledger.check.last_run_timestamp", (str(shard), law), looked_at
        for shard, law in {**self._wrong, **self._finding}:
            wrong = max(self._wrong.get((shard, law), 0), self._finding[shard, law])
            yield "caudal.ledger.check.violations", (str(shard), law), wrong
        for shard, ranges in self._ranges.items():
            yield "caudal.ledger.check.ranges", (str(shard),), ranges


async def _rows(connection: Connection, query: Any, *parameters: object) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, parameters or None)).fetchall()


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


def _of(shard: int, laws: Mapping[tuple[int, str], N]) -> dict[str, N]:
    return {law: number for (of, law), number in laws.items() if of == shard}


def _sums(shard: int, sums: Mapping[_Held, int]) -> kept.Sums:
    return [(live, currency, minor) for (of, live, currency), minor in sums.items() if of == shard]


def _mode(live: bool) -> str:
    return "live" if live else "test"
