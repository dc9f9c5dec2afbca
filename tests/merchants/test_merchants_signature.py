"""Signed requests: `Caudal-Signature: t=…,v1=HMAC-SHA256(key, t + "." + method + "." + path + "." + body)`."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest

from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request
from caudal.merchants import authenticate, authenticate_operator
from caudal.merchants.commands import signature_of
from tests.merchants.cast import Cast

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
BODY = b'{"amount":12050}'


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal.merchants.commands.callers.wall_clock", lambda: NOW)


def request(key: str, signature: str | None = None, *, body: bytes = BODY, path: str = "/v1/payins") -> Request:
    headers = {b"authorization": f"Bearer {key}".encode()}
    if signature is not None:
        headers[b"caudal-signature"] = signature.encode("latin-1")
    return Request(method="POST", path=path, query=b"", headers=headers, body=body, id="r", deadline=monotonic() + 60)


def test_the_signature_is_the_one_of_the_vector() -> None:
    key = "sk_test_" + "A" * 43
    expected = hmac.new(key.encode(), b'1700000000.POST./v1/payins.{"amount":12050}', hashlib.sha256).hexdigest()
    assert expected == "0e7d2a7b20f27813d37b7887910d89a4d1db278e8e908442b07e3248b9ca7f78"
    assert signature_of(key, 1_700_000_000, request(key)) == expected


async def test_a_right_signature_is_taken_and_an_absent_one_is_not_missed(context: Context, ana: Cast) -> None:
    right = signature_of(ana.key, NOW_S, request(ana.key))
    for header in (None, f"t={NOW_S},v1={right}", f"t={NOW_S}, v0=abc, v1={'0' * 64}, v1={right}"):
        assert await authenticate(context, request(ana.key, header), None)


async def test_a_signature_that_does_not_fit_is_refused(context: Context, ana: Cast, olga_key: str) -> None:
    right = signature_of(ana.key, NOW_S, request(ana.key))
    whole = f"t={NOW_S},v1={right}"
    old = NOW - timedelta(seconds=context.settings.signature_window_s + 1)
    stale = signature_of(ana.key, int(old.timestamp()), request(ana.key))
    wrong = [
        request(ana.key, ""),
        request(ana.key, right),
        request(ana.key, f"v1={right}"),
        request(ana.key, f"t={NOW_S}"),
        request(ana.key, f"t={NOW_S},t={NOW_S},v1={right}"),
        request(ana.key, f"t=now,v1={right}"),
        request(ana.key, f"t={NOW_S},v1=é"),
        request(ana.key, f"t={NOW_S + 1},v1={right}"),
        request(ana.key, f"t={int(old.timestamp())},v1={stale}"),
        request(ana.key, whole, body=BODY + b" "),
        request(ana.key, whole, path="/v1/payins/x/cancellations"),
        request(ana.key, f"t={NOW_S},v1={signature_of(olga_key, NOW_S, request(ana.key))}"),
    ]
    for place, asked in enumerate(wrong):
        with pytest.raises(Refused) as caught:
            await authenticate(context, asked, None)
        assert caught.value.code == "unauthenticated", place


async def test_an_operators_signature_is_looked_at_too(context: Context, olga_key: str) -> None:
    right = signature_of(olga_key, NOW_S, request(olga_key))
    assert (await authenticate_operator(context, request(olga_key, f"t={NOW_S},v1={right}"))).name == "first operator"
    with pytest.raises(Refused):
        await authenticate_operator(context, request(olga_key, f"t={NOW_S},v1={right}", body=b""))
