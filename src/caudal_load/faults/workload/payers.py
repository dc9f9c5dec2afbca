"""Payers: those with an account at the sandbox's bank transfer what a SPEI payin asks for, the others pay at the
sandbox's payer's page when their payin waits for them.

Exactly, in two parts, too much; some reports of the bank come twice. What is not answered is ordered again with the
same tracking key.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable
from random import Random

import aiohttp

from caudal_load.faults.workload.orders import PAYS_HERSELF, Payin

_PAYERS = 8
_PAY = 0.6
_PAUSE_S = 0.05
_AGAIN_S = 0.3
_TIMES = 10
_OPEN = frozenset({"pending", "submitting"})


class Payers:
    """They pay what they are told of."""

    def __init__(
        self, session: aiohttp.ClientSession, sandbox_url: str, api_urls: list[str], secrets: list[str], seed: int
    ) -> None:
        self._session, self._sandbox_url, self._urls, self._secrets = session, sandbox_url, api_urls, secrets
        self._random = Random(seed)
        self._transfers: deque[dict[str, object]] = deque()
        self._pages: deque[Payin] = deque()
        self._paying, self._closed = 0, False
        self.transfers = 0
        """How many the bank has confirmed."""
        self.refused: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def idle(self) -> bool:
        """Whether everything is paid."""
        return not self._transfers and not self._pages and not self._paying

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._payer()) for _ in range(_PAYERS)]

    def close_pages(self) -> None:
        """Whoever has not paid on a page does not any more; transfers that were ordered are."""
        self._pages.clear()
        self._closed = True

    async def end(self) -> None:
        """Pay no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def told(self, payin: Payin) -> None:
        """There is a payin: some are paid."""
        if payin.status not in _OPEN or self._random.random() > _PAY:
            return
        if payin.clabe is not None:
            self._order(payin.clabe, payin.amount, payin.id)
        elif payin.method not in ("card", "spei") and payin.amount % 10_000 != PAYS_HERSELF:
            self._pages.append(payin)

    def _order(self, clabe: str, amount: int, id: str) -> None:
        chance, name = self._random.random(), id.rpartition("_")[2][-26:]
        amounts, copies = [amount], 1
        if chance < 0.1 and amount > 1:
            amounts = [amount // 3 or 1, amount - (amount // 3 or 1)]
        elif chance < 0.2:
            amounts = [amount + 77]
        elif chance < 0.3:
            copies = 2
        for number, part in enumerate(amounts):
            self._transfers.append(
                {
                    "clabe": clabe,
                    "amount": part,
                    "currency": "MXN",
                    "payer_name": "Beto Ruiz",
                    "tracking_key": f"F{name}{number}",
                    "deliver": {"copies": copies},
                }
            )

    async def _payer(self) -> None:
        while True:
            if self._transfers:
                await self._counted(self._transfer(self._transfers.popleft()))
            elif self._pages:
                await self._counted(self._page(self._pages.popleft()))
            else:
                await asyncio.sleep(_PAUSE_S)

    async def _counted(self, paying: Awaitable[None]) -> None:
        self._paying += 1
        try:
            await paying
        finally:
            self._paying -= 1

    async def _transfer(self, order: dict[str, object]) -> None:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(f"{self._sandbox_url}/v1/bank/transfers", json=order) as answer:
                    if answer.status in (200, 201):
                        self.transfers += 1
                        return
                    if answer.status < 500:
                        self.refused.append(f"{order['tracking_key']}: {answer.status} {await answer.text()}")
                        return
            await asyncio.sleep(_AGAIN_S)

    async def _page(self, payin: Payin) -> None:
        """What a person does on the page; it may be over by now, or not known to the provider yet."""
        headers = {"Authorization": f"Bearer {self._secrets[payin.merchant]}"}
        for _ in range(_TIMES):
            if self._closed:
                return
            url = f"{self._random.choice(self._urls)}/v1/sandbox/payins/{payin.id}/pay"
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self._session.post(url, headers=headers) as answer:
                    if answer.status in (200, 202, 409):
                        return
            await asyncio.sleep(_AGAIN_S)
