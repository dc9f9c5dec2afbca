"""Merchants for a run, made through the operator API like any others, and what they need before it begins."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import aiohttp

from caudal_load.flows import FEES

_AT_ONCE = 16
_FEE = {"fixed_minor": 300, "basis_points": 100}
_CARDS = 64
"""Cards of a run, shared out among its merchants; each has at least one."""
_CARD = {"number": "4111111111111111", "expiry_month": 12, "expiry_year": 2030, "holder_name": "ANA SOUZA"}


class SetupFailed(Exception):
    """caudal would not make a merchant or a key."""


async def make_merchants(url: str, operator_key: str, count: int, fees: Sequence[tuple[str, str]] = FEES) -> list[str]:
    """Make `count` merchants and answer a test key of each. Raises SetupFailed, aiohttp.ClientError."""
    places = asyncio.Semaphore(_AT_ONCE)
    headers = {"Authorization": f"Bearer {operator_key}"}
    plan = [{"family": family, "currency": currency, **_FEE} for family, currency in fees]
    async with aiohttp.ClientSession(url, headers=headers) as session:

        async def make(index: int) -> str:
            async with places:
                merchant = await post(
                    session,
                    "/v1/operator/merchants",
                    {"name": f"Load {index + 1}", "country": "MX", "fee_plan": plan},
                )
                key = await post(session, f"/v1/operator/merchants/{merchant['id']}/keys", {"mode": "test"})
                return str(key["secret"])

        return await asyncio.gather(*(make(index) for index in range(count)))


async def make_instruments(url: str, keys: list[str]) -> list[list[str]]:
    """Make cards for each key, as many for each, and answer their ids. Raises SetupFailed, aiohttp.ClientError."""
    places, each = asyncio.Semaphore(_AT_ONCE), max(1, _CARDS // len(keys))
    async with aiohttp.ClientSession(url) as session:

        async def make(key: str) -> str:
            async with places:
                body = {"type": "card", "country": "BR", "card": _CARD}
                return str((await post(session, "/v1/instruments", body, key))["id"])

        made = await asyncio.gather(*(make(key) for key in keys for _ in range(each)))
    return [made[place * each : (place + 1) * each] for place in range(len(keys))]


async def make_endpoints(url: str, keys: list[str], receiver_url: str) -> list[tuple[UUID, str]]:
    """Have each key's merchant told of all events at `/<its number>` of the receiver: the endpoints' ids and secrets.

    Raises SetupFailed, aiohttp.ClientError.
    """
    async with aiohttp.ClientSession(url) as session:
        made = [
            await post(session, "/v1/webhook_endpoints", {"url": f"{receiver_url}/{number}"}, key)
            for number, key in enumerate(keys)
        ]
    return [(UUID(endpoint["id"].rpartition("_")[2]), endpoint["secret"]) for endpoint in made]


async def post(
    session: aiohttp.ClientSession, path: str, body: dict[str, Any], key: str | None = None, status: int = 201
) -> Any:
    """What a POST is answered with. Raises SetupFailed unless the answer has that status."""
    headers = {"Idempotency-Key": secrets.token_hex(16)} | ({} if key is None else {"Authorization": f"Bearer {key}"})
    async with session.post(path, json=body, headers=headers) as response:
        if response.status != status:
            raise SetupFailed(f"POST {path} was answered {response.status}: {(await response.text())[:500]}")
        return await response.json()
