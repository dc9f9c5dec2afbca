"""The wire to the bank: orders to return money and to send it. Each is idempotent by its key, so repeating it asks."""

from __future__ import annotations

import time
from typing import Final

import aiohttp
import msgspec

from caudal.connectors.model import Outcome, PaymentOut, ReturnOrder
from caudal.connectors.spei.inbound import signature
from caudal.connectors.spei.translate import payment_of, return_of
from caudal.kernel.context import Context
from caudal.kernel.http import encode

_DEADLINE_S: Final = 5.0


class SpeiClient:
    """Talks to the bank of one mode. One per process; the session is made at the first call."""

    def __init__(self, context: Context) -> None:
        self._settings = context.settings
        self._session: aiohttp.ClientSession | None = None
        context.closing.append(self.close)

    async def close(self) -> None:
        """Ends the connections."""
        if self._session is not None:
            await self._session.close()

    async def send_back(self, order: ReturnOrder, *, live: bool) -> Outcome:
        """Asks the bank to return money. `unknown` and `retry` may be asked again with the same key."""
        return await self._order("/v1/bank/returns", return_of(order), live=live)

    async def pay_out(self, order: PaymentOut, *, live: bool) -> Outcome:
        """Asks the bank to send money to a CLABE, likewise."""
        return await self._order("/v1/bank/payments", payment_of(order), live=live)

    async def _order(self, path: str, order: msgspec.Struct, *, live: bool) -> Outcome:
        secret = self._settings.spei_secret_live if live else self._settings.spei_secret_test
        if live or secret is None or self._settings.sandbox_url is None:
            return Outcome(status="retry", detail="no bank is configured for this mode")
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_DEADLINE_S))
        body = encode(order)
        headers = {"Content-Type": "application/json", "Spei-Signature": signature(secret, int(time.time()), body)}
        try:
            address = f"{self._settings.sandbox_url}{path}"
            async with self._session.post(address, data=body, headers=headers) as answer:
                text = (await answer.text())[:500]
                return _outcome(answer.status, text)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Outcome(status="unknown", detail=type(error).__name__)


def _outcome(status: int, text: str) -> Outcome:
    if 200 <= status < 300:
        return Outcome(status="done", detail="")
    if status in (404, 409, 422):
        return Outcome(status="permanent", detail=text)
    return Outcome(status="retry", detail=f"HTTP {status}")
