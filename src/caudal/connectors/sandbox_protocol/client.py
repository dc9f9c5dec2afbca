"""The wire: signed JSON over kept connections. Whatever goes wrong comes back as a noun, never as an exception.

    200, 201, agreeing with what was asked   the state
    404 to a query                           NotFound
    400, 404, 405, 413, 415, 422             Declined: nothing happened, and never will
    401, 403, 408, 425, 429, 503             Unresolved, retry: nothing happened; likewise without a connection
    409, 5xx, silence, garbage               Unresolved, unknown: ask again by the same key

What is not in the protocol's form does not come from the provider, whatever its status: a proxy's 404 is `unknown`.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeVar
from urllib.parse import quote

import msgspec

from caudal.connectors.links import Link, links
from caudal.connectors.model import (
    Capabilities,
    CaptureOrder,
    Declined,
    Evidence,
    EvidenceTaken,
    Mode,
    NotFound,
    OperationQuery,
    OperationState,
    PaymentOrder,
    PaymentQuery,
    PaymentState,
    RefundOrder,
    Unresolved,
    VoidOrder,
)
from caudal.connectors.sandbox_protocol.inbound import HEADER, signature
from caudal.connectors.sandbox_protocol.translate import (
    REFUSALS,
    Garbled,
    NewCancellation,
    NewCapture,
    NewRefund,
    ProviderEvidence,
    ProviderOperation,
    ProviderPayment,
    ProviderProblem,
    Unfit,
    Words,
    operation_of,
    payment_of,
)
from caudal.contracts.reasons import Reason
from caudal.kernel.context import Context
from caudal.kernel.exchange import AnswerTooLong, ExchangeBroken, NotConnected
from caudal.kernel.http import encode
from caudal.kernel.telemetry import Attributes, Outgoing

log = logging.getLogger(__name__)

T = TypeVar("T")

_REFUSED: Final = frozenset({400, 404, 405, 413, 415, 422})
_NOTHING_HAPPENED: Final = frozenset({401, 403, 408, 425, 429, 503})
_JSON: Final = "application/json"
_DIGITS: Final = re.compile("[0-9a-f]{32}")
_CARD_NUMBER: Final = re.compile(r"\d(?:[ -]?\d){11,18}")

_payment = msgspec.json.Decoder(ProviderPayment).decode
_operation = msgspec.json.Decoder(ProviderOperation).decode
_evidence = msgspec.json.Decoder(ProviderEvidence).decode
_problem = msgspec.json.Decoder(ProviderProblem).decode


class ProviderClient:
    """Talks to one provider about one method, over the connections that all of its methods share."""

    def __init__(self, context: Context, provider: str, capabilities: Capabilities, words: Words) -> None:
        self.capabilities, self._words, self._provider = capabilities, words, provider
        self._folder = f"/v1/provider/{capabilities.method}"
        self._context, self._links = context, links(context)

    def available(self, mode: Mode) -> bool:
        """Whether there is such a provider for this mode, and a new payment is welcome there now."""
        link = self._links.of(self._provider, mode)
        return link is not None and link.welcomes()

    async def submit(self, order: PaymentOrder, deadline: float | None = None) -> PaymentState | Declined | Unresolved:
        """Makes the payment, or finds the one that was made with this key. `deadline`: monotonic seconds."""
        try:
            body = encode(self._words.asked(order))
        except Unfit as unfit:
            log.warning("an order to %s is not sent: %s", self._provider, unfit, extra={"key": order.key})
            return Declined(reason="invalid_request", detail=str(unfit))

        def read(status: int, told: bytes) -> PaymentState | Declined | Unresolved:
            if status == 404:  # not a payment that is missing, but the provider
                return Unresolved(kind="retry", detail=_shown(f"HTTP 404 {_problem(told).code}"))
            return self._payment_in(told, order) if status in (200, 201) else self._refusal(status, told)

        return await self._ask(order.mode, "submit", order.key, "POST", "/payments", body, read, deadline)

    async def payment(self, query: PaymentQuery, deadline: float | None = None) -> PaymentState | NotFound | Unresolved:
        """How a payment stands."""

        def read(status: int, told: bytes) -> PaymentState | NotFound | Unresolved:
            return self._payment_in(told, query) if status == 200 else _absence(status, told)

        return await self._ask(query.mode, "payment", query.key, "GET", f"/payments/{query.key}", b"", read, deadline)

    async def capture(
        self, order: CaptureOrder, deadline: float | None = None
    ) -> OperationState | Declined | Unresolved:
        """Takes a part of what is authorized."""
        if not self.capabilities.manual_capture:
            return self._not_possible("captured by itself")
        new = NewCapture(key=order.key, amount=order.amount_minor, final=order.final)
        query = OperationQuery(
            key=order.key,
            payment_key=order.payment_key,
            mode=order.mode,
            kind="capture",
            amount_minor=order.amount_minor,
            currency=order.currency,
        )
        return await self._operate("captures", new, query, deadline)

    async def void(self, order: VoidOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        """Gives up a payment that waits, or what is authorized and not captured."""
        if not self.capabilities.void:
            return self._not_possible("cancelled")
        query = OperationQuery(
            key=order.key,
            payment_key=order.payment_key,
            mode=order.mode,
            kind="void",
            amount_minor=None,
            currency=None,
        )
        return await self._operate("cancellations", NewCancellation(key=order.key), query, deadline)

    async def refund(self, order: RefundOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        """Gives money back."""
        way = self.capabilities.refund
        if way == "none" or (way == "bank_account" and order.destination is None):
            return self._not_possible("refunded this way")
        new = NewRefund(key=order.key, amount=order.amount_minor, destination=order.destination)
        query = OperationQuery(
            key=order.key,
            payment_key=order.payment_key,
            mode=order.mode,
            kind="refund",
            amount_minor=order.amount_minor,
            currency=order.currency,
        )
        return await self._operate("refunds", new, query, deadline)

    async def operation(
        self, query: OperationQuery, deadline: float | None = None
    ) -> OperationState | NotFound | Unresolved:
        """How a capture, a void or a refund stands."""

        def read(status: int, told: bytes) -> OperationState | NotFound | Unresolved:
            return self._operation_in(told, query) if status == 200 else _absence(status, told)

        return await self._ask(
            query.mode, "operation", query.payment_key, "GET", f"/operations/{query.key}", b"", read, deadline
        )

    async def send_evidence(
        self, evidence: Evidence, deadline: float | None = None
    ) -> EvidenceTaken | Declined | Unresolved:
        """Sends a file against a dispute."""
        if not self.capabilities.disputes:
            return self._not_possible("disputed")

        def read(status: int, told: bytes) -> EvidenceTaken | Declined | Unresolved:
            if status not in (200, 201):
                return self._refusal(status, told)
            if _evidence(told).reference != evidence.dispute_reference:
                raise Garbled("the answer is about another dispute")
            return EvidenceTaken(dispute_reference=evidence.dispute_reference)

        path = f"/disputes/{quote(evidence.dispute_reference, safe='')}/evidence?key={evidence.key}"
        return await self._ask(
            evidence.mode,
            "evidence",
            None,
            "POST",
            path,
            evidence.content,
            read,
            deadline,
            content_type=evidence.content_type,
        )

    async def _operate(
        self, verb: str, new: msgspec.Struct, query: OperationQuery, deadline: float | None
    ) -> OperationState | Declined | Unresolved:
        def read(status: int, told: bytes) -> OperationState | Declined | Unresolved:
            return self._operation_in(told, query) if status in (200, 201) else self._refusal(status, told)

        path = f"/payments/{query.payment_key}/{verb}"
        return await self._ask(query.mode, query.kind, query.payment_key, "POST", path, encode(new), read, deadline)

    def _not_possible(self, verb: str) -> Declined:
        return Declined(reason="not_permitted", detail=f"a {self.capabilities.method} payment cannot be {verb}")

    # What an answer says

    def _payment_in(self, told: bytes, asked: PaymentOrder | PaymentQuery) -> PaymentState | Unresolved:
        state = payment_of(_payment(told), self.capabilities.method, self._words)
        if (state.key, state.account) != (asked.key, asked.account):
            raise Garbled("the answer is about another payment")
        return state if _is_as_asked(state, asked) else _otherwise(state)

    def _operation_in(self, told: bytes, asked: OperationQuery) -> OperationState | Unresolved:
        state = operation_of(_operation(told), self._words)
        if (state.key, state.payment_key, state.kind) != (asked.key, asked.payment_key, asked.kind):
            raise Garbled("the answer is about another operation")
        return state if _is_as_asked(state, asked) else _otherwise(state)

    def _refusal(self, status: int, told: bytes) -> Declined | Unresolved:
        if status in _REFUSED:
            problem = _problem(told)
            reason: Reason = "invalid_request"
            if status == 422:
                reason = REFUSALS.get(problem.code) or self._words.reason_of(problem.code)
            fields = " ".join(wrong.field for wrong in problem.errors)
            detail = _shown(f"{problem.code}: {problem.detail} {fields}".rstrip())
            # What a payment or an operation came to says the reason alone, and this is not an answer to a payer.
            log.warning(
                "provider %s refuses what was asked: %s %s", self._provider, _shown(problem.code), _shown(fields)
            )
            return Declined(reason=reason, detail=detail)
        return _trouble(status, told)

    # The exchange

    async def _ask(
        self,
        mode: Mode,
        operation: str,
        payment: str | None,
        verb: str,
        path: str,
        body: bytes,
        read: Callable[[int, bytes], T | Unresolved],
        deadline: float | None,
        *,
        content_type: str = _JSON,
    ) -> T | Unresolved:
        link = self._links.of(self._provider, mode)
        if link is None or link.provider.url is None:
            return Unresolved(kind="retry", detail=f"no {mode} provider {self._provider} is configured")

        async def one_try(within_s: float) -> T | Unresolved:
            began, call = monotonic(), Outgoing(self._context.tracer, object_of(payment))
            status, answer = await tried(within_s, call.lines)
            outcome = answer.kind if isinstance(answer, Unresolved) else "answered"
            link.took(self.capabilities.method, operation, outcome, monotonic() - began)

            def told() -> Attributes:
                of: Attributes = {"caudal.operation": operation, "caudal.outcome": outcome}
                return of | link.told(verb, self._folder + path, status)

            call.ended(f"{operation} {self._provider}", told, _error(answer))
            return answer

        async def tried(within_s: float, trace: str) -> tuple[int | None, T | Unresolved]:
            status: int | None = None
            try:
                status, told = await _exchange(link, verb, self._folder + path, body, content_type, within_s, trace)
                return status, read(status, told)
            except NotConnected as error:
                return status, Unresolved(kind="retry", detail=f"no connection: {error}")
            except ExchangeBroken as error:
                return status, Unresolved(kind="unknown", detail=str(error))
            except (TimeoutError, ValueError, RecursionError) as error:
                return status, Unresolved(kind="unknown", detail=type(error).__name__)
            except Garbled as garbled:
                return status, Unresolved(kind="unknown", detail=_shown(str(garbled)))

        return await link.around.call(one_try, deadline, deduplicates=verb == "GET" or self.capabilities.deduplicates)


def _is_as_asked(state: PaymentState | OperationState, asked: PaymentOrder | PaymentQuery | OperationQuery) -> bool:
    """Whether it is of the amount and the currency that were asked for, where that was said."""
    return asked.amount_minor in (None, state.amount_minor) and asked.currency in (None, state.currency)


def _otherwise(state: PaymentState | OperationState) -> Unresolved:
    detail = f"the provider has it with another amount: {state.amount_minor} {state.currency}"
    return Unresolved(kind="unknown", detail=detail, otherwise=state)


def _error(answer: object) -> str | None:
    return answer.kind if isinstance(answer, Unresolved) else None


def object_of(payment: str | None) -> int | None:
    """Whose trace a call about a payment is in: the payin's, whose id its key begins with."""
    digits = "" if payment is None else payment[:32]
    return int(digits, 16) if _DIGITS.fullmatch(digits) else None


