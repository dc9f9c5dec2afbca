"""The flows, one each: what a merchant's program does, and what its payer does, step by step."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic
from typing import Any, Final

import aiohttp
import msgspec

from caudal.app.state import Ready
from caudal.kernel.money import format_amount

PATIENCE_S: Final = 15.0
EXPECTED: Final = "paid, refunded"
_AMOUNT_MINOR: Final = 12050
_REFUND_MINOR: Final = 2500
_CARD: Final = "4111111111111111"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one flow."""

    name: str
    steps: str
    took_s: float
    status: str
    balance: str


class Stopped(Exception):
    """A step was refused, or nothing came of it in time."""


class Shop:
    """A merchant's program. `steps` is what it has done for the flow at hand."""

    def __init__(self, ready: Ready, session: aiohttp.ClientSession) -> None:
        self._ready, self._session = ready, session
        self._bearer = {"Authorization": f"Bearer {ready.demo_key}"}
        self.steps: list[str] = []

    async def post(self, path: str, body: dict[str, Any], step: str) -> dict[str, Any]:
        """A request with a key of its own. Raises Stopped with the problem's code."""
        headers = {**self._bearer, "Idempotency-Key": f"demo-{uuid.uuid4()}"}
        answer = await _json(self._session.post(f"{self._ready.api_url}{path}", json=body, headers=headers))
        if ("id" not in answer and "status" not in answer) or "code" in answer:
            raise Stopped(str(answer.get("code", answer)))
        self.steps.append(step)
        return answer

    async def create(self, country: str, currency: str, method: str, amount: int = _AMOUNT_MINOR, **more: Any) -> Any:
        """A payin."""
        asked = {"amount": amount, "currency": currency, "country": country, "method": method, "reference": "demo"}
        return await self.post("/v1/payins", {**asked, **more}, "create")

    async def played(self, payin: dict[str, Any], step: str) -> None:
        """The payer pays, in the sandbox."""
        await self.post(f"/v1/sandbox/payins/{payin['id']}/pay", {}, step)

    async def until(self, path: str, status: str, step: str) -> dict[str, Any]:
        """Looks until the object has this status. Raises Stopped when it does not come."""
        end = monotonic() + PATIENCE_S
        while True:
            seen = await self.get(path)
            if seen.get("status") == status:
                self.steps.append(step)
                return seen
            if monotonic() > end:
                raise Stopped(str(seen.get("status", seen)))
            await asyncio.sleep(0.02)

    async def get(self, path: str) -> dict[str, Any]:
        """What is there."""
        return await _json(self._session.get(f"{self._ready.api_url}{path}", headers=self._bearer))

    async def refunded(self, payin: dict[str, Any], destination: dict[str, Any] | None = None) -> None:
        """Gives a part of it back, and waits until the payer has it."""
        asked = {"amount": _REFUND_MINOR, "note": "demo"} | (
            {} if destination is None else {"destination": destination}
        )
        refund = await self.post(f"/v1/payins/{payin['id']}/refunds", asked, "refund")
        await self.until(f"/v1/refunds/{refund['id']}", "succeeded", "refunded")


async def card(shop: Shop) -> None:
    """The card goes to the vault; the payin authorizes it, a capture takes the money."""
    kept = {
        "number": _CARD,
        "expiry_month": 12,
        "expiry_year": 2031,
        "holder_name": "Ana Souza",
        "security_code": "123",
    }
    instrument = await shop.post("/v1/instruments", {"type": "card", "card": kept}, "instrument")
    payin = await shop.create("BR", "BRL", "card", instrument={"id": instrument["id"]}, capture="manual")
    if payin["status"] != "authorized":
        raise Stopped(str(payin["status"]))
    await shop.post(f"/v1/payins/{payin['id']}/captures", {}, "capture")
    await shop.until(f"/v1/payins/{payin['id']}", "paid", "paid")
    await shop.refunded(payin)


async def pix(shop: Shop) -> None:
    """A QR code that the payer scans."""
    await _waiting(shop, await shop.create("BR", "BRL", "pix"), "scan")


async def boleto(shop: Shop) -> None:
    """A slip that the payer pays at a counter; a refund needs the payer's bank account."""
    payer = {"name": "Ana Souza", "document": "11144477735"}
    to = {"bank": "001", "account": "0001-9/1234567-8", "kind": "checking"}
    holder = {"holder_name": "Ana Souza", "holder_document": "11144477735"}
    await _waiting(shop, await shop.create("BR", "BRL", "boleto", payer=payer), "pay the slip", {**to, **holder})


async def pse(shop: Shop) -> None:
    """The payer chooses a bank, pays there, and comes back."""
    payer = {"name": "Carlos Rojas", "document": "1020304050"}
    to = {"bank": "1007", "account": "12345678901", "kind": "savings"}
    holder = {"holder_name": "Carlos Rojas", "holder_document": "1020304050"}
    payin = await shop.create(
        "CO",
        "COP",
        "pse",
        amount=5_000_000,
        payer=payer,
        instrument={"bank": "1007"},
        return_url="https://shop.example/",
    )
    await _waiting(shop, payin, "pay at the bank", {**to, **holder})


async def mpesa(shop: Shop) -> None:
    """A question on the payer's phone."""
    payer = {"name": "Wanjiru", "phone": "+254712345678"}
    await _waiting(shop, await shop.create("KE", "KES", "mpesa", payer=payer), "confirm on the phone")


async def spei(shop: Shop) -> None:
    """A CLABE for one payment, a transfer, the bank's callback."""
    payer = {"name": "Beto Ruiz", "email": "beto@example.com"}
    to = {"account": "646180110400000007", "holder_name": "Beto Ruiz"}
    await _waiting(shop, await shop.create("MX", "MXN", "spei", payer=payer), "transfer", to)


async def _waiting(shop: Shop, payin: dict[str, Any], step: str, to: dict[str, Any] | None = None) -> None:
    """A payin that waits for its payer: paid in the sandbox, then refunded in part."""
    if payin["status"] != "pending":
        raise Stopped(str(payin["status"]))
    await shop.played(payin, step)
    await shop.until(f"/v1/payins/{payin['id']}", "paid", "paid")
    await shop.refunded(payin, to)


FLOWS: Final[tuple[tuple[str, str, Callable[[Shop], Awaitable[None]]], ...]] = (
    ("card BR", "BRL", card),
    ("pix BR", "BRL", pix),
    ("boleto BR", "BRL", boleto),
    ("pse CO", "COP", pse),
    ("mpesa KE", "KES", mpesa),
    ("spei MX", "MXN", spei),
)


async def run(ready: Ready) -> list[Row]:
    """Runs every flow once."""
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return [await _row(Shop(ready, session), *flow) for flow in FLOWS]


async def _row(shop: Shop, name: str, currency: str, flow: Callable[[Shop], Awaitable[None]]) -> Row:
    started, status = monotonic(), EXPECTED
    try:
        await flow(shop)
    except Stopped as error:
        status = str(error)
    took_s = monotonic() - started
    return Row(
        name=name, steps=" → ".join(shop.steps), took_s=took_s, status=status, balance=await _balance(shop, currency)
    )


async def _balance(shop: Shop, currency: str) -> str:
    balances = await shop.get("/v1/balances")
    for balance in balances.get("data", []):
        if balance["currency"] == currency:
            amount = format_amount(balance["pending"] + balance["available"], currency)
            return f"{amount} pending or available"
    return ""


async def _json(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> dict[str, Any]:
    try:
        async with request as answer:
            found: dict[str, Any] = await answer.json(content_type=None)
            return found
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return {"code": type(error).__name__}
