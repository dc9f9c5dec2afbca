"""The payer of a sandbox's payment, for tests and demonstrations: what a person would do on the payer's page."""

from __future__ import annotations

from typing import Final, Literal

from caudal.connectors.model import Outcome
from caudal.kernel.exchange import ExchangeError, Lines
from caudal.kernel.http import encode
from caudal.kernel.settings import Settings

Act = Literal["pay", "decline", "expire", "dispute"]

_DEADLINE_S: Final = 5.0
_LARGEST_BYTES: Final = 1_000_000


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
    if url is None:
        return Outcome(status="unknown", detail="no sandbox is configured")
    lines = Lines(url, kept_s=0.0, largest=_LARGEST_BYTES)
    head = f"POST {lines.folder}{path} HTTP/1.1\r\nHost: {lines.host}\r\nContent-Type: application/json\r\n"
    asked = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    try:
        status, answer = await lines.exchange(asked, within_s=_DEADLINE_S, connect_s=_DEADLINE_S)
    except (ExchangeError, TimeoutError) as error:
        return Outcome(status="unknown", detail=type(error).__name__)
    finally:
        await lines.close()
    if status < 300:
        return Outcome(status="done", detail="")
    kind: Literal["permanent", "retry"] = "permanent" if status < 500 else "retry"
    return Outcome(status=kind, detail=answer.decode(errors="replace")[:500])
