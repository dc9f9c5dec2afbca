"""The sandbox's own books beside caudal's: does every payin of a run stand in both, with the same money?

The provider's statement names a payment by caudal's key, the payin's id; the bank's names a transfer by the tracking
key that the generator gave it, which is the payin's reference without its hyphens. So both sides meet in one name.

*Disagreeing* is a payin whose money received differs from what was collected of its payer, or money that was collected
for a payin that is not there. *Unpaid* is a payin that is paid over there and not `paid` here. Payins that others
ask of the same caudal are known, so that their money is no stranger's, and not judged: their payers name transfers as
they like.
"""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import aiohttp
import psycopg

from caudal_load.flows import tracking_key
from caudal_load.scenario import Requests

_SPEI = "spei"
_OURS = (
    "select p.id, p.reference, p.method, p.status, p.received_minor from shard s join payin p on p.shard = s.id"
    " where p.id >= %s"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ours:
    """A payin as caudal has it. Amounts in minor units."""

    reference: str
    method: str
    status: str
    received_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Theirs:
    """A payment as the sandbox has it. Amounts in minor units."""

    name: str
    is_paid: bool
    collected_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """What the books say of each other, each payin by its reference or, where there is none, by its name."""

    twice: tuple[str, ...] = ()
    """Collected under the same name more than once."""
    disagreeing: tuple[str, ...] = ()
    unpaid: tuple[str, ...] = ()


def compare(ours: dict[str, Ours], theirs: Iterable[Theirs], prefix: str) -> Agreement:
    """Compare what caudal has, by name, with every payment of the sandbox's. References of the run begin so. Pure."""
    seen, twice, disagreeing, unpaid = set[str](), list[str](), list[str](), list[str]()
    for there in theirs:
        here = ours.get(there.name)
        if here is None:
            if there.collected_minor:
                disagreeing.append(there.name)
            continue
        if not here.reference.startswith(prefix):
            continue
        if there.name in seen:
            twice.append(here.reference)
        seen.add(there.name)
        if there.collected_minor != here.received_minor:
            disagreeing.append(here.reference)
        if there.is_paid and here.status != "paid":
            unpaid.append(here.reference)
    run = ((name, here) for name, here in ours.items() if here.reference.startswith(prefix))
    disagreeing += [here.reference for name, here in run if here.received_minor and name not in seen]
    return Agreement(twice=tuple(twice), disagreeing=tuple(disagreeing), unpaid=tuple(unpaid))


async def ours_of(database_url: str, lowest: UUID) -> dict[str, Ours]:
    """Every payin from the id `lowest` on, by the name that the sandbox has for it. Raises psycopg.Error."""
    found: dict[str, Ours] = {}
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = connection.cursor(binary=True)
        await cursor.execute(_OURS, (lowest,))
        async for id, reference, method, status, received_minor in cursor:
            one = Ours(reference=reference or "", method=method, status=status, received_minor=received_minor)
            found[tracking_key(one.reference) if method == _SPEI else id.hex] = one
    return found


async def theirs_of(sandbox_url: str, requests: Requests, lowest: UUID) -> list[Theirs]:
    """Every payment of the provider's from the key `lowest` on, and every transfer of the run. Raises ClientError."""
    prefix, least = tracking_key(requests.prefix), lowest.hex
    found: list[Theirs] = []
    async with aiohttp.ClientSession(sandbox_url) as session:
        async for line in _lines(session, "/v1/provider/statement"):
            if line["key"] >= least:
                paid = line["status"] == "paid"
                found.append(Theirs(name=line["key"], is_paid=paid, collected_minor=line["captured"]))
        async for line in _lines(session, "/v1/bank/statement"):
            if line["kind"] == "transfer" and line["tracking_key"].startswith(prefix):
                found.append(Theirs(name=line["tracking_key"], is_paid=True, collected_minor=line["amount"]))
    return found


async def _lines(session: aiohttp.ClientSession, path: str) -> AsyncIterator[dict[str, Any]]:
    async with session.get(path, raise_for_status=True) as response:
        async for line in response.content:
            yield json.loads(line)
