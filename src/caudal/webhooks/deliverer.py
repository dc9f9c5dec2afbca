"""What is due goes out: rounds of one short transaction each, and in between as many attempts as endpoints allow.

A round writes down what has come back since the last one, takes endpoints that have something due and that nobody
holds, reads the next deliveries of those that it holds, and lets go of those with nothing left. Whoever holds an
endpoint is the only one that sends to it, so that order and width are kept whatever the number of workers; a lease that
is not renewed ends, nothing is sent behind its end, and what its holder had not written down is sent again by the next.
No round waits for an endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from heapq import nsmallest
from time import monotonic
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from caudal.contracts.webhooks import DisabledReason
from caudal.kernel import db
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.kernel.loops import Loops
from caudal.kernel.postgres import NotDurable
from caudal.kernel.telemetry import Outgoing
from caudal.webhooks import round as rounds
from caudal.webhooks.commands import DisableEndpoint
from caudal.webhooks.counts import Counts
from caudal.webhooks.decide import failed_for_too_long, outcome_of
from caudal.webhooks.lane import Habit, Lane, Letter
from caudal.webhooks.model import Attempt, Endpoint
from caudal.webhooks.round import Asked, Back
from caudal.webhooks.rows import SQL
from caudal.webhooks.sender import Sender, target_of, told_of
from caudal.webhooks.states import Happening, Status, after
from caudal.webhooks.turns import PLACES, Turns

log = logging.getLogger(__name__)

LANES_MAX: Final = 4_000
_CLAIMED_AT_ONCE: Final = 1_000
_BETWEEN_ROUNDS_S: Final = 0.02
_AFTER_ERROR_S: Final = 1.0
# What one round reads at most: a large answer comes in many pieces, and between two of them every attempt has its turn.
_READ_LANES: Final = 200
_READ_LETTERS: Final = 400
_FIRST_PLANS: Final = 16
_LAST_FLIGHTS_S: Final = 5.0


class Deliverer:
    """One process's deliveries of one shard."""

    def __init__(self, context: Context, shard: int) -> None:
        self._context, self._settings, self._shard = context, context.settings, shard
        self._holder = uuid4()
        self._lanes: dict[UUID, Lane] = {}
        self._habits: dict[UUID, Habit] = {}
        self._back: list[Back] = []
        self._dry: list[UUID] = []
        self._failing: dict[UUID, datetime | None] = {}
        self._turns = {pace: Turns(places) for pace, places in PLACES.items()}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._look, self._look_at = True, 0.0
        self._renewed_at, self._changes_at = monotonic(), 0.0
        self._round, self._ending = 0, False
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._rounds, self._plans_end = 0, _FIRST_PLANS
        self._counts = context.once(Counts)

    def wake(self) -> None:
        """There may be something new."""
        self._look = True
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`, then lets what is in the air come back for a moment, and lets go of every endpoint."""
        ending = asyncio.create_task(stopping.wait())
        ending.add_done_callback(lambda _: self._woken.set())
        loop = self._context.once(Loops).add(f"deliver of shard {self._shard}", beyond_s=self._settings.worker_poll_s)
        while not stopping.is_set():
            pause_s = _AFTER_ERROR_S
            try:
                with loop:
                    await self.round()
                pause_s = _BETWEEN_ROUNDS_S
            except (psycopg.Error, CaudalError, NotDurable, OSError) as error:
                log.warning("deliveries: %s", error)
            except Exception:
                log.exception("a round of deliveries broke")
            await self._pause(pause_s, stopping)
        await self.end()

    async def _pause(self, pause_s: float, stopping: asyncio.Event) -> None:
        """Until the next round: at least so long, then until there is something to do or it is time to look."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await stopping.wait()
                return
        if not self._back and not self._dry:
            looks_s = max(0.0, self._settings.worker_poll_s - pause_s)
            looks = asyncio.get_running_loop().call_later(looks_s, self._woken.set)
            await self._woken.wait()
            looks.cancel()

    async def end(self) -> None:
        """Waits for what is in the air, not for long, writes it down and lets go of everything."""
        self._ending = True
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_LAST_FLIGHTS_S)
            for task in late:
                task.cancel()
        self._dry = list(self._lanes)
        with suppress(psycopg.Error, NotDurable, OSError):
            await self.round()
        await self._disconnect()

    # A round

    async def round(self) -> None:
        """One transaction. Raises psycopg.Error; nothing is lost then, but something may be sent again."""
        started = monotonic()
        self._woken.clear()
        back, dry, failing = self._back, self._dry, self._failing
        self._back, self._dry, self._failing = [], [], {}
        asked = Asked(
            shard=self._shard,
            holder=self._holder,
            lease=timedelta(seconds=self._settings.lease_s),
            back=back,
            failing=list(failing.items()),
            release=dry,
            renew=self._to_renew(started, dry),
            claim=0 if self._ending else min(_CLAIMED_AT_ONCE, LANES_MAX - len(self._lanes)),
        )
        try:
            connection = await self._connected()
            with db.answering_within(connection, self._settings.batch_deadline_s):
                if self._rounds == self._plans_end:  # while tables grow, like those of batches
                    self._plans_end *= 2
                    await connection.execute(SQL["discard_plans"])
                self._rounds += 1
                async with connection.transaction():
                    held = await self._transact(connection.cursor(binary=True), asked)
        except BaseException:
            unheld = [id for id, lane in self._lanes.items() if not lane.held_until]  # the claim may have come through
            for id in unheld:
                self._forget(id)
            self._back = [*back, *self._back]
            self._dry = [*dry, *unheld, *(id for id, lane in self._lanes.items() if not lane.known)]
            self._failing = failing | self._failing
            await self._disconnect()
            raise
        if asked.renew:
            self._renewed_at = started
        for lane in (self._lanes[id] for id in held):
            lane.held_until = started + self._settings.lease_s
        for lane in self._lanes.values():
            self._offer(lane)
        self._launch()

    async def _transact(self, cursor: psycopg.AsyncCursor[Any], asked: Asked) -> list[UUID]:
        """Writes and reads; whose lease begins anew when this commits."""
        await rounds.write(cursor, asked)
        for endpoint in asked.release:
            self._forget(endpoint)
        kept = await rounds.renew(cursor, asked)
        for lost in set(asked.renew) - kept:
            self._forget(lost)
        for one in asked.back:
            if one.lane in self._lanes:
                self._lanes[one.lane].forget(one.letter)
        claimed = await rounds.claim(cursor, asked)
        for endpoint, failing_since in claimed:
            habit, widest = self._habits.get(endpoint), self._settings.webhook_width
            self._lanes[endpoint] = Lane(endpoint, habit=habit, widest=widest, failing_since=failing_since)
        look = self._looks()
        if not self._ending:
            await self._see_changes(cursor)
            lanes = [lane for lane in self._lanes.values() if lane.wanted and lane.may_read(look)]
            if lanes:
                await self._read(cursor, nsmallest(_READ_LANES, lanes, key=lambda lane: lane.read_in))
        return [*(kept & self._lanes.keys()), *(endpoint for endpoint, _ in claimed)]

    def _looks(self) -> bool:
        """Whether to look for what might be new: somebody said so, or it was long ago."""
        now = monotonic()
        if not self._look and now < self._look_at:
            return False
        self._look, self._look_at = False, now + self._settings.worker_poll_s
        return True

    def _to_renew(self, now: float, dry: Iterable[UUID]) -> list[UUID]:
        return [] if now - self._renewed_at < self._settings.lease_s / 3 else list(self._lanes.keys() - set(dry))

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await self._context.primary.connect(**db.PLANS)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    def _forget(self, endpoint: UUID) -> None:
        """It is in other hands, or in nobody's: nothing more of it is sent from here."""
        lane = self._lanes.pop(endpoint, None)
        if lane is None:
            return
        lane.drop()
        if lane.habit is None:
            self._habits.pop(endpoint, None)
        else:
            self._habits[endpoint] = lane.habit

    async def _see_changes(self, cursor: psycopg.AsyncCursor[Any]) -> None:
        """Endpoints that were changed while they are held: what waits or hangs there tells nobody that they were."""
        now = monotonic()
        if now < self._changes_at:
            return
        self._changes_at = now + self._settings.worker_poll_s
        lanes = self._lanes.values()
        versions = [(lane.id, lane.endpoint.version) for lane in lanes if lane.endpoint is not None]
        changed = await rounds.changed(cursor, self._shard, versions)
        overlapping = [lane.id for lane in lanes if lane.target is not None and len(lane.target.keys) > 1]
        for endpoint, _ in await rounds.endpoints(cursor, self._shard, [*changed, *overlapping]):
            await self._refresh(cursor, self._lanes[endpoint.id], endpoint)

    async def _read(self, cursor: psycopg.AsyncCursor[Any], lanes: list[Lane]) -> None:
        self._round += 1
        for lane in lanes:
            lane.reads(self._round)
        found = await rounds.endpoints(cursor, self._shard, [lane.id for lane in lanes])
        put_off = {endpoint.id for endpoint, something in found if something}
        for endpoint, _ in found:
            await self._refresh(cursor, self._lanes[endpoint.id], endpoint)
        share = max(1, _READ_LETTERS // len(lanes))
        wanted = [(lane.id, min(lane.wanted, lane.known + share)) for lane in lanes if lane.target is not None]
        if not wanted:
            return
        found_due = await rounds.due(cursor, self._shard, wanted)
        # By their numbers: two workers' deliveries are due from when their transactions began, in any order.
        new = sorted(
            (one for one in found_due if not self._lanes[one.endpoint].has(one.letter)), key=lambda one: one.letter.seq
        )
        moving = {letter for endpoint in put_off for letter in self._lanes[endpoint].moving}
        late = await rounds.blocked(cursor, self._shard, [one for one in new if one.endpoint in put_off], moving)
        for one in new:
            self._take(self._lanes[one.endpoint], one.letter, late.get(one.letter.id))
        self._dry += [id for id, _ in wanted if not self._lanes[id].known]

    def _take(self, lane: Lane, letter: Letter, late: datetime | None) -> None:
        """A delivery in hand: to be sent, or put off behind an earlier one of its subject that has failed or waits."""
        waits_us = lane.waits_us(letter.subject)
        if waits_us is None and late is None:
            lane.add(letter)
            return
        lane.hold(letter)
        if waits_us is not None:
            self._postpone(lane.id, letter, delay_us=waits_us)
        else:
            self._postpone(lane.id, letter, due_at=late)

    async def _refresh(self, cursor: psycopg.AsyncCursor[Any], lane: Lane, endpoint: Endpoint) -> None:
        """The endpoint as it is now. Nothing waits for one that is disabled or deleted."""
        lane.endpoint, before = endpoint, lane.endpoint
        if endpoint.status != "enabled":
            lane.target = None
            lane.drop()
            if not await rounds.cancel(cursor, self._shard, [lane.id]) and not lane.known:
                self._dry.append(lane.id)
        elif lane.target is None or before is None or before.version != endpoint.version or endpoint.former_until:
            lane.target = target_of(self._context, endpoint)

    def _postpone(
        self, endpoint: UUID, letter: Letter, *, due_at: datetime | None = None, delay_us: int | None = None
    ) -> None:
        self._back.append(
            Back(
                lane=endpoint,
                letter=letter.id,
                created_at=letter.created_at,
                status=Status.PENDING,
                attempts=letter.attempts,
                due_at=due_at,
                delay_us=delay_us,
            )
        )

    # Attempts

    def _offer(self, lane: Lane) -> None:
        """An endpoint that may be sent to waits for its turn, once."""
        if lane.endpoint is not None and not lane.queued and lane.waits():
            lane.queued = True
            self._turns[lane.pace].wait(lane.endpoint.book, lane)

    def _launch(self) -> None:
        """Sends as many as endpoints' windows and the places allow, each endpoint one at its turn."""
        for pace, turns in self._turns.items():
            while not self._ending and (turn := turns.next()) is not None:
                book, lane = turn
                lane.queued = False
                if lane.pace is not pace or not lane.waits() or monotonic() >= lane.held_until:
                    turns.back(book)
                    if lane.pace is not pace:
                        self._offer(lane)
                    continue
                task = asyncio.create_task(self._fly(lane, lane.take(), book, turns))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                self._offer(lane)

    async def _fly(self, lane: Lane, letter: Letter, book: int, turns: Turns) -> None:
        try:
            if letter.body is None:
                self._expired(lane, letter)
            else:
                assert lane.target is not None, "what is sent has been read with its endpoint"
                sender = self._context.once(Sender)
                call = Outgoing(self._context.tracer, letter.subject.int)
                attempt = await sender.send(lane.target, letter.event, letter.body, letter.attempts + 1, call.header)
                error = None if attempt.accepted else attempt.error or f"status {attempt.status}"
                call.ended("webhook", partial(told_of, lane.target, letter.event, attempt), error)
                self._landed(lane, letter, attempt)
        finally:
            turns.back(book)
            self._woken.set()
        self._offer(lane)
        self._launch()

    def _landed(self, lane: Lane, letter: Letter, attempt: Attempt) -> None:
        outcome = outcome_of(attempt, random.random(), self._settings.webhook_retry_factor)
        self._back.append(
            Back(
                lane=lane.id,
                letter=letter.id,
                created_at=letter.created_at,
                status=outcome.status,
                attempts=attempt.number,
                delay_us=outcome.delay_us,
                attempt=attempt,
            )
        )
        lane.answered(accepted=attempt.accepted, duration_us=attempt.duration_us)
        self._counts.landed(attempt, outcome.status)
        for later in lane.back(letter, waits_us=outcome.delay_us if outcome.blocks else None):
            self._postpone(lane.id, later, delay_us=outcome.delay_us)
        self._note(lane, attempt)

    def _expired(self, lane: Lane, letter: Letter) -> None:
        """The event is kept no longer: there is nothing to send."""
        status = after(Status.PENDING, Happening.EVENT_GONE)
        self._back.append(
            Back(
                lane=lane.id,
                letter=letter.id,
                created_at=letter.created_at,
                status=status,
                attempts=letter.attempts,
            )
        )
        lane.back(letter)
        self._counts.ended(status)

    def _note(self, lane: Lane, attempt: Attempt) -> None:
        """Since when nothing else than failures has come of it, and whether that is too long."""
        since = None if attempt.accepted else lane.failing_since or attempt.at
        if since != lane.failing_since:
            lane.failing_since = self._failing[lane.id] = since
        patience = timedelta(days=self._settings.webhook_patience_days)
        reason: DisabledReason | None = None
        if attempt.gone:
            reason = "gone"
        elif failed_for_too_long(since, attempt.at, patience):
            reason = "failing"
        endpoint = lane.endpoint
        if reason is not None and endpoint is not None and lane.given_up != endpoint.version:
            lane.given_up = endpoint.version
            task = asyncio.create_task(self._give_up(endpoint, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _give_up(self, endpoint: Endpoint, reason: DisabledReason) -> None:
        command = DisableEndpoint(id=endpoint.id, book=endpoint.book, version=endpoint.version, reason=reason)
        try:
            await self._context.commit(self._shard, command)
        except CaudalError as error:
            log.warning("a webhook endpoint could not be disabled: %s", error, extra={"endpoint": str(endpoint.id)})
        self.wake()
