"""The merchants of a run, made through the API like any others before anything fails.

They differ in what a decision looks at: whether a refund may go beyond the balance, when money becomes available,
whether late money is taken. Each has cards, and an endpoint that hears of everything.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import aiohttp

from caudal_load.flows import FEES
from caudal_load.merchants import SetupFailed, make_endpoints, make_instruments, post
from caudal_load.receiver import secret_of

_FEE = {"fixed_minor": 300, "basis_points": 100, "refund_fixed_minor": 50, "dispute_fixed_minor": 1_500}
_SETTINGS: tuple[dict[str, str], ...] = (
    {"refunds_beyond_balance": "refuse", "late_payments": "accept"},
    {"refunds_beyond_balance": "allow", "late_payments": "accept"},
    {"refunds_beyond_balance": "refuse", "late_payments": "unapplied"},
)
_SETTLEMENT_DAYS = (0, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Merchant:
    """A merchant of the run."""

    secret: str
    cards: list[str]
    endpoint: str
    """The id of its webhook endpoint, 32 hexadecimal digits."""
    signs: bytes
    """The secret of its messages."""


async def make_cast(url: str, operator_key: str, count: int, receiver_url: str) -> list[Merchant]:
    """Make `count` merchants. Raises SetupFailed, aiohttp.ClientError."""
    headers = {"Authorization": f"Bearer {operator_key}"}
    async with aiohttp.ClientSession(url, headers=headers) as session:
        secrets = await asyncio.gather(*(_merchant(session, number) for number in range(count)))
    cards = await make_instruments(url, secrets)
    endpoints = await make_endpoints(url, secrets, receiver_url)
    return [
        Merchant(secret=secret, cards=own, endpoint=endpoint.hex, signs=secret_of(signs))
        for secret, own, (endpoint, signs) in zip(secrets, cards, endpoints, strict=True)
    ]


async def _merchant(session: aiohttp.ClientSession, number: int) -> str:
    days = _SETTLEMENT_DAYS[number % len(_SETTLEMENT_DAYS)]
    plan: list[dict[str, Any]] = [
        {"family": family, "currency": currency, "settlement_days": days, **_FEE} for family, currency in FEES
    ]
    body = {"name": f"Faults {number + 1}", "country": "MX", "fee_plan": plan}
    merchant = await post(session, "/v1/operator/merchants", body)
    settings = _SETTINGS[number % len(_SETTINGS)]
    await post(session, f"/v1/operator/merchants/{merchant['id']}/settings", settings, status=200)
    key = await post(session, f"/v1/operator/merchants/{merchant['id']}/keys", {"mode": "test"})
    return str(key["secret"])


__all__ = ["Merchant", "SetupFailed", "make_cast"]
