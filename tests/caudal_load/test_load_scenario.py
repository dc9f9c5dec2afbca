"""Templates: every request is a correct one, differs from all others, and belongs to its merchant."""

import json
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import CARD_CAPTURED, MIXED, SPEI_CREATE

TARGET = Target(host="127.0.0.1", port=8700)


def parts(request: bytes) -> tuple[list[str], dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first.split(" "), dict(line.split(": ", 1) for line in lines), body


def test_a_request_is_correct_http_with_the_token_as_key_and_reference() -> None:
    requests = Requests(SPEI_CREATE, TARGET, ["sk_test_ana"])
    first, headers, body = parts(requests.next())
    assert first == ["POST", "/v1/payins", "HTTP/1.1"]
    assert headers == {
        "Host": "127.0.0.1:8700",
        "Authorization": "Bearer sk_test_ana",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Idempotency-Key": requests.token(0),
    }
    assert json.loads(body) == {
        "amount": 12050,
        "currency": "MXN",
        "country": "MX",
        "method": "spei",
        "reference": requests.token(0),
        "payer": {"name": "Ana Pérez", "email": "ana@example.com"},
    }


def test_requests_are_numbered_and_never_the_same() -> None:
    requests = Requests(SPEI_CREATE, TARGET, ["sk_test_ana"])
    sent = [requests.next() for _ in range(1000)]
    assert len(set(sent)) == 1000
    assert all(requests.token(number).encode() in request for number, request in enumerate(sent))
    assert requests.count == 1000


def test_two_runs_share_no_reference() -> None:
    first, second = (Requests(SPEI_CREATE, TARGET, ["sk_test_ana"]) for _ in range(2))
    assert not first.token(7).startswith(second.prefix)


def test_requests_are_spread_evenly_over_the_merchants() -> None:
    requests = Requests(SPEI_CREATE, TARGET, ["sk_test_ana", "sk_test_beto", "sk_test_caro"])
    keys = [parts(requests.next())[1]["Authorization"] for _ in range(9)]
    assert sorted(keys) == sorted(["Bearer sk_test_ana", "Bearer sk_test_beto", "Bearer sk_test_caro"] * 3)


def test_cards_go_round_and_each_merchant_pays_with_its_own() -> None:
    cards = [["instr_a1", "instr_a2"], ["instr_b1", "instr_b2"]]
    requests = Requests(CARD_CAPTURED, TARGET, ["sk_test_ana", "sk_test_beto"], instruments=cards)
    asked = [parts(requests.next()) for _ in range(8)]
    used = [(headers["Authorization"][-3:], json.loads(body)["instrument"]["id"]) for _, headers, body in asked]
    assert used == [("ana", "instr_a1"), ("eto", "instr_b1"), ("ana", "instr_a2"), ("eto", "instr_b2")] * 2
    assert all(headers["Content-Length"] == str(len(body)) for _, headers, body in asked)


def test_a_mix_is_its_shares_and_every_merchant_gets_all_of_it() -> None:
    requests = Requests(MIXED, TARGET, ["sk_test_ana", "sk_test_beto"], instruments=[["instr_a"], ["instr_b"]])
    asked = [parts(requests.next()) for _ in range(40)]
    methods = Counter((headers["Authorization"], json.loads(body)["method"]) for _, headers, body in asked)
    shares = {"card": 7, "pix": 5, "spei": 3, "boleto": 2, "mpesa": 2, "pse": 1}
    assert methods == {(f"Bearer sk_test_{who}", m): n for who in ("ana", "beto") for m, n in shares.items()}


def test_no_method_of_a_mix_comes_in_a_lump() -> None:
    cards = [place for place, turn in enumerate(MIXED.turns) if turn == 0]
    assert max(after - before for before, after in pairwise(cards)) <= 4
    assert (len(cards), len(MIXED.turns)) == (7, 20)


def test_processes_share_a_run_without_sharing_a_number() -> None:
    every = [Requests(SPEI_CREATE, TARGET, ["sk_test_ana"], "0badcafe", first=first, step=3) for first in range(3)]
    numbers = []
    for requests in every:
        for _ in range(4):
            sent = requests.next()
            assert requests.token(requests.number).encode() in sent
            numbers.append(requests.number)
    assert sorted(numbers) == list(range(12))


def test_a_skewed_side_has_a_few_large_merchants_and_many_small_ones() -> None:
    keys = [f"sk_test_{number:03}" for number in range(100)]
    requests = Requests(replace(SPEI_CREATE, skew=1.0), TARGET, keys)
    counts = Counter(parts(requests.next())[1]["Authorization"][-3:] for _ in range(5_000))
    whole = sum(1 / rank for rank in range(1, 101))
    assert [counts[name] / 5_000 for name in ("000", "001", "009")] == pytest.approx(
        [1 / whole, 1 / 2 / whole, 1 / 10 / whole], rel=0.05
    )
    assert len(counts) == 100, "nobody is left out"


def test_the_same_request_again_is_the_same_whoever_it_is_from() -> None:
    keys = [f"sk_test_{number}" for number in range(7)]
    requests = Requests(replace(MIXED, skew=1.0), TARGET, keys, instruments=[["instr_a", "instr_b"]] * 7)
    sent = [requests.next() for _ in range(200)]
    assert [requests.again(number) for number in range(200)] == sent


def test_a_percent_sign_in_a_body_stays_one() -> None:
    odd = replace(SPEI_CREATE, bodies=('{"reference":"{token}","description":"100 %b %s"}',))
    _, headers, body = parts(Requests(odd, TARGET, ["sk%test"]).next())
    assert json.loads(body)["description"] == "100 %b %s"
    assert headers["Authorization"] == "Bearer sk%test"
    assert headers["Content-Length"] == str(len(body))


def test_a_body_without_the_token_is_refused() -> None:
    with pytest.raises(ValueError, match="has to hold"):
        Requests(replace(SPEI_CREATE, bodies=("{}",)), TARGET, ["sk_test_ana"])


def test_a_key_cannot_smuggle_a_header() -> None:
    with pytest.raises(ValueError, match="line breaks"):
        Requests(SPEI_CREATE, TARGET, ["sk_test_ana\r\nX: y"])


@pytest.mark.parametrize("url", ["https://127.0.0.1:8700", "127.0.0.1:8700", "http://127.0.0.1:8700/v1", "http://"])
def test_an_address_that_is_not_plain_http_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Target.of(url)


def test_an_address() -> None:
    assert Target.of("http://localhost:8700/") == Target(host="localhost", port=8700)
    assert Target.of("http://localhost").url == "http://localhost:80"


@pytest.mark.parametrize(("merchants", "cards"), [(1, 1), (1, 3), (2, 1), (3, 2), (4, 5)])
def test_what_is_remembered_of_a_round_is_what_would_be_made_anew(merchants: int, cards: int) -> None:
    keys = [f"sk_test_{number}" for number in range(merchants)]
    instruments = [[f"instr_{key}_{number}" for number in range(cards)] for key in range(merchants)]
    long, anew = (Requests(MIXED, TARGET, keys, "0badcafe", instruments, first=1, step=2) for _ in range(2))
    sent = [long.next() for _ in range(2 * 20 * 20 * 20)]
    assert [anew.again(2 * own + 1) for own in range(0, len(sent), 37)] == sent[::37]
    assert long._round, "it is remembered"
