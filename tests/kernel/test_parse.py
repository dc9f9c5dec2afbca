"""Bodies as records: right ones at once, wrong ones with every field's error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.parse import all_errors, parser, partial_parser


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    street: str
    number: Annotated[int, msgspec.Meta(ge=1)] = 1


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    amount: int
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    ship_to: Address | None = None
    stops: list[Address] = []
    tags: dict[str, str] = {}


class Anything(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    value: Any


parse, partly = parser(Order), partial_parser(Order)

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
{"amount":1,"currency":"MXN","tags":{"a":1}}           /tags/a:invalid_type
[]                                                     :invalid_type
"text"                                                 :invalid_type
"""

# The body, and the errors as field:code when its values have rules, too
PARTLY = """
{"amount":0,"currency":"USD"}                           /amount:zero /currency:not_ours
{"amount":"0","currency":"USD"}                         /amount:invalid_type /currency:not_ours
{"amount":0}                                            /currency:missing /amount:zero
{"amount":0,"currency":5,"x":1}                         /x:unknown_field /currency:invalid_type /amount:zero
{"amount":0,"currency":"USD","tags":{"a":1}}            /tags/a:invalid_type /amount:zero /currency:not_ours
{"amount":1,"currency":5,"tags":{"bad":"x"}}            /currency:invalid_type /tags/bad:bad
{"amount":1,"currency":"MXN","ship_to":{"street":"","number":0}}   /ship_to/number:invalid_value /ship_to/street:empty
{"amount":1,"currency":"MXN","ship_to":{"street":5,"number":9}}    /ship_to/street:invalid_type /ship_to/number:far
{"amount":0,"currency":"MXN","ship_to":"","stops":[{}]} /ship_to:invalid_type /stops/0/street:missing /amount:zero
{"amount":0,"currency":"MXN","ship_to":{"x":"x"}}  /ship_to/x:unknown_field /ship_to/street:missing /amount:zero
[]                                                      :invalid_type
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


def rules(order: Order) -> list[Iterator[FieldError]]:
    return [_amount(order), _currency(order), _street(order), _number(order), _tags(order)]


def _amount(order: Order) -> Iterator[FieldError]:
    if order.amount == 0:
        yield FieldError(field="/amount", code="zero", detail="")


def _currency(order: Order) -> Iterator[FieldError]:
    if order.currency != "MXN":
        yield FieldError(field="/currency", code="not_ours", detail="")


def _street(order: Order) -> Iterator[FieldError]:
    if order.ship_to is not None and not order.ship_to.street:
        yield FieldError(field="/ship_to/street", code="empty", detail="")


def _number(order: Order) -> Iterator[FieldError]:
    if order.ship_to is not None and order.ship_to.number > 8:
        yield FieldError(field="/ship_to/number", code="far", detail="")


def _tags(order: Order) -> Iterator[FieldError]:
    if "bad" in order.tags:
        yield FieldError(field="/tags/bad", code="bad", detail="")


def test_a_right_body_is_a_record() -> None:
    body = b'{"amount": 1, "currency": "MXN", "ship_to": {"street": "Reforma"}, "stops": [], "tags": {"a": "b"}}'
    assert parse(body) == Order(amount=1, currency="MXN", ship_to=Address(street="Reforma"), tags={"a": "b"})


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_every_field_that_is_wrong_is_named_at_once(line: str) -> None:
    body, *expected = line.replace("  /", " /").split()
    found = refusal(body.encode())
    assert found.code == "invalid_request"
    assert [f"{error.field}:{error.code}" for error in found.errors] == expected


@pytest.mark.parametrize("line", PARTLY.strip().splitlines())
def test_a_wrong_type_hides_no_wrong_value(line: str) -> None:
    body, *expected = line.split()
    order, told = partly(body.encode())
    assert [f"{error.field}:{error.code}" for error in all_errors(told, rules(order))] == expected


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refusal(body).code == "malformed_json"


def test_an_unknown_field_gets_the_nearest_name() -> None:
    found = refusal(b'{"amount": 1, "currency": "MXN", "shipto": 1, "zzz": 2}')
    assert [error.detail for error in found.errors] == [
        "there is no such field; did you mean ship_to?",
        "there is no such field",
    ]


# The body, and what its record would not show
HIDDEN = r"""
{"amount":1,"currency":"MXN","tags":{"a":"\u0000"}}                      /tags/a:invalid_text
{"amount":1,"currency":"MXN","tags":{"b":"a\u0000b"},"amount":1}         /amount:repeated /tags/b:invalid_text
{"amount":1,"currency":"MXN","ship_to":{"street":"a\u0000b"}}            /ship_to/street:invalid_text
{"amount":1,"currency":"MXN","stops":[{"street":"a"},{"street":"\u0000"}]}  /stops/1/street:invalid_text
{"amount":"1","currency":"\u0000"}                                       /amount:invalid_type /currency:invalid_value
{"amount":"1","currency":"MXN","tags":{"a":"\u0000"}}                    /amount:invalid_type /tags/a:invalid_text
{"amount":1,"currency":"MXN","amount":2}                                 /amount:repeated
{"amount":1,"currency":"MXN","amount":1}                                 /amount:repeated
{"amount":1,"currency":"MXN","amount":1,"amount":1}                      /amount:repeated /amount:repeated
{"amount":1,"currency":"MXN","amoun\u0074":2}                            /amount:repeated
{"amount":"x","currency":"MXN","amount":2}                               /amount:repeated
{"amount":2,"currency":"MXN","amount":"x","tags":{"a":"","a":""}}        /amount:invalid_type /tags/a:repeated
{"amount":1,"currency":"MXN","ship_to":{"street":"a:b","street":"b"}}    /ship_to/street:repeated
{"amount":1,"currency":"MXN","ship_to":null,"ship_to":{"street":"b"}}    /ship_to:repeated
{"amount":1,"currency":"MXN","stops":[{"street":"a","street":"b"}]}      /stops/0/street:repeated
{"amount":1,"currency":"MXN","tags":{"a/b":"x","a/b":"y","c":"z"}}       /tags/a~1b:repeated
{"amount":1,"currency":"MXN","tags":{"":"\":","":"x"}}                   /tags/:repeated
"""


@pytest.mark.parametrize("line", HIDDEN.strip().splitlines())
def test_what_a_record_would_not_show_is_refused(line: str) -> None:
    body, *expected = line.split()
    found = refusal(body.encode())
    assert [f"{error.field}:{error.code}" for error in found.errors] == expected


@pytest.mark.parametrize("colon", [":", " :", ": ", "\t:", "\r\n:", " \n : "])
def test_a_name_that_comes_twice_is_found_however_the_body_is_spaced(colon: str) -> None:
    for body in ('{"amount"*1,"currency"*"MXN","amount":2}', '{"amount":1,"currency":"MXN","amount"*2}'):
        assert [error.code for error in refusal(body.replace("*", colon).encode()).errors] == ["repeated"]
    assert parse(f'{{"amount"{colon}1, "currency":"MXN"}}'.encode()).amount == 1


def test_a_nul_in_a_name_is_named_where_it_is() -> None:
    (error,) = refusal(b'{"amount": 1, "currency": "MXN", "tags": {"a\\u0000": "x"}}').errors
    assert (error.field, error.code) == ("/tags/a\0", "invalid_text")


@pytest.mark.parametrize(
    "text", ["C:\\u0000dir", "\\\\u0000", '":', '"a": "b"', "at 12:30 : now", "https://a.mx/?b=c:d", '{"a":1,"a":2}']
)
def test_a_text_that_only_looks_like_it_is_read_as_it_is(text: str) -> None:
    for body in (json.dumps, lambda value: json.dumps(value, separators=(",", ":"))):
        assert parse(body({"amount": 1, "currency": "MXN", "tags": {"a": text, text: "a"}}).encode()).tags["a"] == text


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20))
def test_no_body_without_a_repetition_is_refused_for_one(value: object) -> None:
    body = msgspec.json.encode({"value": value})
    if b"\\u0000" in body:
        return
    assert parser(Anything)(body).value == value


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
