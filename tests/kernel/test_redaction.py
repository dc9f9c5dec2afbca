"""Personal data through every way into the log: none of it comes out, and what operators need does."""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from caudal.kernel.errors import Fault
from caudal.kernel.settings import Settings
from caudal.kernel.telemetry import CURRENT, Sampling, Tracer, configure, redact
from caudal.payins.model import Payer
from tests.api import Api

ROOT = Path(__file__).parents[2]
# A value of every personal field that the API takes, and how else it may be written.
FIELDS = {
    "email": ["zyxwana.qvorta@example.com"],
    "phone": ["+525512345678", "+52 55 1234 5678", "(55) 1234-5678"],
    "document": ["ZYXW900101MDFRRN09", "123.456.789-09", "12345678909", "12.345.678/0001-95"],
    "name": ["Zyxwana Qvorta"],
    "holder": ["ZYXWANA QVORTA"],
    "number": ["4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111"],
    "clabe": ["646180110400000007", "646 180 11040000000 7"],
    "account": ["0123456789012345"],
    "iban": ["DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "BE68-5390-0754-7034"],
    "secret": [f"sk_test_{'Zq' * 21}x", f"sk_live_{'Zq' * 21}x", f"op_{'Zq' * 21}x", "whsec_Zm9vYmFyYmF6cXV4/+=="],
    "authorization": ["Bearer eyJhbGciOiJIUzI1NiJ9"],
}
SHAPED = [(field, one) for field, all_of_it in FIELDS.items() for one in all_of_it if field not in ("name", "holder")]
VALUES = [(field, one) for field, all_of_it in FIELDS.items() for one in all_of_it]


class Log(io.StringIO):
    """What stands in the log."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture(params=[True, False], ids=["json", "people"])
def log(request: pytest.FixtureRequest) -> Iterator[Log]:
    yield from configured(as_json=request.param)


@pytest.fixture
def json_log() -> Iterator[Log]:
    yield from configured(as_json=True)


def configured(*, as_json: bool) -> Iterator[Log]:
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level, stream = root.handlers[:], root.level, Log()
    configure(Settings(log_json=as_json, log_level="debug"), "web")
    root.handlers[0].setStream(stream)  # type: ignore[attr-defined]
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook = hook


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as one:
        return one


def caused(value: str) -> BaseException:
    outer = RuntimeError("outer")
    outer.__cause__ = raised(KeyError(value))
    return outer


class Refusing(psycopg.errors.UniqueViolation):
    """As the server says it, with the values in its detail."""

    sqlstate = "23505"


# Every way in which something gets into a line.
WAYS: dict[str, Callable[[logging.Logger, str, str], None]] = {
    "an exception's text": lambda log, field, value: log.error("broke", exc_info=raised(ValueError(value))),
    "an exception as an argument": lambda log, field, value: log.warning("broke: %s", ValueError(value)),
    "an exception as the line": lambda log, field, value: log.warning(ValueError(value)),
    "an exception's cause": lambda log, field, value: log.error("broke", exc_info=caused(value)),
    "the database's detail": lambda log, field, value: log.error("%s", Refusing(f"Key ({field})=({value}) exists")),
    "a record": lambda log, field, value: log.info("payer %s", Payer(name=value, email=value, phone=value)),
    "bytes": lambda log, field, value: log.info("body %s", value.encode()),
    "a mapping": lambda log, field, value: log.info("told %s", {"email": value, "name": value, "holder": value}),
    "named arguments": lambda log, field, value: log.info("%(name)s", {"name": value}),
    "a field of its own name": lambda log, field, value: log.info("x", extra={"payer": value, "email": value}),
    "a record as a field": lambda log, field, value: log.info("x", extra={"asked": Payer(name=value)}),
    "a secret of a text": lambda log, field, value: log.info(f'"db_password": "{value}"'),
}
TEXT_WAYS: dict[str, Callable[[logging.Logger, str], None]] = {
    "an argument": lambda log, value: log.info("told %s", value),
    "the line itself": lambda log, value: log.info(f"told {value} so"),
    "a field": lambda log, value: log.info("x", extra={"told": f"by {value}, and more"}),
    "a list": lambda log, value: log.info("x", extra={"told": [value]}),
    "an error of ours": lambda log, value: log.error("x", exc_info=raised(Fault("internal_error", f"so: {value}"))),
    "the database's own text": lambda log, value: log.warning("%s", psycopg.OperationalError(f"for {value}")),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_personal_value_comes_out(log: Log, way: str) -> None:
    for field, value in VALUES:
        WAYS[way](logging.getLogger("caudal.test"), field, value)
    assert log.getvalue().count("\n") >= len(VALUES)
    assert [value for _, value in VALUES if value in log.getvalue()] == []


@pytest.mark.parametrize("way", TEXT_WAYS)
def test_what_looks_personal_is_taken_out_of_any_text(log: Log, way: str) -> None:
    for _, value in SHAPED:
        TEXT_WAYS[way](logging.getLogger("caudal.test"), value)
    assert log.getvalue().count("\n") >= len(SHAPED)
    assert [value for _, value in SHAPED if value in log.getvalue()] == []


def test_what_operators_need_stays(json_log: Log) -> None:
    id, at = uuid4(), "2026-11-27T16:32:10.419317Z"
    error = psycopg.errors.lookup("57014")("canceling statement due to statement timeout")
    logging.getLogger("caudal.test").warning(
        "payin_%s of %s waits since %s: %s", id.hex, id, at, error, extra={"request_id": "req_0192", "count": 12_345}
    )
    try:
        raise OSError(28, "No space left on device")
    except OSError:
        logging.getLogger("caudal.test").exception("broke")
    line, broke = json_log.lines
    assert line["event"].startswith(f"payin_{id.hex} of {id} waits since {at}: QueryCanceled canceling statement")
    assert (line["level"], line["process"], line["request_id"], line["count"]) == ("warning", "web", "req_0192", 12_345)
    assert "test_redaction.py:" in broke["exception"] and "OSError: No space left on device" in broke["exception"]


def written(name: str) -> set[str]:
    """A name in every way that names are written."""
    camel = "".join(part.capitalize() for part in name.split("_"))
    header = "-".join(part.capitalize() for part in name.split("_"))
    return {name, name.upper(), camel, camel[0].lower() + camel[1:], header, f"X-{header}", header.lower()}


THEIRS = (
    "card_number cvc cvc2 cvv2 card_cvc csc pin token access_token refresh_token api_key access_key private_key "
    "cookie set_cookie session_cookie customer_name cardholder_name beneficiary_name db_password passphrase "
    "expiry_month billing_address date_of_birth phone_2 client_secret authorization pix_key"
)
OPERATORS = (
    "idempotency_key provider_key tracking_key key key_id token_bucket tokens card_id customer_id token_id card_brand "
    "card_bin attempt_number status status_code error_code method provider mode country currency amount_minor pinned "
    "endpoint_id url_path server_address host_name event_name payment_method cookie_count description spin"
)


@pytest.mark.parametrize("name", THEIRS.split())
def test_who_pays_and_what_is_secret_is_known_by_every_way_to_write_its_name(name: str) -> None:
    assert [one for one in written(name) if not redact.is_personal(one)] == []


@pytest.mark.parametrize("name", OPERATORS.split())
def test_what_operators_need_is_known_as_well(name: str) -> None:
    assert [one for one in written(name) if redact.is_personal(one)] == []


def test_a_name_of_several_capitals_is_taken_apart() -> None:
    assert all(redact.is_personal(name) for name in ("CVV2", "APIKey", "cardCVV2", "userIBANCode", "dbpassword"))


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("password=hunter2", "password=…"),
        ("cannot connect: host=db password='hunter 2' port=5", "cannot connect: host=db password=… port=5"),
        ("Password: hunter2!", "Password: …"),
        ("run --password=hunter2 _token=Zq1 -v", "run --password=… _token=… -v"),
        ('{"apiKey": "a \\"b\\" c", "mode": "test"}', '{"apiKey": …, "mode": "test"}'),
        ("{'card_cvc': '123', 'brand': 'visa'}", "{'card_cvc': …, 'brand': 'visa'}"),
        ("https://host/x?access_token=Zq1&page=2", "https://host/x?access_token=…&page=2"),
        ("X-Api-Key: Zq1 and more", "X-Api-Key: … and more"),
        ("authorization: Digest username=a, nonce=b\nhost: x", "authorization: …\nhost: x"),
        ("Cookie: sid=Zq1; theme=dark", "Cookie: …"),
        ("said Basic dXNlcjpwYXNz again", "said … again"),
        ("basic dXNlcjpwYXM=", "…"),
        ("Bearer\tZq1", "…"),
        ("cvv2:123;cvc=456", "cvv2:…;cvc=…"),
        ('secret="never closed', "secret=…"),
    ],
)
def test_a_secret_within_a_text_is_gone_and_what_stands_around_it_stays(told: str, left: str) -> None:
    assert redact.text(told) == left


@pytest.mark.parametrize("name", sorted(redact.SECRETS))
def test_every_secret_is_known_within_a_text_however_its_name_is_written(name: str) -> None:
    for one in written(name):
        for told in (f"{one}=Zq1", f'"{one}": "Zq1"', f"with {one} : Zq1", f"{one}=>Zq1"):
            assert "Zq1" not in redact.text(told), told


@pytest.mark.parametrize(
    "told",
    [
        "secret: either secret or secret_env is needed",
        "CAUDAL_PROVIDERS=x: provider acme: secret: the same for test and live",
        "status=503 method=card key=01a2200533c072d3 idempotency_key=order-7 token_bucket=3 tokens=5",
        "Basic authentication is not supported",
        "the token is unknown, password too short",
        "batches 1200, 350, 47 at 10:00:00,419",
        "unexpected token: eof",
    ],
)
def test_what_is_said_of_secrets_and_of_anything_else_stays(told: str) -> None:
    assert redact.text(told) == told


@pytest.mark.parametrize("name", ["Email", "payer_email", "payerEmail", "X-Authorization", "billing_tax_id", "PHONE"])
def test_a_name_says_whose_it_is_however_it_is_written(json_log: Log, name: str) -> None:
    logging.getLogger("caudal.test").info("x", extra={name: "Zyxwana", "told": {name: "Qvorta"}})
    [line] = json_log.lines
    assert (line[name], line["told"]) == ("…", {name: "…"})


@pytest.mark.parametrize(
    "text", ["span ab12cdef01234567", "attempt_number 7", "sk_test", "op_latency_seconds", "MX12 v2"]
)
def test_words_that_are_nobodys_stay(text: str) -> None:
    assert redact.text(text) == text
    assert not redact.is_personal("attempt_number") and not redact.is_personal("span_id")


@pytest.mark.parametrize("filling", ["a", "1 ", "AA11", "%4", "a/"])
def test_a_long_text_is_cut_where_no_half_of_a_number_is_left(filling: str) -> None:
    for length in range(1_980, 2_000):
        told = redact.text((filling * 2_000)[:length] + "/4111111111111111/" + filling * 9_000)
        assert "41" not in told and len(told) <= 2_001


def test_a_line_carries_the_trace_that_it_belongs_to(json_log: Log) -> None:
    trace = Tracer(Sampling(share=0.0), lambda span: None, slow_s=1.0).begin(
        {b"traceparent": b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, 0.0
    )
    logging.getLogger("caudal.test").info("x")
    CURRENT.set(None)
    [line] = json_log.lines
    assert (line["trace_id"], line["span_id"]) == ("4bf92f3577b34da6a3ce929d0e0e4736", f"{trace.place[1]:016x}")


async def test_a_handler_that_breaks_says_nothing_of_who_pays(
    database_url: str, json_log: Log, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ana = Api(context)
    await ana.ana()

    def breaks(data: bytes, *_: object) -> bytes:
        raise ValueError(f"cannot seal {data!r}")

    monkeypatch.setattr(context.sealer, "seal", breaks)
    who = {"name": "Zyxwana Qvorta", "email": "zyxwana.qvorta@example.com"}
    assert (await ana.create(payer=who)).status == 500
    told = json_log.getvalue()
    assert "a handler broke" in told and "merchants.py" in told
    assert not [value for value in who.values() if value in told]


def test_no_line_of_the_code_is_given_a_personal_field() -> None:
    """What has no shape, a name, cannot be told from other words: so nobody hands one to the log."""
    personal = (redact.PERSONAL | redact.SECRETS) - {"name"}
    wrong = [
        f"{path.relative_to(ROOT)}:{call.lineno} {sorted(named & personal)}"
        for path in sorted((ROOT / "src" / "caudal").rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and _is_log(call.func)
        for named in [{part.attr for arg in call.args for part in ast.walk(arg) if isinstance(part, ast.Attribute)}]
        if named & personal
    ]
    assert not wrong


def _is_log(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "log"
