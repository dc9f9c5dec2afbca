"""Bodies as records: right ones at once, wrong ones with every field's error."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest

from caudal.kernel.errors import Invalid
from caudal.kernel.parse import parser


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    street: str
    number: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: int
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    ship_to: Address | None = None
    stops: list[Address] = []
    tags: dict[str, str] = {}


parse = parser(Order)

# The body, and the errors as field:code
WRONG = """
{}                                                     /amount:missing /currency:missing
{"amount":1}                                           /currency:missing
{"amount":"1","currency":5}                            /amount:invalid_type /currency:invalid_type
{"amount":1.5,"currency":"MXN"}                        /amount:invalid_type
{"amount":true,"currency":"MXN"}                       /amount:invalid_type
{"amount":null,"currency":"mxn"}                       /amount:invalid_type /currency:invalid_value
{"amount":1,"currency":"MXN","x":1}                    /x:unknown_field
{"amount":1,"currency":"MXN","a/b~c":1}                /a~1b~0c:unknown_field
{"amount":1,"currency":"MXN","ship_to":[]}             /ship_to:invalid_type
{"amount":1,"currency":"MXN","ship_to":{"number":0}}   /ship_to/street:missing /ship_to/number:invalid_value
{"amount":1,"currency":"MXN","stops":[{"street":"a"},{"x":"b"}]}  /stops/1/x:unknown_field /stops/1/street:missing
{"amount":1,"currency":"MXN","stops":{}}               /stops:invalid_type
{"amount":1,"currency":"MXN","tags":{"a":1}}           /tags:invalid_type
[]                                                     :invalid_type
"text"                                                 :invalid_type
"""

NOT_JSON = [
    b"",
    b"{",
    b"{'amount': 1}",
    b'{"amount": 01}',
    b'{"amount": NaN}',
    b'{"amount": 1,}',
    b"\xff\xfe",
    b'{"currency": "\xff"}',
    b'{"currency": "\\ud800"}',
    b'{"currency": "a\x00"}',
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
    b"[" * 100_000,
]


def refusal(body: bytes) -> Invalid:
    with pytest.raises(Invalid) as refused:
        parse(body)
    return refused.value


def test_a_right_body_is_a_record() -> None:
    body = b'{"amount": 1, "currency": "MXN", "ship_to": {"street": "Reforma"}, "stops": [], "tags": {"a": "b"}}'
    assert parse(body) == Order(amount=1, currency="MXN", ship_to=Address(street="Reforma"), tags={"a": "b"})


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_every_field_that_is_wrong_is_named_at_once(line: str) -> None:
    body, *expected = line.replace("  /", " /").split()
    found = refusal(body.encode())
    assert found.code == "invalid_request"
    assert [f"{error.field}:{error.code}" for error in found.errors] == expected


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refusal(body).code == "malformed_json"


def test_an_unknown_field_gets_the_nearest_name() -> None:
    found = refusal(b'{"amount": 1, "currency": "MXN", "shipto": 1, "zzz": 2}')
    assert [error.detail for error in found.errors] == [
        "there is no such field; did you mean ship_to?",
        "there is no such field",
    ]


def test_a_nul_in_any_text_is_refused() -> None:
    for body in (
        b'{"amount": 1, "currency": "MXN", "tags": {"a": "\\u0000"}}',
        b'{"amount": 1, "currency": "MXN", "tags": {"\\u0000": "a"}}',
        b'{"amount": 1, "currency": "MXN", "ship_to": {"street": "a\\u0000b"}}',
    ):
        assert [error.code for error in refusal(body).errors] == ["invalid_text"]


@pytest.mark.parametrize("digits", [19, 400, 5000, 50_000])
def test_a_number_of_any_size_is_read_or_refused_and_never_breaks(digits: int) -> None:
    body = b'{"amount": %s, "currency": "MXN"}' % (b"9" * digits)
    try:
        assert parse(body).amount == 10**digits - 1
    except Invalid as refused:
        assert refused.code in ("invalid_request", "malformed_json")


def test_a_body_that_is_wrong_deep_down_is_refused_and_never_breaks() -> None:
    deep = b'{"a":' * 500 + b"1" + b"}" * 500
    assert refusal(b'{"amount": 1, "currency": "MXN", "tags": %s}' % deep).code == "invalid_request"
    assert refusal(b'{"amount": 1, "currency": "MXN", "ship_to": %s}' % deep).code == "invalid_request"
