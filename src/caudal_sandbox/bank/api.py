"""The bank's JSON API: parse, call the bank, write down. docs/sandbox-protocol.md describes it."""

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from caudal_sandbox.bank import books, parse
from caudal_sandbox.bank.model import CURRENCY, PAYER_BANK, Payment, Returned, Transfer
from caudal_sandbox.bank.verbs import Bank
from caudal_sandbox.http import Request, Response, Route, get, post
from caudal_sandbox.problems import FieldError, invalid
from caudal_sandbox.signature import SPEI, verify
from caudal_sandbox.wire import answer, json_body, known_query, rfc3339, text

STATEMENT_PAGE = 500


def routes(bank: Bank) -> list[Route]:
    """List the API's routes."""
    return [
        post("/v1/bank/transfers", partial(post_transfer, bank)),
        get("/v1/bank/transfers", partial(list_transfers, bank)),
        get("/v1/bank/transfers/{tracking_key}", partial(get_transfer, bank)),
        post("/v1/bank/transfers/{tracking_key}/redeliver", partial(post_redeliver, bank)),
        post("/v1/bank/returns", partial(post_return, bank)),
        post("/v1/bank/payments", partial(post_payment, bank)),
        get("/v1/bank/books", partial(get_books, bank)),
        get("/v1/bank/statement", partial(get_statement, bank)),
        get("/livez", partial(get_livez, bank)),
    ]


async def post_transfer(bank: Bank, request: Request) -> Response:
    """Book a transfer: 201, or 200 when the same order was booked before."""
    ask = parse.transfer_ask(json_body(request))
    transfer, new = await bank.transfer(ask)
    location = {"Location": f"/v1/bank/transfers/{transfer.tracking_key}"}
    return answer(transfer_json(transfer), status=201 if new else 200, headers=location)


async def list_transfers(bank: Bank, request: Request) -> Response:
    """List transfers, newest first."""
    known_query(request, "clabe", "status", "after", "limit")
    clabe, status, after, limit = parse.list_query(request.query)
    journal = bank.journal
    before_seq = None
    if after is not None:
        known = await journal.read(lambda rows: books.find_transfer(rows, after))
        if known is None:
            raise invalid([FieldError(field="after", code="unknown", detail="No transfer has this tracking key.")])
        before_seq = known.seq
    found = await journal.read(
        lambda rows: books.list_transfers(rows, clabe=clabe, status=status, before_seq=before_seq, limit=limit + 1)
    )
    data = [transfer_json(transfer) for transfer in found[:limit]]
    return answer({"data": data, "has_more": len(found) > limit})


async def get_transfer(bank: Bank, request: Request) -> Response:
    """Show one transfer."""
    return answer(transfer_json(await bank.find(request.parameters["tracking_key"])))


async def post_redeliver(bank: Bank, request: Request) -> Response:
    """Call caudal again: 202, for the callback follows."""
    how = parse.redelivery_ask(json_body(request) if request.body else {})
    transfer = await bank.redeliver(request.parameters["tracking_key"], how)
    return answer(transfer_json(transfer), status=202)


async def post_return(bank: Bank, request: Request) -> Response:
    """Give money back to a payer, on an order that carries caudal's signature."""
    _verify(bank, request)
    returned, new = await bank.give_back(parse.return_ask(json_body(request)))
    return answer(return_json(returned), status=201 if new else 200)


async def post_payment(bank: Bank, request: Request) -> Response:
    """Send money to a CLABE, on an order that carries caudal's signature."""
    _verify(bank, request)
    sent, new = await bank.send(parse.payment_ask(json_body(request)))
    return answer(payment_json(sent), status=201 if new else 200)


