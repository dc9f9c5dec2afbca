"""How a provider fares as a whole, so that its outages can be played: down, silent, slow, or failing now and then.

In memory only: a sandbox that starts again has providers that fare well. Callbacks go out whatever happens.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from caudal_sandbox import wire
from caudal_sandbox.fields import Fields
from caudal_sandbox.http import Handler, Request, Response, Route, get, post
from caudal_sandbox.problems import Problem, invalid
from caudal_sandbox.provider import trouble
from caudal_sandbox.provider.verbs import Provider

LATENCY_MAX_MS = 60_000


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """`down`: 503, nothing happens. `black_hole`: no answer for 30 s, nothing happens. `latency_ms`: before all else.

    `error_share`: the part of requests that are answered 500; half of those take effect all the same.
    `decline_share`: the part of new payments whose issuer refuses without a reason.
    """

    down: bool = False
    black_hole: bool = False
    latency_ms: int = 0
    error_share: float = 0.0
    decline_share: float = 0.0

    def declines(self) -> bool:
        """Whether a payment that comes now is declined."""
        return random.random() < self.decline_share


CALM = Conditions()


@dataclass(kw_only=True, slots=True)
class Desk:
    """Where a provider answers caudal, and payers of everybody's payments: how it fares, and whom faults have met."""

    provider: Provider
    everybody: tuple[Provider, ...]
    now: Conditions = CALM
    struck: trouble.Before = field(default_factory=trouble.Before)


Answer = Callable[[Desk, Request], Awaitable[Response]]


def routes(desk: Desk) -> list[Route]:
    """List the switch's routes. Unsigned: whoever plays is a person."""
    path = desk.provider.place + "/v1/provider/conditions"
    return [get(path, partial(get_conditions, desk)), post(path, partial(post_conditions, desk))]


async def get_conditions(desk: Desk, request: Request) -> Response:
    """Say how the provider fares."""
    wire.known_query(request)
    return wire.answer(msgspec.structs.asdict(desk.now))


async def post_conditions(desk: Desk, request: Request) -> Response:
    """Let it fare so from now on; what is left out is well."""
    desk.now = asked_of(wire.json_body(request))
    return wire.answer(msgspec.structs.asdict(desk.now))


def asked_of(given: dict[str, Any]) -> Conditions:
    """Parse conditions; every field may be left out."""
    fields = Fields(given, Conditions.__struct_fields__)
    for name in ("down", "black_hole"):
        if not isinstance(given.get(name, False), bool):
            fields.wrong(name, "wrong_type", "This must be true or false.")
    latency_ms = 0
    if "latency_ms" in given:
        latency_ms = fields.whole("latency_ms", 0, LATENCY_MAX_MS, f"milliseconds from 0 to {LATENCY_MAX_MS}")
    shares = dict[str, float]()
    for name in ("error_share", "decline_share"):
        share = given.get(name, 0.0)
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            fields.wrong(name, "wrong_type", "This must be a number from 0 to 1.")
            share = 0.0
        shares[name] = float(share)
    if fields.errors:
        raise invalid(fields.errors)
    return Conditions(
        down=given.get("down", False),
        black_hole=given.get("black_hole", False),
        latency_ms=latency_ms,
        **shares,
    )


def under(desk: Desk, answer: Answer) -> Handler:
    """The handler of a request of caudal's, under the provider's conditions."""

    async def faring(request: Request) -> Response:
        now = desk.now
        if now is CALM:
            return await answer(desk, request)
        await asyncio.sleep(now.latency_ms / 1000)
        if now.down:
            return await trouble.answered("busy", None)
        if now.black_hole:
            return await trouble.answered("silence_before", None)
        if now.error_share and random.random() < now.error_share:
            if random.random() < 0.5:
                await answer(desk, request)
            raise Problem(500, "internal_error", "Something broke; ask again with the same key.")
        return await answer(desk, request)

    return faring
