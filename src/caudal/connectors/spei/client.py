"""The wire to the bank: orders to return money and to send it. Each is idempotent by its key, so repeating it asks.

    200, 201, with the order's key, amount and currency             done
    404 transfer_unknown, 409 return_exceeds_transfer, 422          permanent: nothing happened, and never will
    401, 403, 429, 503, in the bank's form; without a connection    retry: nothing happened
    everything else                                                 unknown: ask again by the same key

What is not in the bank's form does not come from the bank, whatever its status: a proxy's 404 is `unknown`, and so is a
redirect. A key that the bank knows for another order (`…_key_reused`) says that money may have moved: never permanent.
"""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID

import msgspec

from caudal.connectors.model import Outcome, PaymentOut, ReturnOrder
from caudal.connectors.providers import BANK
from caudal.connectors.spei.inbound import signature
from caudal.connectors.spei.translate import (
    BankProblem,
    PaymentSent,
    Returned,
    SpeiPayment,
    SpeiReturn,
    agrees,
    payment_of,
    return_of,
)
from caudal.kernel.context import Context
from caudal.kernel.exchange import ExchangeError, Lines, NotConnected
from caudal.kernel.http import encode
from caudal.kernel.settings import Settings
from caudal.kernel.telemetry import Attributes, Outgoing

_DEADLINE_S: Final = 5.0
_CONNECT_S: Final = 1.0
_LARGEST: Final = 65_536  # bytes of an answer
_NEVER: Final = frozenset({(404, "transfer_unknown"), (409, "return_exceeds_transfer"), (422, "invalid_request")})
_NOTHING_HAPPENED: Final = frozenset({401, 403, 429, 503})

_Order = SpeiReturn | SpeiPayment
_problem = msgspec.json.Decoder(BankProblem).decode


def bank_of(settings: Settings, *, live: bool) -> tuple[str, str] | None:
    """The address and the secret of the bank of a mode; None where none is connected."""
    if live:
        url, secret = settings.spei_url_live, settings.spei_secret_live
    else:
        url, secret = settings.sandbox_url, settings.spei_secret_test
    return None if url is None or secret is None else (url, secret)


class SpeiClient:
    """Talks to the banks, one a mode. One per process; it connects at the first call."""

    def __init__(self, context: Context) -> None:
        self._context, self._settings = context, context.settings
        self._lines: dict[str, Lines] = {}
        context.closing.append(self.close)

    async def close(self) -> None:
        """Ends the connections."""
        for lines in self._lines.values():
            await lines.close()

    async def send_back(self, order: ReturnOrder, *, live: bool, about: UUID | None = None) -> Outcome:
        """Asks the bank to return money. `unknown` and `retry` may be asked again with the same key.

        `about` is the object whose trace the call is in where nothing that runs has one.
        """
        return await self._traced("return", "/v1/bank/returns", return_of(order), Returned, live, about)

    async def pay_out(self, order: PaymentOut, *, live: bool, about: UUID | None = None) -> Outcome:
        """Asks the bank to send money to a CLABE, likewise."""
        return await self._traced("payment", "/v1/bank/payments", payment_of(order), PaymentSent, live, about)

    async def _traced(
        self,
        operation: str,
        path: str,
        order: _Order,
        form: type[Returned | PaymentSent],
        live: bool,
        about: UUID | None,
    ) -> Outcome:
        call = Outgoing(self._context.tracer, None if about is None else about.int)
        outcome = await self._order(path, order, form, call.header, live=live)
        told: Attributes = {
            "caudal.provider": BANK,
            "caudal.mode": "live" if live else "test",
            "caudal.operation": operation,
        }
        undecided = outcome.status in ("retry", "unknown")
        answer = outcome.status if undecided else "answered"
        call.ended(f"{operation} {BANK}", told | {"caudal.outcome": answer}, answer if undecided else None)
        return outcome

    async def _order(
        self, path: str, order: _Order, form: type[Returned | PaymentSent], traceparent: str, *, live: bool
    ) -> Outcome:
        bank = bank_of(self._settings, live=live)
        if bank is None:
            return Outcome(status="retry", detail="no bank is configured for this mode")
        url, secret = bank
        lines = self._lines.get(url)
        if lines is None:
            lines = self._lines[url] = Lines(url, kept_s=4.0, largest=_LARGEST)
        body = encode(order)
        head = (
            f"POST {lines.folder}{path} HTTP/1.1\r\nHost: {lines.host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nSpei-Signature: {signature(secret, int(time.time()), body)}\r\n"
        )
        if traceparent:
            head += f"traceparent: {traceparent}\r\n"
        connect_s = min(_CONNECT_S, 0.9 * _DEADLINE_S)
        try:
            status, told = await lines.exchange(
                head.encode() + b"\r\n" + body, within_s=_DEADLINE_S, connect_s=connect_s
            )
        except NotConnected as error:
            return Outcome(status="retry", detail=f"no connection: {error}")
        except (ExchangeError, TimeoutError) as error:
            return Outcome(status="unknown", detail=type(error).__name__)
        return _outcome(status, told, order, form)


def _outcome(status: int, told: bytes, order: _Order, form: type[Returned | PaymentSent]) -> Outcome:
    try:
        if status in (200, 201):
            if agrees(order, msgspec.json.decode(told, type=form)):
                return Outcome(status="done", detail="")
            return Outcome(status="unknown", detail="the answer is about another order")
        problem = _problem(told)
    except (ValueError, RecursionError):
        return Outcome(status="unknown", detail=f"HTTP {status}, not in the bank's form")
    detail = f"HTTP {status} {problem.code}: {problem.detail}"[:200]
    if (status, problem.code) in _NEVER:
        return Outcome(status="permanent", detail=detail)
    return Outcome(status="retry" if status in _NOTHING_HAPPENED else "unknown", detail=detail)