async def get_books(bank: Bank, request: Request) -> Response:
    """Add up the books."""
    known_query(request)
    sums = await bank.journal.read(books.totals)
    balance_minor = sums.received_minor - sums.returned_minor - sums.sent_minor
    return answer(
        {
            "currency": CURRENCY,
            "received": sums.received_minor,
            "returned": sums.returned_minor,
            "sent": sums.sent_minor,
            "transfers": sums.transfers,
            "returns": sums.returns,
            "payments": sums.payments,
            "undelivered": sums.undelivered,
            "deliveries": {status.value: count for status, count in sums.deliveries.items()},
            "clabes": sums.clabes,
            "accounts": {"caudal": balance_minor, "payers": -balance_minor},
        }
    )


async def get_statement(bank: Bank, request: Request) -> Response:
    """Stream every transfer, return and payment in the order of booking, as of now, one JSON object a line."""
    known_query(request)
    return Response(content_type="application/x-ndjson", stream=_statement(bank))


async def _statement(bank: Bank) -> AsyncIterator[bytes]:
    journal, after_seq = bank.journal, 0
    to_seq = await journal.read(books.last_seq)
    while after_seq < to_seq:
        # One short read a page: a long one would keep the write-ahead log from being folded in.
        lines = await journal.read(partial(books.statement, after_seq=after_seq, to_seq=to_seq, limit=STATEMENT_PAGE))
        after_seq = lines[-1].seq
        yield "".join(statement_line(line) for line in lines).encode()


async def get_livez(bank: Bank, request: Request) -> Response:
    """Answer as long as the bank can commit."""
    await bank.journal.write(lambda rows: None)
    return answer({"status": "ok"})


def transfer_json(transfer: Transfer) -> dict[str, Any]:
    """Show a transfer and the state of its callback."""
    return {
        "tracking_key": transfer.tracking_key,
        "status": transfer.status.value,
        "clabe": transfer.clabe,
        "amount": transfer.amount_minor,
        "returned": transfer.returned_minor,
        "currency": transfer.currency,
        "payer_name": transfer.payer_name,
        "payer_bank": PAYER_BANK,
        "paid_at": rfc3339(transfer.paid_ms),
        "deliver": {
            "copies": transfer.asked.copies,
            "delay_s": transfer.asked.delay_ms / 1000,
            "fault": transfer.asked.fault,
        },
        "delivery": {
            "round": transfer.round,
            "fault": transfer.fault,
            "copies": transfer.copies,
            "copies_delivered": transfer.copies_delivered,
            "attempts": transfer.attempts,
            "next_attempt_at": _optional_time(transfer.next_attempt_ms),
            "delivered_at": _optional_time(transfer.delivered_ms),
            "answer_status": transfer.answer_status,
            "answer_detail": transfer.answer_detail,
            "answered_at": _optional_time(transfer.answered_ms),
        },
    }


def return_json(returned: Returned) -> dict[str, Any]:
    """Show a return."""
    return {
        "return_key": returned.return_key,
        "status": "returned",
        "tracking_key": returned.tracking_key,
        "amount": returned.amount_minor,
        "currency": returned.currency,
        "returned_at": rfc3339(returned.returned_ms),
    }


def payment_json(sent: Payment) -> dict[str, Any]:
    """Show a payment to a CLABE."""
    return {
        "payment_key": sent.payment_key,
        "status": "sent",
        "clabe": sent.clabe,
        "amount": sent.amount_minor,
        "currency": sent.currency,
        "beneficiary_name": sent.beneficiary_name,
        "sent_at": rfc3339(sent.sent_ms),
    }


def statement_line(line: books.Line) -> str:
    """Write one line of the statement."""
    if isinstance(line, Returned):
        return text({"seq": line.seq, "kind": "return", **return_json(line)}) + "\n"
    if isinstance(line, Payment):
        return text({"seq": line.seq, "kind": "payment", **payment_json(line)}) + "\n"
    shown = transfer_json(line)
    names = ("tracking_key", "clabe", "amount", "currency", "payer_name", "payer_bank", "paid_at", "status")
    return text({"seq": line.seq, "kind": "transfer", **{name: shown[name] for name in names}}) + "\n"


def _verify(bank: Bank, request: Request) -> None:
    verify(bank.secret, SPEI, request.header(SPEI), request.body, time.time())


def _optional_time(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)
