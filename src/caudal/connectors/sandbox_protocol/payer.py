"""The payer of a sandbox's payment, for tests and demonstrations: what a person would do on the payer's page."""

from __future__ import annotations

from typing import Final, Literal

import aiohttp

from caudal.connectors.model import Outcome
from caudal.kernel.http import encode
from caudal.kernel.settings import Settings

Act = Literal["pay", "decline", "expire", "dispute"]

_DEADLINE_S: Final = 5.0


async def act(url: str, payment_key: str, verb: Act) -> Outcome:
    """Pays, declines, lets expire or disputes. `permanent` when the payment does not allow it."""
    path = f"/v1/provider/payers/{payment_key}/{verb}"
    return await post(url, path, b"{}")


async def transfer(settings: Settings, clabe: str, amount_minor: int, payer_name: str) -> Outcome:
    """Sends money to a CLABE, as the customer of another bank."""
    ask = {"clabe": clabe, "amount": amount_minor, "currency": "MXN", "payer_name": payer_name}
    return await post(settings.sandbox_url, "/v1/bank/transfers", encode(ask))


async def post(url: str | None, path: str, body: bytes) -> Outcome:
    """One unsigned request to the sandbox: whoever pays has no secret of ours."""
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            headers = {"Content-Type": "application/json"}
            async with session.post(f"{url}{path}", data=body, headers=headers) as answer:
                text = (await answer.text())[:500]
                if answer.status < 300:
                    return Outcome(status="done", detail="")
                kind: Literal["permanent", "retry"] = "permanent" if answer.status < 500 else "retry"
                return Outcome(status=kind, detail=text)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return Outcome(status="unknown", detail=type(error).__name__)
