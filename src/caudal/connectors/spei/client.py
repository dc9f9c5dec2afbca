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
from time import monotonic
from typing import Final
from uuid import UUID

import msgspec

from caudal.connectors.links import Link, links
from caudal.connectors.model import Outcome, PaymentOut, ReturnOrder, Unresolved
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
from caudal.kernel.exchange import ExchangeError, NotConnected
from caudal.kernel.http import encode
from caudal.kernel.telemetry import Attributes, Outgoing

_NEVER: Final = frozenset({(404, "transfer_unknown"), (409, "return_exceeds_transfer"), (422, "invalid_request")})
_NOTHING_HAPPENED: Final = frozenset({401, 403, 429, 503})

_Order = SpeiReturn | SpeiPayment
_Form = type[Returned | PaymentSent]
_problem = msgspec.json.Decoder(BankProblem).decode


class SpeiClient:
    """Talks to the banks, one a mode, with the same around each as around every provider. One per process."""

    def __init__(self, context: Context) -> None:
        self._context, self._links = context, links(context)

    async def send_back(
        self, order: ReturnOrder, *, live: bool, about: UUID | None = None, deadline: float | None = None
    ) -> Outcome:
        """Asks the bank to return money. `unknown` and `retry` may be asked again with the same key.

        `about` is the object whose trace the call is in where nothing that runs has one; `deadline` is monotonic
        seconds, the request's, None where nobody waits.
        """
        path, asked = "/v1/bank/returns", return_of(order)
        return await self._asked("return", path, asked, Returned, live=live, about=about, deadline=deadline)

    async def pay_out(
        self, order: PaymentOut, *, live: bool, about: UUID | None = None, deadline: float | None = None
    ) -> Outcome:
        """Asks the bank to send money to a CLABE, likewise."""
        path, asked = "/v1/bank/payments", payment_of(order)
        return await self._asked("payment", path, asked, PaymentSent, live=live, about=about, deadline=deadline)

    async def _asked(
        self,
        operation: str,
        path: str,
        order: _Order,
        form: _Form,
        *,
        live: bool,
        about: UUID | None,
        deadline: float | None,
    ) -> Outcome:
        link = self._links.of(BANK, "live" if live else "test")
        if link is None:
            return Outcome(status="retry", detail="no bank is configured for this mode")
        body = encode(order)

        async def one_try(within_s: float) -> Outcome | Unresolved:
            began, call = monotonic(), Outgoing(self._context.tracer, None if about is None else about.int)
            status, said = await _exchanged(link, path, order, body, form, call.lines, within_s)
            undecided = said.kind if isinstance(said, Unresolved) else None
            outcome = undecided or "answered"
            link.took(BANK, operation, outcome, monotonic() - began)

            def told() -> Attributes:
                of: Attributes = {"caudal.operation": operation, "caudal.outcome": outcome}
                return of | link.told("POST", path, status)

            call.ended(f"{operation} {BANK}", told, undecided)
            return said

        # What may have happened is left to whoever asks later, by the same key: money on its way out is never hurried.
        said = await link.around.call(one_try, deadline, deduplicates=False)
        return Outcome(status=said.kind, detail=said.detail) if isinstance(said, Unresolved) else said


async def _exchanged(
    link: Link, path: str, order: _Order, body: bytes, form: _Form, trace: str, within_s: float
) -> tuple[int | None, Outcome | Unresolved]:
    """One order, the status of the bank's answer if there is one, and what it says."""
    lines = link.lines
    head = (
        f"POST {lines.folder}{path} HTTP/1.1\r\nHost: {lines.host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"Spei-Signature: {signature(link.provider.secret, int(time.time()), body)}\r\n{trace}"
    )
    # Less than the whole, so that the time in which nothing was sent yet is known from the rest.
    connect_s = min(link.provider.connect_timeout_ms / 1000, 0.9 * within_s)
    try:
        status, told = await lines.exchange(head.encode() + b"\r\n" + body, within_s=within_s, connect_s=connect_s)
    except NotConnected as error:
        return None, Unresolved(kind="retry", detail=f"no connection: {error}")
    except (ExchangeError, TimeoutError) as error:
        return None, Unresolved(kind="unknown", detail=type(error).__name__)
    return status, _outcome(status, told, order, form)


def _outcome(status: int, told: bytes, order: _Order, form: _Form) -> Outcome | Unresolved:
    try:
        if status in (200, 201):
            if agrees(order, msgspec.json.decode(told, type=form)):
                return Outcome(status="done", detail="")
            return Unresolved(kind="unknown", detail="the answer is about another order")
        problem = _problem(told)
    except (ValueError, RecursionError):
        return Unresolved(kind="unknown", detail=f"HTTP {status}, not in the bank's form")
    detail = f"HTTP {status} {problem.code}: {problem.detail}"[:200]
    if (status, problem.code) in _NEVER:
        return Outcome(status="permanent", detail=detail)
    return Unresolved(kind="retry" if status in _NOTHING_HAPPENED else "unknown", detail=detail)
