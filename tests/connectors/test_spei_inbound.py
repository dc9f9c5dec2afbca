"""The bank's callbacks: signed by a secret that says the mode, not too old, strictly of their form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caudal.connectors import spei
from caudal.kernel.errors import Invalid, Refused
from caudal.kernel.http import Request
from caudal.kernel.settings import Settings

NOW = 1_795_000_000
SETTINGS = Settings(spei_secret_test="test secret", spei_secret_live="live secret")
BODY = {"tracking_key": "T1", "clabe": "646180000000000000", "amount": 12050, "currency": "MXN"}
RAW = json.dumps(BODY).encode()


def request(signature: str | None, raw: bytes = RAW) -> Request:
    headers = {} if signature is None else {b"spei-signature": signature.encode("latin-1")}
    return Request(
        method="POST", path="/v1/callbacks/spei", query=b"", headers=headers, body=raw, id="req_1", deadline=0.0
    )


def signed(raw: bytes = RAW, secret: str = "test secret", at: int = NOW) -> Request:
    return request(spei.signature(secret, at, raw), raw)


GOOD = spei.signature("test secret", NOW, RAW)
REFUSED = {
    "none": None,
    "empty": "",
    "no time": GOOD.split(",")[1],
    "no signature": GOOD.split(",")[0],
    "another version": GOOD.replace("v1=", "v2="),
    "time is no number": GOOD.replace(f"t={NOW}", "t=now"),
    "time is negative": GOOD.replace(f"t={NOW}", f"t=-{NOW}"),
    "time in other digits": "t=١٢٣,v1=" + "0" * 64,
    "time without end": f"t={'9' * 5000},v1=0",
    "another time": GOOD.replace(f"t={NOW}", f"t={NOW + 1}"),
    "cut": GOOD[:-1],
    "another secret": spei.signature("other secret", NOW, RAW),
    "another body": spei.signature("test secret", NOW, RAW + b" "),
    "not ASCII": f"t={NOW},v1=\xe9",
}


def test_the_secret_that_verifies_says_the_mode() -> None:
    live, report = spei.receive(signed(), SETTINGS, NOW)
    assert (live, report.provider, report.tracking_key, report.amount_minor) == (False, "spei", "T1", 12050)
    live, _ = spei.receive(signed(secret="live secret"), SETTINGS, NOW)
    assert live


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_signed_right_is_refused(case: str) -> None:
    header = REFUSED[case]
    sent = request(None if header is None else header.encode("utf-8").decode("latin-1"))
    with pytest.raises(Refused) as refused:
        spei.receive(sent, SETTINGS, NOW)
    assert refused.value.code == "unauthenticated"


@pytest.mark.parametrize(("age_s", "taken"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signature_counts_for_five_minutes_both_ways(age_s: int, taken: bool) -> None:
    sent = signed(at=NOW - age_s)
    if taken:
        assert spei.receive(sent, SETTINGS, NOW)
    else:
        with pytest.raises(Refused):
            spei.receive(sent, SETTINGS, NOW)


def test_a_secret_that_is_not_set_verifies_nothing() -> None:
    with pytest.raises(Refused):
        spei.receive(signed(secret=""), Settings(spei_secret_live="live secret"), NOW)


# A field, its value as JSON, and what is wrong; `-` leaves the field out
WRONG = """
tracking_key  -           missing
tracking_key  ""          invalid_value
tracking_key  "a b"       invalid_value
tracking_key  "T23456789012345678901234567890X"  invalid_value
clabe         -           missing
clabe         "64618"     invalid_value
clabe         646180000000000000                 invalid_type
amount        -           missing
amount        0           invalid_value
amount        -1          invalid_value
amount        1.5         invalid_type
amount        "1"         invalid_type
amount        1000000000001                      invalid_value
currency      -           missing
currency      null        invalid_type
currency      "XTS"       unknown_currency
paid_at       ""          invalid_value
paid_at       "yesterday"                        invalid_value
paid_at       "2026-11-23T18:00:00"              invalid_value
paid_at       "23/11/2026 18:00"                 invalid_value
paid_at       1795000000  invalid_type
paid_at       "1999-12-31T23:59:59Z"             out_of_range
paid_at       "0001-01-01T00:00:00+23:59"        out_of_range
paid_at       "9999-12-31T23:59:59-23:59"        out_of_range
colour        "red"       unknown_field
"""


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_a_field_that_is_wrong_is_named(line: str) -> None:
    rest, code = line.rsplit(maxsplit=1)
    field, value = rest.split(maxsplit=1)
    changed: dict[str, Any] = {name: given for name, given in BODY.items() if name != field}
    if value != "-":
        changed[field] = json.loads(value)
    with pytest.raises(Invalid) as refused:
        spei.receive(signed(json.dumps(changed).encode()), SETTINGS, NOW)
    assert [(error.field, error.code) for error in refused.value.errors] == [(f"/{field}", code)]
