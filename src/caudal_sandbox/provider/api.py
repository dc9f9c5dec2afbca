"""The provider's JSON API for caudal: verify, parse, call the provider, write down."""

import asyncio
import hashlib
import time
from functools import partial
from typing import Any

from aiohttp import web

from caudal_sandbox import wire
from caudal_sandbox.fields import json_object
from caudal_sandbox.problems import FieldError, Problem, invalid
from caudal_sandbox.provider import books, magic, parse, shown, trouble
from caudal_sandbox.provider.conditions import FARING, PROVIDED, under
from caudal_sandbox.provider.model import FILE_MAX, Evidence, Method
from caudal_sandbox.provider.verbs import Provider
from caudal_sandbox.signature import PROVIDER, of_request, verify

ALL = web.AppKey("all providers", tuple[Provider, ...])
STRUCK = web.AppKey("struck", trouble.Before)
STATEMENT_PAGE = 500
EARLY_S, EARLY_STEP_S = 3.0, 0.02
KINDS = {"captures": "capture", "cancellations": "cancellation", "refunds": "refund"}
FILES = ("application/pdf", "image/png", "image/jpeg")


def routes() -> list[web.RouteDef]:
    """List the API's routes."""
    method = "/v1/provider/{method:card|pix|boleto|pse|mpesa}"
    return [
        web.post(method + "/payments", under(post_payment)),
        web.get(method + "/payments/{key}", under(get_payment)),
        web.post(method + "/payments/{key}/{kind:captures|cancellations|refunds}", under(post_operation)),
        web.get(method + "/operations/{key}", under(get_operation)),
        web.get(method + "/disputes/{reference}", under(get_dispute)),
        web.post(method + "/disputes/{reference}/evidence", under(post_evidence)),
        web.get("/v1/provider/statement", get_statement),
        web.get("/v1/provider/callbacks", get_callbacks),
    ]


async def post_payment(request: web.Request) -> web.StreamResponse:
    """Book a payment: 201, or 200 when the same order was booked before."""
    provider = request.app[PROVIDED]
    method, given = Method(request.match_info["method"]), await _signed_json(request)
    ask = parse.payment_ask(method, given, provider.secret)
    fault = magic.of_amount(ask.amount_minor, "answer")
    if request.app[STRUCK].strikes(fault, ask.key):
        return await trouble.answered(request, fault, None)
    payment, new = await provider.pay_in(ask, declines=request.app[FARING].now.declines())
    right = wire.answer(shown.payment(payment, provider.url), status=201 if new else 200)
    if not new:
        return right
    if magic.of_amount(ask.amount_minor, "callback") == "early":
        await _callbacks_are_through(provider, payment.key)
    return right if fault in (None, *trouble.BEFORE) else await trouble.answered(request, fault, right)


async def get_payment(request: web.Request) -> web.StreamResponse:
    """Say how a payment stands."""
    provider = request.app[PROVIDED]
    await _verified(request)
    payment = await provider.find(request.match_info["method"], request.match_info["key"])
    return wire.answer(shown.payment(payment, provider.url))


async def post_operation(request: web.Request) -> web.StreamResponse:
    """Capture, cancel or refund: 201, or 200 when the same order was carried out before."""
    provider = request.app[PROVIDED]
    method, given = Method(request.match_info["method"]), await _signed_json(request)
    kind, payment_key = KINDS[request.match_info["kind"]], request.match_info["key"]
    ask = parse.operation_ask(kind, method, payment_key, given, provider.secret)
    fault = magic.of_amount(ask.amount_minor, "answer")
    if request.app[STRUCK].strikes(fault, ask.key):
        return await trouble.answered(request, fault, None)
    operation, new = await provider.operate(ask)
    right = wire.answer(shown.operation(operation), status=201 if new else 200)
    if not new or fault in trouble.BEFORE:
        return right
    return await trouble.answered(request, fault, right)


