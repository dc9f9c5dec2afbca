"""Ports: the asked one or the next that is free, and never one promised to another `caudal up`."""

import os
import socket
from collections.abc import Iterator

import pytest

from caudal.app.ports import Ports, address, listens


@pytest.fixture
def ports() -> Iterator[Ports]:
    mine = Ports("127.0.0.1")
    yield mine
    mine.release()


def test_a_port_in_use_is_passed_over(ports: Ports) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert ports.take(taken) > taken


def test_a_promised_port_is_passed_over_until_it_is_released(ports: Ports) -> None:
    first = ports.take(0)
    other = Ports("127.0.0.1")
    assert other.take(first) > first
    other.release()
    ports.release()
    assert other.take(first) == first
    other.release()


def test_ports_in_a_row_leave_out_what_is_taken_between_them(ports: Ports) -> None:
    first = ports.take_row(20_000, 3)
    other = Ports("127.0.0.1")
    assert other.take(first + 5) == first + 5
    again = ports.take_row(first + 3, 3)
    assert again > first + 5 and ports.take(again) == again + 3, "the whole row is promised"
    other.release()


def test_a_process_listens_that_holds_a_listening_socket_itself(ports: Ports) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert listens(os.getpid(), port)
        assert not listens(os.getppid(), port)
    assert not listens(os.getpid(), port)


def test_one_that_is_bound_and_does_not_listen_yet_is_not_there() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert not listens(os.getpid(), bound.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8700"),
        ("0.0.0.0", "http://127.0.0.1:8700"),
        ("::", "http://[::1]:8700"),
        ("payments.example", "http://payments.example:8700"),
    ],
)
def test_an_address_is_one_that_answers_on_this_machine(host: str, url: str) -> None:
    assert address(host, 8700) == url
