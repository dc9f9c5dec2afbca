"""The page for a person who pays: plain forms, server-rendered, no script.

`amount` in the address is centavos, as everywhere on the wire; what the person types is pesos. The form carries a
tracking key of its own, so that a double click or a reload does not pay twice.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from caudal_sandbox.bank import books, parse, typed
from caudal_sandbox.bank.model import Delivery, Fault, Transfer, pesos
from caudal_sandbox.bank.refusals import of_refusal
from caudal_sandbox.bank.verbs import Bank
from caudal_sandbox.delivery import Status
from caudal_sandbox.http import Request, Response, Route, get, post, see_other
from caudal_sandbox.problems import Problem
from caudal_sandbox.wire import rfc3339

HERE = Path(__file__).parent
RECENT_MAX = 10
SETTLE_S = 1.0
SETTLE_STEP_S = 0.05
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters["pesos"] = pesos
TEMPLATES.filters["moment"] = lambda at_ms: rfc3339(at_ms)[:19].replace("T", " ") + " UTC"
TEMPLATES.filters["clabe"] = lambda number: f"{number[:3]} {number[3:6]} {number[6:17]} {number[17:]}"
STYLE = (HERE / "pay.css").read_text(encoding="utf-8")
# In the words of a person who has paid, not in those of the outbox.
STATUS_WORDS = {
    Status.WAITING: "On its way",
    Status.HELD: "Held back",
    Status.DELIVERED: "Received",
    Status.REFUSED: "Refused",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """What the page shows: the form as typed, what is wrong with it, and what was just paid."""

    form: typed.Form
    errors: Mapping[str, str]
    paid: Transfer | None = None


def routes(bank: Bank) -> list[Route]:
    """List the page's routes."""
    return [
        get("/", partial(to_pay, bank)),
        get("/pay", partial(show, bank)),
        post("/pay", partial(pay, bank)),
        post("/pay/redeliver", partial(deliver_again, bank)),
        get("/pay.css", partial(style, bank)),
    ]


async def to_pay(bank: Bank, request: Request) -> Response:
    """Send a person who came to the front door to the counter."""
    return see_other("/pay", 302)


async def style(bank: Bank, request: Request) -> Response:
    """Serve the page's style."""
    return Response(
        body=STYLE.encode(), content_type="text/css; charset=utf-8", headers={"Cache-Control": "max-age=60"}
    )


async def show(bank: Bank, request: Request) -> Response:
    """Show the form, filled in as the address says, and the recent transfers."""
    form, errors = typed.from_address(request.query)
    key = request.query.get("paid", "")
    paid = await bank.journal.read(lambda rows: books.find_transfer(rows, key)) if key else None
    return await _page(bank, View(form=form, errors=errors, paid=paid))


async def pay(bank: Bank, request: Request) -> Response:
    """Pay, then show the page again with what became of it; or show what is wrong beside the fields."""
    form = typed.from_form(_posted(request))
    ask, errors = typed.order(form)
    if ask is None:
        return await _page(bank, View(form=form, errors=errors))
    try:
        transfer, _ = await bank.transfer(ask)
    except books.TrackingKeyReused:
        again = replace(form, tracking_key=books.new_tracking_key())
        said = "This form has already been paid with. If you mean to pay once more, press the button again."
        return await _page(bank, View(form=again, errors={"form": said}))
    await _settle(bank, transfer)
    return _back(transfer.clabe, form.requested_minor or ask.amount_minor, transfer.tracking_key)


async def deliver_again(bank: Bank, request: Request) -> Response:
    """Call caudal again for one transfer, rightly this time."""
    key = _posted(request).get("tracking_key", "")
    try:
        transfer = await bank.redeliver(key, Delivery())
    except books.TransferUnknown as refusal:
        raise of_refusal(refusal) from None
    await _settle(bank, transfer)
    return _back(transfer.clabe, None, None)


def _back(clabe: str, amount_minor: int | None, paid: str | None) -> Response:
    query = {"clabe": clabe, "amount": amount_minor, "paid": paid}
    return see_other("/pay?" + urlencode({name: value for name, value in query.items() if value}))


def _posted(request: Request) -> dict[str, str]:
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem(415, "unsupported_media_type", "A form must be application/x-www-form-urlencoded.")
    return request.form()


async def _settle(bank: Bank, transfer: Transfer) -> None:
    """Wait a moment for caudal's answer, so that the person mostly sees the end of it at once."""
    for _ in range(int(SETTLE_S / SETTLE_STEP_S)):
        if (await bank.find(transfer.tracking_key)).status is not Status.WAITING:
            return
        await asyncio.sleep(SETTLE_STEP_S)


async def _page(bank: Bank, view: View) -> Response:
    clabe = view.form.clabe_digits if "clabe" not in view.errors and view.form.clabe_digits else None
    recent = await bank.journal.read(
        lambda rows: books.list_transfers(rows, clabe=clabe, status=None, before_seq=None, limit=RECENT_MAX)
    )
    text = TEMPLATES.get_template("pay.html").render(
        form=view.form,
        errors=view.errors,
        paid=view.paid,
        clabe=clabe,
        recent=recent,
        words=STATUS_WORDS,
        faults=list(Fault),
        copies_max=parse.COPIES_MAX,
        name_max=parse.PAYER_NAME_MAX,
    )
    return Response(
        status=422 if view.errors else 200, body=text.encode(), content_type="text/html; charset=utf-8", headers=HEADERS
    )