async def get_operation(request: web.Request) -> web.StreamResponse:
    """Say how an operation stands."""
    await _verified(request)
    method, key = request.match_info["method"], request.match_info["key"]
    return wire.answer(shown.operation(await request.app[PROVIDED].find_operation(method, key)))


async def get_dispute(request: web.Request) -> web.StreamResponse:
    """Say how a dispute stands."""
    await _verified(request)
    dispute = await request.app[PROVIDED].find_dispute(request.match_info["reference"])
    if dispute.method != request.match_info["method"]:
        raise Problem(404, "dispute_unknown", "No dispute has this reference.")
    return wire.answer(shown.dispute(dispute))


async def post_evidence(request: web.Request) -> web.StreamResponse:
    """Take a file against a dispute; its bytes are counted and digested, not kept."""
    wire.known_query(request, "key")
    content = await _file(request)
    _verify(request, content)
    key = request.query.get("key", "")
    if not parse.KEY.fullmatch(key):
        raise invalid([FieldError(field="key", code="malformed", detail="This must be 32 lower-case hex digits.")])
    if request.content_type not in FILES:
        raise Problem(415, "unsupported_media_type", "Evidence is a PDF, a PNG or a JPEG.")
    if not content:
        raise Problem(400, "empty_body", "The file is empty.")
    evidence = Evidence(
        key=key,
        reference=request.match_info["reference"],
        content_type=request.content_type,
        size=len(content),
        digest=hashlib.sha256(content).hexdigest(),
    )
    new = await request.app[PROVIDED].take_evidence(request.match_info["method"], evidence)
    return wire.answer({"reference": evidence.reference, "status": "received"}, status=201 if new else 200)


async def get_statement(request: web.Request) -> web.StreamResponse:
    """Stream every payment as it stands, provider by provider in the order of booking, one JSON object a line."""
    wire.known_query(request)
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    for provider in request.app[ALL]:
        last_seq = await provider.journal.read(books.last_seq)
        for after_seq in range(0, last_seq, STATEMENT_PAGE):
            # One short read a page: a long one would keep the write-ahead log from being folded in.
            to_seq = min(after_seq + STATEMENT_PAGE, last_seq)
            page = await provider.journal.read(partial(books.statement, after_seq=after_seq, to_seq=to_seq))
            lines = (wire.text(shown.statement_line(provider.name, line)) + "\n" for line in page)
            await response.write("".join(lines).encode())
    await response.write_eof()
    return response


async def get_callbacks(request: web.Request) -> web.StreamResponse:
    """Count the callbacks that wait and those that caudal refused."""
    wire.known_query(request)
    totals = [await provider.journal.read(books.totals) for provider in request.app[ALL]]
    return wire.answer({status: sum(one[status] for one in totals) for status in totals[0]})


async def _signed_json(request: web.Request) -> dict[str, Any]:
    body = await _verified(request)
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be application/json.")
    return json_object(body)


async def _verified(request: web.Request) -> bytes:
    body = await request.read()
    _verify(request, body)
    return body


def _verify(request: web.Request, body: bytes) -> None:
    # The address of a provider is no part of what is signed: caudal signs what comes behind it.
    signed = of_request(request.method, request.raw_path.removeprefix(request.app[PROVIDED].place), body)
    verify(request.app[PROVIDED].secret, PROVIDER, request.headers.get(PROVIDER), signed, time.time())


async def _file(request: web.Request) -> bytes:
    """Read a body that may be larger than those of JSON."""
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > FILE_MAX:
            raise Problem(413, "body_too_large", f"A file has at most {FILE_MAX} bytes.")
    return bytes(content)


async def _callbacks_are_through(provider: Provider, key: str) -> None:
    """Wait until caudal has heard, or for three seconds."""
    for _ in range(int(EARLY_S / EARLY_STEP_S)):
        if not provider.journal.glance(lambda rows: books.waits(rows, key)):
            return
        await asyncio.sleep(EARLY_STEP_S)
