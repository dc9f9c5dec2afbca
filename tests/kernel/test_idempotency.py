"""Idempotency keys: the header's forms, the digest that is stored, the fingerprint of what was asked."""

from __future__ import annotations

from typing import Any

import pytest

from caudal.kernel.errors import Invalid
from caudal.kernel.http import Request
from caudal.kernel.idempotency import digest, fingerprint, header_of, key_of

SECRET = b"s" * 32


def request(key: bytes | None, **changed: Any) -> Request:
    headers = {} if key is None else {b"idempotency-key": key}
    fields = {"method": "POST", "path": "/v1/payins", "query": b"", "body": b"{}", **changed}
    return Request(headers=headers, id="req_1", deadline=0.0, **fields)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (b"abc", "abc"),
        (b'"abc"', "abc"),
        (b"  abc ", "abc"),
        (b'"a b"', "a b"),
        (b'"a\\"b\\\\c"', 'a"b\\c'),
        (b'"', '"'),
        (b'""x', '""x'),
        (b"a" * 255, "a" * 255),
        (b'"' + b"a" * 255 + b'"', "a" * 255),
    ],
)
def test_a_key_is_bare_or_quoted(header: bytes, key: str) -> None:
    assert header_of(request(header)) == key


@pytest.mark.parametrize(
    "header", [b"", b"   ", b'""', b"a" * 256, "é".encode(), b"a\x00b", b"a\tb", b"\xff", b"a\x7f"]
)
def test_a_malformed_key_is_refused_by_name(header: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        header_of(request(header))
    assert refused.value.code == "invalid_key"
    assert [error.field for error in refused.value.errors] == ["Idempotency-Key"]


def test_where_money_moves_a_key_is_needed() -> None:
    assert header_of(request(None)) is None
    with pytest.raises(Invalid) as refused:
        key_of(request(None), 2, [SECRET])
    assert refused.value.code == "key_missing"


def test_what_is_stored_says_nothing_of_the_key() -> None:
    assert len(digest("api", "ana@example.com")) == 16
    assert b"ana" not in digest("api", "ana@example.com")
    assert digest("api", "x") != digest("operator", "x") != digest("operator", "y")


def test_quoted_and_bare_are_the_same_key() -> None:
    assert key_of(request(b"abc"), 2, [SECRET]) == key_of(request(b'"abc"'), 2, [SECRET])
    assert key_of(request(b"abc"), 2, [SECRET]).place != key_of(request(b"abc"), 3, [SECRET]).place


@pytest.mark.parametrize("changed", [{"method": "PUT"}, {"path": "/v1/payins/x"}, {"body": b"{ }"}])
def test_the_fingerprint_is_of_method_path_and_raw_body(changed: dict[str, Any]) -> None:
    asked = key_of(request(b"abc"), 2, [SECRET])
    other = key_of(request(b"abc", **changed), 2, [SECRET])
    assert asked.place == other.place and asked.fingerprint != other.fingerprint


def test_the_fingerprint_needs_the_secret() -> None:
    assert fingerprint(SECRET, "POST", "/", b"") != fingerprint(b"t" * 32, "POST", "/", b"")
    assert len(fingerprint(SECRET, "POST", "/", b"")) == 16


def test_what_was_asked_under_a_former_secret_is_known() -> None:
    before, after = key_of(request(b"abc"), 2, [SECRET]), key_of(request(b"abc"), 2, [b"t" * 32, SECRET])
    assert after.fingerprint != before.fingerprint and after.former == (before.fingerprint,)
    assert before.former == ()
