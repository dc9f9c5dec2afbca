"""Merchants for a run, made through the operator API like any others."""

import asyncio
import secrets

import aiohttp

_AT_ONCE = 16
_FEE = {"family": "instant_transfer", "currency": "MXN", "fixed_minor": 300, "basis_points": 100}


class SetupFailed(Exception):
    """caudal would not make a merchant or a key."""


async def make_merchants(url: str, operator_key: str, count: int) -> list[str]:
    """Make `count` merchants and answer a test key of each. Raises SetupFailed, aiohttp.ClientError."""
    places = asyncio.Semaphore(_AT_ONCE)
    headers = {"Authorization": f"Bearer {operator_key}"}
    async with aiohttp.ClientSession(url, headers=headers) as session:

        async def make(index: int) -> str:
            async with places:
                merchant = await _post(
                    session,
                    "/v1/operator/merchants",
                    {"name": f"Load {index + 1}", "country": "MX", "fee_plan": [_FEE]},
                )
                key = await _post(session, f"/v1/operator/merchants/{merchant['id']}/keys", {"mode": "test"})
                return key["secret"]

        return await asyncio.gather(*(make(index) for index in range(count)))


async def _post(session: aiohttp.ClientSession, path: str, body: dict[str, object]) -> dict[str, str]:
    async with session.post(path, json=body, headers={"Idempotency-Key": secrets.token_hex(16)}) as response:
        if response.status != 201:
            raise SetupFailed(f"POST {path} was answered {response.status}: {(await response.text())[:500]}")
        answer: dict[str, str] = await response.json()
        return answer
