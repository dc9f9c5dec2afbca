"""Reading answers: whole, in pieces, one behind the other, and those that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal_load.response import Malformed, Response, parse

ANSWER = b"HTTP/1.1 201 Created\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello"


def test_a_whole_answer() -> None:
    response = parse(ANSWER)
    assert response is not None
    assert (response.status, ANSWER[response.body_start : response.end], response.keep_alive) == (201, b"hello", True)


@given(st.integers(0, len(ANSWER) - 1))
def test_an_answer_in_two_pieces_is_incomplete_before_the_second(cut: int) -> None:
    assert parse(ANSWER[:cut]) is None


def test_of_two_answers_the_first_is_read_and_the_second_stands_behind_it() -> None:
    response = parse(ANSWER * 2)
    assert response is not None
    assert parse((ANSWER * 2)[response.end :]) == response


def test_an_interim_answer_is_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert parse(interim) is None
    assert parse(interim + ANSWER) == Response(201, len(interim + ANSWER) - 5, len(interim + ANSWER), True)


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close", False),
        (b"HTTP/1.1 200 OK\r\nConnection:Close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive", True),
        (b"HTTP/1.0 200 OK", False),
    ],
)
def test_whether_the_connection_stays_open(head: bytes, keep_alive: bool) -> None:
    response = parse(head + b"\r\ncontent-length:0\r\n\r\n")
    assert response is not None
    assert response.keep_alive is keep_alive


def test_an_answer_that_never_has_a_body_needs_no_length() -> None:
    head = b"HTTP/1.1 204 No Content\r\n\r\n"
    assert parse(head) == Response(204, len(head), len(head), True)


@pytest.mark.parametrize(
    "wrong",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
    ],
)
def test_what_it_does_not_understand_it_refuses(wrong: bytes) -> None:
    with pytest.raises(Malformed):
        parse(wrong)
