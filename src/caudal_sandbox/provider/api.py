"""The provider's JSON API for caudal: verify, parse, call the provider, write down."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from caudal_sandbox import wire
from caudal_sandbox.http import Request, Response, Route, get, post
from caudal_sandbox.problems import FieldError, Problem, invalid
from caudal_sandbox.provider import books, magic, parse, shown, trouble
from caudal_sandbox.provider.conditions import Desk, under
from caudal_sandbox.provider.model import FILE_MAX, Evidence, Method
from caudal_sandbox.provider.verbs import Provider
from caudal_sandbox.signature import PROVIDER, of_request, verify

STATEMENT_PAGE = 500
EARLY_S, EARLY_STEP_S = 3.0, 0.02
KINDS = {"captures": "capture", "cancellations": "cancellation", "refunds": "refund"}
FILES = ("application/pdf", "image/png", "image/jpeg")


def routes(desk: Desk) -> list[Route]:
    """List the API's routes."""
    place = desk.provider.place + "/v1/provider/"
    method = place + "{method:card|pix|boleto|pse|mpesa}"
    return [
        post(method + "/payments", under(desk, post_payment)),
        get(method + "/payments/{key}", under(desk, get_payment)),
        post(method + "/payments/{key}/{kind:captures|cancellations|refunds}", under(desk, post_operation)),
        get(method + "/operations/{key}", under(desk, get_operation)),
        get(method + "/disputes/{reference}", under(desk, get_dispute)),
        post(method + "/disputes/{reference}/evidence", under(desk, post_evidence), body_max=FILE_MAX),
        get(place + "statement", partial(get_statement, desk)),
        get(place + "callbacks", partial(get_callbacks, desk)),
    ]


async def post_payment(desk: Desk, request: Request) -> Response:
    """Book a payment: 201, or 200 when the same order was booked before."""
    provider = desk.provider
    method, given = Method(request.parameters["method"]), _signed_json(desk, request)
    ask = parse.payment_ask(method, given, provider.secret)
    fault = magic.of_amount(ask.amount_minor, "answer")
    if desk.struck.strikes(fault, ask.key):
        return await trouble.answered(fault, None)
    payment, new = await provider.pay_in(ask, declines=desk.now.declines())
    right = wire.answer(shown.payment(payment, provider.url), status=201 if new else 200)
    if not new:
        return right
    if magic.of_amount(ask.amount_minor, "callback") == "early":
        await _callbacks_are_through(provider, payment.key)
    return right if fault in (None, *trouble.BEFORE) else await trouble.answered(fault, right)


async def get_payment(desk: Desk, request: Request) -> Response:
    """Say how a payment stands."""
    provider = desk.provider
    _verify(desk, request)
    payment = await provider.find(request.parameters["method"], request.parameters["key"])
    return wire.answer(shown.payment(payment, provider.url))


async def post_operation(desk: Desk, request: Request) -> Response:
    """Capture, cancel or refund: 201, or 200 when the same order was carried out before."""
    provider = desk.provider
    method, given = Method(request.parameters["method"]), _signed_json(desk, request)
    kind, payment_key = KINDS[request.parameters["kind"]], request.parameters["key"]
    ask = parse.operation_ask(kind, method, payment_key, given, provider.secret)
    fault = magic.of_amount(ask.amount_minor, "answer")
    if desk.struck.strikes(fault, ask.key):
        return await trouble.answered(fault, None)
    operation, new = await provider.operate(ask)
    right = wire.answer(shown.operation(operation), status=201 if new else 200)
    if not new or fault in trouble.BEFORE:
        return right
    return await trouble.answered(fault, right)


async def get_operation(desk: Desk, request: Request) -> Response:
    """Say how an operation stands."""
    _verify(desk, request)
    method, key = request.parameters["method"], request.parameters["key"]
    return wire.answer(shown.operation(await desk.provider.find_operation(method, key)))


async def get_dispute(desk: Desk, request: Request) -> Response:
    """Say how a dispute stands."""
    _verify(desk, request)
    dispute = await desk.provider.find_dispute(request.parameters["reference"])
    if dispute.method != request.parameters["method"]:
        raise Problem(404, "dispute_unknown", "No dispute has this reference.")
    return wire.answer(shown.dispute(dispute))


async def post_evidence(desk: Desk, request: Request) -> Response:
    """Take a file against a dispute; its bytes are counted and digested, not kept."""
    wire.known_query(request, "key")
    _verify(desk, request)
    content = request.body
    key = request.query.get("key", "")
    if not parse.KEY.fullmatch(key):
        raise invalid([FieldError(field="key", code="malformed", detail="This must be 32 lower-case hex digits.")])
    if request.content_type not in FILES:
        raise Problem(415, "unsupported_media_type", "Evidence is a PDF, a PNG or a JPEG.")
    if not content:
        raise Problem(400, "empty_body", "The file is empty.")
    evidence = Evidence(
        key=key,
        reference=request.parameters["reference"],
        content_type=request.content_type,
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
    )
    new = await desk.provider.take_evidence(request.parameters["method"], evidence)
    return wire.answer({"reference": evidence.reference, "status": "received"}, status=201 if new else 200)


async def get_statement(desk: Desk, request: Request) -> Response:
    """Stream every payment as it stands, provider by provider in the order of booking, one JSON object a line."""
    wire.known_query(request)
    return Response(content_type="application/x-ndjson", stream=_statement(desk))


async def _statement(desk: Desk) -> AsyncIterator[bytes]:
    for provider in desk.everybody:
        last_seq = await provider.journal.read(books.last_seq)
        for after_seq in range(0, last_seq, STATEMENT_PAGE):
            # One short read a page: a long one would keep the write-ahead log from being folded in.
            to_seq = min(after_seq + STATEMENT_PAGE, last_seq)
            page = await provider.journal.read(partial(books.statement, after_seq=after_seq, to_seq=to_seq))
            lines = (wire.text(shown.statement_line(provider.name, line)) + "\n" for line in page)
            yield "".join(lines).encode()


async def get_callbacks(desk: Desk, request: Request) -> Response:
    """Count the callbacks that wait and those that caudal refused."""
    wire.known_query(request)
    totals = [await provider.journal.read(books.totals) for provider in desk.everybody]
    return wire.answer({status: sum(one[status] for one in totals) for status in totals[0]})


def _signed_json(desk: Desk, request: Request) -> dict[str, Any]:
    _verify(desk, request)
    return wire.json_body(request)


def _verify(desk: Desk, request: Request) -> None:
    # The address of a provider is no part of what is signed: caudal signs what comes behind it.
    provider = desk.provider
    signed = of_request(request.method, request.target.removeprefix(provider.place), request.body)
    verify(provider.secret, PROVIDER, request.header(PROVIDER), signed, time.time())


async def _callbacks_are_through(provider: Provider, key: str) -> None:
    """Wait until caudal has heard, or for three seconds."""
    for _ in range(int(EARLY_S / EARLY_STEP_S)):
        if not provider.journal.glance(lambda rows: books.waits(rows, key)):
            return
        await asyncio.sleep(EARLY_STEP_S)