async def _exchange(
    link: Link, verb: str, path: str, body: bytes, content_type: str, within_s: float, trace: str
) -> tuple[int, bytes]:
    """One request and its answer. Raises Garbled when that is too long, or holds U+0000."""
    provider, lines = link.provider, link.lines
    assert content_type.isprintable(), "a type is known before it is sent on"
    signed = signature(provider.secret, int(time.time()), verb, path, body)
    head = f"{verb} {lines.folder}{path} HTTP/1.1\r\nHost: {lines.host}\r\n{HEADER}: {signed}\r\n{trace}"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    # Less than the whole, so that the time in which nothing was sent yet is known from the rest.
    connect_s = min(provider.connect_timeout_ms / 1000, 0.9 * within_s)
    request = head.encode() + b"\r\n" + body
    try:
        status, told = await lines.exchange(request, within_s=within_s, connect_s=connect_s)
    except AnswerTooLong:
        raise Garbled("the answer is too long") from None
    if b"\\u0000" in told:
        raise Garbled("the answer holds U+0000")
    return status, told


def _absence(status: int, told: bytes) -> NotFound | Unresolved:
    if status == 404:
        _problem(told)
        return NotFound()
    return _trouble(status, told)


def _trouble(status: int, told: bytes) -> Unresolved:
    """What an answer that is neither a state nor a refusal means: only in the protocol's words did nothing happen."""
    if status not in _NOTHING_HAPPENED:
        return Unresolved(kind="unknown", detail=f"HTTP {status}")
    return Unresolved(kind="retry", detail=_shown(f"HTTP {status} {_problem(told).code}"))


def _shown(text: str) -> str:
    """A provider's text as we keep it: short, printable, and without anything that could be a card's number."""
    return "".join(char for char in _CARD_NUMBER.sub("…", text[:500]) if char.isprintable())[:200]
