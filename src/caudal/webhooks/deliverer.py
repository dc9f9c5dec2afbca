"""What is due goes out: rounds of one short transaction each, and in between as many attempts as endpoints allow.

A round writes down what has come back since the last one, takes endpoints that have something due and that nobody
holds, reads the next deliveries of those that it holds, and lets go of those with nothing left. Whoever holds an
endpoint is the only one that sends to it, so that order and width are kept whatever the number of workers; a lease that
is not renewed ends, and what its holder had not written down is sent again. No round waits for an endpoint.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from time import monotonic
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from yarl import URL

from caudal.contracts.webhooks import DisabledReason
from caudal.kernel import db
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.webhooks import round as rounds
from caudal.webhooks.commands import DisableEndpoint
from caudal.webhooks.decide import failed_for_too_long, outcome_of
from caudal.webhooks.guard import names_loopback
from caudal.webhooks.lane import Lane, Letter
from caudal.webhooks.model import Attempt, Endpoint
from caudal.webhooks.round import Asked, Back
from caudal.webhooks.rows import SQL
from caudal.webhooks.sender import Sender, Target
from caudal.webhooks.signing import key_of
from caudal.webhooks.states import Happening, Status, after

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
# Places of attempts in the air: those to endpoints that answer, and those to endpoints that have to show it first.
_PLACES: Final = {True: 1_000, False: 1_000}


class Deliverer:
    """One process's deliveries of one shard."""

    def __init__(self, context: Context, shard: int) -> None:
        self._context, self._settings, self._shard = context, context.settings, shard
        self._holder = uuid4()
        self._lanes: dict[UUID, Lane] = {}
        self._windows: dict[UUID, int] = {}
        self._back: list[Back] = []
        self._dry: list[UUID] = []
        self._failing: dict[UUID, datetime | None] = {}
        self._in_the_air = {True: 0, False: 0}
        self._tasks: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._look, self._look_at = True, 0.0
        self._renewed_at = monotonic()
        self._round = 0
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._rounds, self._plans_end = 0, _FIRST_PLANS
        self._ending = False

    def wake(self) -> None:
        """There may be something new."""
        self._look = True
        self._woken.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Runs until `stopping`, then lets what is in the air come back for a moment, and lets go of every endpoint."""
        ending = asyncio.create_task(stopping.wait())
        ending.add_done_callback(lambda _: self._woken.set())
        while not stopping.is_set():
            try:
                await self.round()
                pause_s = _BETWEEN_ROUNDS_S
            except (psycopg.Error, CaudalError, OSError) as error:
                log.warning("deliveries: %s", error)
                pause_s = _AFTER_ERROR_S
            except Exception:
                log.exception("a round of deliveries broke")
                pause_s = _AFTER_ERROR_S
            await self._pause(pause_s, stopping)
        await self.end()

    async def _pause(self, pause_s: float, stopping: asyncio.Event) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
            return
        if not self._back and not self._dry:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(0.0, self._settings.worker_poll_s - pause_s))

    async def end(self) -> None:
        """Waits for what is in the air, not for long, writes it down and lets go of everything."""
        self._ending = True
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=_LAST_FLIGHTS_S)
            for task in late:
                task.cancel()
        self._dry = list(self._lanes)
        with suppress(psycopg.Error, OSError):
            await self.round()
        await self._disconnect()

    # A round

    async def round(self) -> None:
        """One transaction. Raises psycopg.Error; nothing is lost then, but something may be sent again."""
        self._woken.clear()
        back, self._back = self._back, []
        dry, self._dry = self._dry, []
        failing, self._failing = self._failing, {}
        asked = Asked(
            shard=self._shard,
            holder=self._holder,
            lease=timedelta(seconds=self._settings.lease_s),
            back=back,
            failing=list(failing.items()),
            release=dry,
            renew=self._to_renew(dry),
            claim=0 if self._ending else min(_CLAIMED_AT_ONCE, LANES_MAX - len(self._lanes)),
        )
        try:
            connection = await self._connected()
            if self._rounds == self._plans_end:  # while tables grow, like those of batches
                self._plans_end *= 2
                await connection.execute(SQL["discard_plans"])
            self._rounds += 1
            async with connection.transaction():
                await self._transact(connection.cursor(binary=True), asked)
        except BaseException:
            self._back = [*back, *self._back]
            self._dry = [*dry, *(id for id, lane in self._lanes.items() if not lane.known)]
            self._failing = failing | self._failing
            await self._disconnect()
            raise
        for lane in list(self._lanes.values()):
            self._launch(lane)

    async def _transact(self, cursor: psycopg.AsyncCursor[Any], asked: Asked) -> None:
        await rounds.write(cursor, asked)
        for endpoint in asked.release:
            self._forget(endpoint)
        kept = await rounds.renew(cursor, asked)
        for lost in set(asked.renew) - kept:
            self._forget(lost)
        for one in asked.back:
            if one.lane in self._lanes:
                self._lanes[one.lane].forget([one.letter])
        for endpoint, failing_since in await rounds.claim(cursor, asked):
            window = self._windows.get(endpoint, 1)
            widest = self._settings.webhook_width
            self._lanes[endpoint] = Lane(endpoint, window=window, widest=widest, failing_since=failing_since)
        look = self._looks()
        if not self._ending:
            lanes = [lane for lane in self._lanes.values() if lane.wanted and lane.may_read(look)]
            if lanes:
                await self._read(cursor, nsmallest(_READ_LANES, lanes, key=lambda lane: lane.read_in))

    def _looks(self) -> bool:
        """Whether to look for what might be new: somebody said so, or it was long ago."""
        now = monotonic()
        if not self._look and now < self._look_at:
            return False
        self._look, self._look_at = False, now + self._settings.worker_poll_s
        return True

    def _to_renew(self, dry: Iterable[UUID]) -> list[UUID]:
        if monotonic() - self._renewed_at < self._settings.lease_s / 3:
            return []
        self._renewed_at = monotonic()
        return list(self._lanes.keys() - set(dry))

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await db.connect(self._settings.database_url or "", **db.PLANS)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()

    def _forget(self, endpoint: UUID) -> None:
        lane = self._lanes.pop(endpoint, None)
        if lane is not None and lane.proven:
            self._windows[endpoint] = lane.window
        else:
            self._windows.pop(endpoint, None)

    async def _read(self, cursor: psycopg.AsyncCursor[Any], lanes: list[Lane]) -> None:
        self._round += 1
        for lane in lanes:
            lane.reads(self._round)
        found = await rounds.endpoints(cursor, self._shard, [lane.id for lane in lanes])
        retrying = {endpoint.id for endpoint, is_retrying in found if is_retrying}
        for endpoint, _ in found:
            await self._refresh(cursor, self._lanes[endpoint.id], endpoint)
        share = max(1, _READ_LETTERS // len(lanes))
        wanted = [(lane.id, min(lane.wanted, lane.known + share)) for lane in lanes if lane.target is not None]
        if not wanted:
            return
        new = [
            one
            for one in await rounds.due(cursor, self._shard, wanted)
            if not self._lanes[one.endpoint].has(one.letter)
        ]
        late = await rounds.blocked(cursor, self._shard, [one for one in new if one.endpoint in retrying])
        for one in new:
            if one.letter.id in late:
                self._lanes[one.endpoint].hold(one.letter)
                self._postpone(one.endpoint, one.letter, due_at=late[one.letter.id])
            else:
                self._lanes[one.endpoint].add(one.letter)
        self._dry += [id for id, _ in wanted if not self._lanes[id].known]

    async def _refresh(self, cursor: psycopg.AsyncCursor[Any], lane: Lane, endpoint: Endpoint) -> None:
        """The endpoint as it is now. Nothing waits for one that is disabled."""
        lane.endpoint, before = endpoint, lane.endpoint
        if endpoint.status == "disabled":
            lane.target = None
            lane.drop()
            if not await rounds.cancel(cursor, self._shard, [lane.id]) and not lane.known:
                self._dry.append(lane.id)
        elif lane.target is None or before is None or before.version != endpoint.version or endpoint.former_until:
            lane.target = self._target(endpoint)

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

    def _target(self, endpoint: Endpoint) -> Target:
        opened = [endpoint.sealed]
        former_until = endpoint.former_until
        if endpoint.former_sealed is not None and former_until is not None and former_until > datetime.now(UTC):
            opened.append(endpoint.former_sealed)
        keys = [key_of(self._context.sealer.open(sealed, endpoint.id.bytes).decode()) for sealed in opened]
        url = URL(endpoint.url)
        here = self._settings.webhook_loopback and not endpoint.live and names_loopback(url.host or "")
        return Target(url=url, text=endpoint.url, keys=tuple(keys), here=here)

    # Attempts

    def _launch(self, lane: Lane) -> None:
        """Sends as many as the endpoint's window and the places allow."""
        while lane.waits() and not self._ending and self._in_the_air[lane.proven] < _PLACES[lane.proven]:
            letter = lane.take()
            self._in_the_air[lane.proven] += 1
            task = asyncio.create_task(self._fly(lane, letter, lane.proven))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fly(self, lane: Lane, letter: Letter, place: bool) -> None:
        number = letter.attempts + 1
        try:
            if letter.body is None:
                self._expired(lane, letter)
            else:
                assert lane.target is not None, "what is sent has been read with its endpoint"
                sender = self._context.once(Sender)
                self._landed(lane, letter, await sender.send(lane.target, letter.event, letter.body, number))
        finally:
            self._in_the_air[place] -= 1
            self._woken.set()
        self._launch(lane)

    def _landed(self, lane: Lane, letter: Letter, attempt: Attempt) -> None:
        outcome = outcome_of(attempt, random.random())
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
        for later in lane.back(letter, accepted=attempt.accepted, blocks=outcome.blocks):
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
        lane.back(letter, accepted=lane.proven, blocks=False)

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
