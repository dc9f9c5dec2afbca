"""What a payer does, as an API for programs. Unsigned: it stands for people."""

from typing import Any

from aiohttp import web

from caudal_sandbox import wire
from caudal_sandbox.fields import json_object
from caudal_sandbox.problems import Problem
from caudal_sandbox.provider import books, parse, shown
from caudal_sandbox.provider.api import ALL
from caudal_sandbox.provider.verbs import Provider, known_payment


def routes() -> list[web.RouteDef]:
    """List the payer's routes."""
    return [
        web.get("/v1/provider/payers/{key:[0-9a-f-]{32,35}}", get_payment),
        web.post("/v1/provider/payers/{key:[0-9a-f-]{32,35}}/{act:pay|decline|expire|dispute}", post_act),
        web.post("/v1/provider/payers/disputes/{reference}/{end:win|lose}", post_end),
    ]


async def get_payment(request: web.Request) -> web.Response:
    """Show the payment to its payer."""
    key = request.match_info["key"]
    provider = whose(request, key)
    payment = provider.journal.glance(lambda rows: known_payment(rows, key))
    return wire.answer(shown.payment(payment, provider.url))


async def post_act(request: web.Request) -> web.Response:
    """Pay, decline, let the time pass, or dispute."""
    key, act = request.match_info["key"], request.match_info["act"]
    provider = whose(request, key)
    given = await _optional_json(request)
    payment = provider.journal.glance(lambda rows: known_payment(rows, key))
    amount_minor, code, respond_in_s = parse.payer_ask(payment.method, given, disputes=act == "dispute")
    match act:
        case "pay":
            payment = await provider.pay(key, amount_minor)
        case "decline":
            payment = await provider.decline(key, code)
        case "expire":
            payment = await provider.expire(key)
        case _:
            return wire.answer(shown.dispute(await provider.dispute(key, amount_minor, code, respond_in_s)))
    return wire.answer(shown.payment(payment, provider.url))


async def post_end(request: web.Request) -> web.Response:
    """Let the bank decide a dispute for the merchant (win) or against it (lose)."""
    status = {"win": "won", "lose": "lost"}[request.match_info["end"]]
    reference = request.match_info["reference"]
    dispute = await whose_dispute(request, reference).end_dispute(reference, status)
    return wire.answer(shown.dispute(dispute))


def whose(request: web.Request, key: str) -> Provider:
    """Find the provider that has a payment; the first one where nobody has it."""
    everybody = request.app[ALL]
    has = (one for one in everybody if one.journal.glance(lambda rows: books.find_payment(rows, key)))
    return next(has, everybody[0])


def whose_dispute(request: web.Request, reference: str) -> Provider:
    """Find the provider that has a dispute, likewise."""
    everybody = request.app[ALL]
    has = (one for one in everybody if one.journal.glance(lambda rows: books.find_dispute(rows, reference)))
    return next(has, everybody[0])


async def _optional_json(request: web.Request) -> dict[str, Any]:
    body = await request.read()
    if not body:
        return {}
    if request.content_type != "application/json":
        raise Problem(415, "unsupported_media_type", "The body must be application/json.")
    return json_object(body)
