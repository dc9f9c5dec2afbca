"""The payer's page of one payment: what a person sees of a card's challenge, a Pix, a boleto, her bank, her phone.

Plain forms, server-rendered, no script. After paying or declining, a payment that was redirected here goes back to the
address that caudal gave.
"""

import re
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import segno
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from caudal_sandbox.http import Request, Response, Route, get, post, see_other
from caudal_sandbox.problems import Problem
from caudal_sandbox.provider import boleto, books, decide, magic, shown
from caudal_sandbox.provider.conditions import Desk
from caudal_sandbox.provider.model import Payment
from caudal_sandbox.provider.payers import whose
from caudal_sandbox.provider.refusals import WrongMoment
from caudal_sandbox.provider.verbs import Provider, known_payment
from caudal_sandbox.wire import rfc3339

HERE = Path(__file__).parent
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'"
# An origin that may stand in a policy: nothing in it can end the directive.
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]+")
# Currencies whose minor unit is not a hundredth (ISO 4217).
EXPONENTS = dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "OMR", "TND"), 3) | dict.fromkeys(
    ("CLP", "DJF", "GNF", "JPY", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF"), 0
)


def money(amount_minor: int, currency: str) -> str:
    """Write an amount as a person reads it: BRL 1,234.50."""
    exponent = EXPONENTS.get(currency, 2)
    whole, rest = divmod(amount_minor, 10**exponent)
    return f"{currency} {whole:,}" + (f".{rest:0{exponent}d}" if exponent else "")


TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters["money"] = money
TEMPLATES.filters["moment"] = lambda at_ms: rfc3339(at_ms)[:19].replace("T", " ") + " UTC"


def routes(desk: Desk) -> list[Route]:
    """List the page's routes."""
    key = "/pay/{key:[0-9a-f-]{32,35}}"
    return [
        get(key, partial(show, desk)),
        post(key + "/{act:pay|decline|expire|dispute}", partial(act, desk)),
        post(key + "/disputes/{reference}/{end:win|lose}", partial(end_dispute, desk)),
    ]


async def show(desk: Desk, request: Request) -> Response:
    """Show the payment to its payer."""
    key = request.parameters["key"]
    return _page(whose(desk, key), key)


async def act(desk: Desk, request: Request) -> Response:
    """Do what a button says, then go back to where the payer came from, or show the page again."""
    key, act = request.parameters["key"], request.parameters["act"]
    provider = whose(desk, key)
    code = _posted(request).get("code") or None
    payment = provider.journal.glance(lambda rows: known_payment(rows, key))
    if code is not None and not magic.is_code(payment.method, code):
        return _page(provider, key, "Please choose one of the reasons of the list.")
    waited = payment.status == "pending"
    try:
        match act:
            case "pay":
                payment = await provider.pay(key)
            case "decline":
                payment = await provider.decline(key, code)
            case "expire":
                payment = await provider.expire(key)
            case _:
                await provider.dispute(key, None, None, None)
    except WrongMoment as refusal:
        return _page(provider, key, refusal.detail)
    came_by_redirect = payment.method in ("card", "pse")
    if waited and came_by_redirect and payment.return_url:
        return see_other(payment.return_url)
    return see_other(f"/pay/{key}")


async def end_dispute(desk: Desk, request: Request) -> Response:
    """Let the bank decide a dispute."""
    key = request.parameters["key"]
    provider = whose(desk, key)
    _posted(request)
    try:
        await provider.end_dispute(
            request.parameters["reference"], {"win": "won", "lose": "lost"}[request.parameters["end"]]
        )
    except WrongMoment as refusal:
        return _page(provider, key, refusal.detail)
    return see_other(f"/pay/{key}")


def _posted(request: Request) -> dict[str, str]:
    if request.content_type not in ("application/x-www-form-urlencoded", "application/octet-stream"):
        raise Problem(415, "unsupported_media_type", "A form must be application/x-www-form-urlencoded.")
    return request.form()


def _picture(code: str) -> Markup:
    """Draw a code that a phone scans (ISO/IEC 18004), as SVG for the page; error correction M, as Pix asks for."""
    drawn = segno.make(code, error="m", micro=False)
    return Markup(drawn.svg_inline(border=4, omitsize=True, title="Pix QR code", svgclass="qr", lineclass=None))


def _page(provider: Provider, key: str, wrong: str | None = None) -> Response:
    journal = provider.journal
    payment = journal.glance(lambda rows: known_payment(rows, key))
    due = boleto.due_on(payment.expires_ms)
    line = boleto.line(boleto.barcode(payment.key, payment.amount_minor, due)) if payment.method == "boleto" else ""
    pix = shown.pix_code(payment, provider.url) if payment.method == "pix" else ""
    text = TEMPLATES.get_template("payer.html").render(
        payment=payment,
        wrong=wrong,
        code=next((row for row in magic.CODES if (row.method, row.code) == (payment.method, payment.code)), None),
        codes=[row for row in magic.CODES if row.method == payment.method],
        pix=pix,
        picture=_picture(pix) if pix and payment.status == "pending" else "",
        line=boleto.printed(line) if line else "",
        due=due,
        left_minor=decide.left_to_return(payment),
        operations=journal.glance(lambda rows: books.list_operations(rows, key)),
        disputes=journal.glance(lambda rows: books.list_disputes(rows, key)),
    )
    headers = HEADERS | {"Content-Security-Policy": _policy(payment)}
    return Response(
        status=409 if wrong else 200, body=text.encode(), content_type="text/html; charset=utf-8", headers=headers
    )


def _policy(payment: Payment) -> str:
    """Allow a form to end at the address that the payer returns to, and nowhere else."""
    parts = urlsplit(payment.return_url or "")
    origin = f"{parts.scheme}://{parts.netloc}"
    return f"{POLICY} {origin}" if ORIGIN.fullmatch(origin) else POLICY
