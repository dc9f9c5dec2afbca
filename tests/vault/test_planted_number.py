"""A card number comes in through the API of a whole caudal and pays, also where its provider misbehaves and the worker
asks again; nothing that this leaves behind, in caudal or in the sandbox, has it in any spelling.

The search is tried on what must be found: a number that is planted where it does not belong, as a payin's reference,
and a holder's name in no envelope. Without those two it would prove nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from stdnum import luhn

from tests.whole import Whole


def number_of(prefix: str) -> str:
    """A number that no other test and no timestamp has: the prefix and eight random digits, with its check digit."""
    digits = prefix + f"{uuid4().int % 10**8:08d}"
    return digits + str(luhn.calc_check_digit(digits))


def spellings(number: str) -> dict[str, bytes]:
    """How a number could stand somewhere."""
    raw = number.encode()
    groups = [number[i : i + 4] for i in range(0, len(number), 4)]
    amex = [number[:4], number[4:10], number[10:]]
    found = {
        "plain": raw,
        "spaced": " ".join(groups).encode(),
        "dashed": "-".join(groups).encode(),
        "spaced as American Express does": " ".join(amex).encode(),
        "percent-encoded": "%20".join(groups).encode(),
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "utf-16": number.encode("utf-16-le"),
        "packed decimal": bytes.fromhex(number + "f" * (len(number) % 2)),
        "an integer, big-endian": int(number).to_bytes(8, "big"),
        "an integer, little-endian": int(number).to_bytes(8, "little"),
    }
    # Base64 of a text has three forms, by where the number begins in it; the characters at its ends belong to others.
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + raw + b"\0" * 3)
        inside = coded[4 * (shift > 0) : (shift + len(raw)) // 3 * 4]
        found[f"base64 at {shift}"] = inside
        found[f"base64 for addresses at {shift}"] = inside.replace(b"+", b"-").replace(b"/", b"_")
    return found


def call(whole: Whole, path: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    """One request; the answer's status, and headers and body as they came."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {whole.key}", "Content-Type": "application/json", **headers}
    request = urllib.request.Request(whole.api_url + path, data=data, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, str(answer.headers).encode() + answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, str(refused.headers).encode() + refused.read()


def left_behind(whole: Whole) -> Iterator[tuple[str, bytes]]:
    """Everything on disk: tables, indexes, write-ahead log, statistics, logs, the sandbox's files, its own state."""
    with psycopg.connect(whole.database_url, autocommit=True) as connection:
        connection.execute("select pg_switch_wal()")
        connection.execute("checkpoint")
    for path in sorted(whole.home.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with contextlib.suppress(FileNotFoundError):
                yield str(path.relative_to(whole.home)), path.read_bytes()
    yield from stored(whole)


def stored(whole: Whole) -> Iterator[tuple[str, bytes]]:
    """Every row as the database itself reads it, compressed and out-of-line values included."""
    with psycopg.connect(whole.database_url, autocommit=True) as connection:
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall()
        for (table,) in tables:
            columns = connection.execute(
                "select attname, atttypid = 17 from pg_attribute where attrelid = %s::regclass and attnum > 0", (table,)
            ).fetchall()
            # Bytes as they are, so that what they hold is searched, and not its hexadecimal digits.
            query = sql.SQL("select {} from {}").format(
                sql.SQL(", ").join(
                    sql.Identifier(name) if is_bytes else sql.SQL("{}::text").format(sql.Identifier(name))
                    for name, is_bytes in columns
                ),
                sql.Identifier(table),
            )
            rows = connection.execute(query).fetchall()
            cells = (cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)
            yield f"table {table}", b"\n".join(cells)


def found_in(texts: list[tuple[str, bytes]], wanted: dict[str, bytes]) -> list[str]:
    pattern = re.compile(b"|".join(re.escape(spelling) for spelling in wanted.values()))
    return [f"{name}: {match[0]!r}" for name, content in texts for match in pattern.finditer(content)]


@pytest.fixture(scope="module")
def number() -> str:
    return number_of("4532759")


def test_a_number_that_came_in_is_nowhere(running: Whole, number: str) -> None:
    astray = number_of("4532760")
    heard = list(everything_asked(running, number))
    reference = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei", "reference": astray}
    status, _ = call(running, "/v1/payins", reference, **{"Idempotency-Key": f"astray-{uuid4().hex}"})
    assert status == 201
    texts = list(left_behind(running))
    names = [name for name, _ in texts]
    assert any("pg_wal/" in name for name in names) and any("/base/" in name for name in names)
    assert {"table instrument", "table event_default", "table key_default"} <= set(names)
    assert any(name.endswith("web.log") for name in names) and any("sandbox" in name for name in names)

    where = found_in(texts, {"plain": astray.encode()})
    assert any("pg_wal/" in line for line in where), f"the search would not find a number in the log: {where}"
    assert any("/base/" in line for line in where) and any(line.startswith("table payin:") for line in where)

    assert found_in(heard, spellings(number)) == []
    assert found_in(texts, spellings(number)) == []


def everything_asked(whole: Whole, number: str) -> Iterator[tuple[str, bytes]]:
    """The answers to whatever one may do with a card, right and wrong, each with its name."""
    card = {"number": number, "expiry_month": 11, "expiry_year": 2041, "holder_name": "PLANTED HOLDER"}
    spaced = " ".join(number[i : i + 4] for i in range(0, 16, 4))
    asked = {"type": "card", "card": {**card, "security_code": "917"}}
    key = {"Idempotency-Key": f"planted-{uuid4().hex}"}
    status, made = call(whole, "/v1/instruments", asked, **key)
    assert status == 201, made
    yield "kept", made
    yield "repeated", call(whole, "/v1/instruments", asked, **key)[1]
    status, spoken = call(whole, "/v1/instruments", {"type": "card", "card": {**card, "number": spaced}})
    assert status == 201, spoken
    id = json.loads(made[made.index(b"{") :])["id"]
    yield "seen", call(whole, f"/v1/instruments/{id}")[1]
    yield "events", call(whole, "/v1/events?types=instrument.created&limit=100")[1]
    yield from paid_with(whole, id)
    yield "reused", call(whole, "/v1/instruments", {**asked, "country": "BR"}, **key)[1]
    for name, wrong in wrong_requests(card, number).items():
        status, answer = call(whole, "/v1/instruments", wrong, **{"Idempotency-Key": uuid4().hex})
        assert status in (400, 422), f"{name}: {status}"
        yield name, answer
    status, erased = call(whole, f"/v1/instruments/{id}/deletions", b"", **{"Idempotency-Key": uuid4().hex})
    assert status == 200, erased
    yield "erased", erased
    yield "gone", call(whole, f"/v1/instruments/{id}")[1]
    yield "no such", call(whole, f"/v1/instruments/{number}")[1]


# What a payment's amount makes the provider do, and what becomes of it (docs/sandbox-protocol.md, "Magic values").
PAID_WITH = {
    "paid": (12_050, "paid"),
    "declined": (19_001, "declined"),
    "paid, and the answer is lost": (19_103, "paid"),
    "reset before anything happened": (19_104, "paid"),
    "silent before anything happened": (19_101, "paid"),
    "told with the answer dripping in": (19_106, "paid"),
    "disputed": (19_304, "paid"),
}


def paid_with(whole: Whole, instrument: str) -> Iterator[tuple[str, bytes]]:
    """The answers to payments with the card, through every fault, to their refunds, and to what is asked of them."""
    made: dict[str, str] = {}
    for name, (amount, _) in PAID_WITH.items():
        asked = {"amount": amount, "currency": "BRL", "country": "BR", "method": "card"}
        key = {"Idempotency-Key": f"paid-{uuid4().hex}", "Request-Timeout-Ms": "1500"}
        status, answer = call(whole, "/v1/payins", {**asked, "instrument": {"id": instrument}}, **key)
        assert status == 201, answer
        if name.startswith("silent"):
            assert body_of(answer)["status"] == "submitting", "the worker has to take the card out once more"
        yield name, answer
        yield f"{name}, repeated", call(whole, "/v1/payins", {**asked, "instrument": {"id": instrument}}, **key)[1]
        made[name] = body_of(answer)["id"]
    for name, (_, status_then) in PAID_WITH.items():
        yield f"{name}, seen", until(whole, made[name], status_then)
        if status_then == "paid" and name != "disputed":
            path, key = f"/v1/payins/{made[name]}/refunds", {"Idempotency-Key": f"refund-{uuid4().hex}"}
            status, answer = call(whole, path, {"amount": 100}, **key)
            assert status == 201, answer
            yield f"{name}, refunded", answer
    for path in ("/v1/payins?limit=100", "/v1/refunds?limit=100", "/v1/disputes?limit=100", "/v1/events?limit=100"):
        yield path, call(whole, path)[1]
    yield "the sandbox's books", requested(f"{whole.sandbox_url}/v1/provider/statement")


def requested(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return bytes(answer.read())


def body_of(answer: bytes) -> Any:
    return json.loads(answer[answer.index(b"{") :])


def until(whole: Whole, payin: str, status: str) -> bytes:
    """The payin, once it stands so; a payment that nobody answered is looked for and submitted again by the worker."""
    end = time.monotonic() + 60
    while True:
        answer = call(whole, f"/v1/payins/{payin}")[1]
        if body_of(answer)["status"] == status:
            return answer
        assert time.monotonic() < end, answer
        time.sleep(0.2)


def wrong_requests(card: dict[str, Any], number: str) -> dict[str, Any]:
    """Bodies that are refused, each with the number where somebody might put it by mistake."""
    return {
        "as the holder": {"type": "card", "card": {**card, "holder_name": number}},
        "with a letter more": {"type": "card", "card": {**card, "number": number + "x"}},
        "expired": {"type": "card", "card": {**card, "expiry_year": 2020}},
        "a wrong code": {"type": "card", "card": {**card, "security_code": number}},
        "as a number": {"type": "card", "card": {**card, "number": int(number)}},
        "in a list": {"type": "card", "card": {**card, "number": [number]}},
        "as the type": {"type": number, "card": card},
        "as the card": {"type": "card", "card": number},
        "as the country": {"type": "card", "card": card, "country": number},
        "as a field's name": {"type": "card", "card": {**card, number: "x"}},
        "as a name outside": {"type": "card", "card": card, f"card {number}": 1},
        "as the year": {"type": "card", "card": {**card, "expiry_year": int(number)}},
        "as the month": {"type": "card", "card": {**card, "expiry_month": int(number)}},
        "in a body that ends early": f'{{"type":"card","card":{{"number":"{number}"'.encode(),
        "in no JSON": f"number={number}".encode(),
        "in bytes that are no text": b'{"type":"card","card":{"number":"' + number.encode() + b'\xff"}}',
        "with a NUL": f'{{"type":"card","card":{json.dumps(card)[:-1]},"security_code":"\\u0000"}}}}'.encode(),
    }


def test_every_spelling_is_looked_for() -> None:
    number = number_of("4532761")
    wanted = spellings(number)
    for shift in range(3):
        text = b"x" * shift + number.encode() + b"yz"
        for coded in (base64.b64encode(text), base64.urlsafe_b64encode(text)):
            assert found_in([("text", coded)], wanted), coded
    for spelling in (number, " ".join(number[i : i + 4] for i in range(0, 16, 4)), number.encode().hex()):
        assert found_in([("text", f"…{spelling}…".encode())], wanted)
    assert not found_in([("text", number_of("4532762").encode())], wanted)
    assert Path(__file__).read_text().count(number) == 0
