"""What a payer does, as an API for programs. Unsigned: it stands for people."""

from functools import partial

from caudal_sandbox import wire
from caudal_sandbox.http import Request, Response, Route, get, post
from caudal_sandbox.provider import books, parse, shown
from caudal_sandbox.provider.conditions import Desk
from caudal_sandbox.provider.verbs import Provider, known_payment


def routes(desk: Desk) -> list[Route]:
    """List the payer's routes."""
    payers = desk.provider.place + "/v1/provider/payers/"
    return [
        get(payers + "{key:[0-9a-f-]{32,35}}", partial(get_payment, desk)),
        post(payers + "{key:[0-9a-f-]{32,35}}/{act:pay|decline|expire|dispute}", partial(post_act, desk)),
        post(payers + "disputes/{reference}/{end:win|lose}", partial(post_end, desk)),
    ]


async def get_payment(desk: Desk, request: Request) -> Response:
    """Show the payment to its payer."""
    key = request.parameters["key"]
    provider = whose(desk, key)
    payment = provider.journal.glance(lambda rows: known_payment(rows, key))
    return wire.answer(shown.payment(payment, provider.url))


async def post_act(desk: Desk, request: Request) -> Response:
    """Pay, decline, let the time pass, or dispute."""
    key, act = request.parameters["key"], request.parameters["act"]
    provider = whose(desk, key)
    given = wire.json_body(request) if request.body else {}
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


async def post_end(desk: Desk, request: Request) -> Response:
    """Let the bank decide a dispute for the merchant (win) or against it (lose)."""
    status = {"win": "won", "lose": "lost"}[request.parameters["end"]]
    reference = request.parameters["reference"]
    dispute = await whose_dispute(desk, reference).end_dispute(reference, status)
    return wire.answer(shown.dispute(dispute))


def whose(desk: Desk, key: str) -> Provider:
    """Find the provider that has a payment; the first one where nobody has it."""
    everybody = desk.everybody
    has = (one for one in everybody if one.journal.glance(lambda rows: books.find_payment(rows, key)))
    return next(has, everybody[0])


def whose_dispute(desk: Desk, reference: str) -> Provider:
    """Find the provider that has a dispute, likewise."""
    everybody = desk.everybody
    has = (one for one in everybody if one.journal.glance(lambda rows: books.find_dispute(rows, reference)))
    return next(has, everybody[0])
