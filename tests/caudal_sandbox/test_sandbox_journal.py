"""Group commit: one refusal spoils nobody else, a full disk fails everybody, and one directory has one bank."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from caudal_sandbox.bank import books
from caudal_sandbox.bank.model import Transfer, TransferAsk
from caudal_sandbox.journal import Journal
from tests.caudal_sandbox.rig import SECRET, Bank, clabe_of


def ask(key: str, amount_minor: int = 100) -> TransferAsk:
    return TransferAsk(clabe=clabe_of(7), amount_minor=amount_minor, currency="MXN", payer_name="Ana", tracking_key=key)


def booking(order: TransferAsk) -> Callable[[sqlite3.Connection], object]:
    return lambda rows: books.book_transfer(rows, order, 1)


async def test_a_refused_order_leaves_the_others_of_its_commit_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "bank", books.SCHEMA)
    orders = [ask("A"), ask("B"), ask("A", 200), ask("C")]
    results = await asyncio.gather(*(journal.write(booking(order)) for order in orders), return_exceptions=True)
    assert [isinstance(result, books.TrackingKeyReused) for result in results] == [False, False, True, False]
    assert (await journal.read(books.totals)).transfers == 3
    await journal.close()


async def test_an_order_that_fails_after_it_wrote_is_undone(tmp_path: Path) -> None:
    def wreck(rows: sqlite3.Connection) -> None:
        books.book_transfer(rows, ask("A"), 1)
        raise ZeroDivisionError

    journal = Journal(tmp_path, "bank", books.SCHEMA)
    results = await asyncio.gather(journal.write(wreck), journal.write(booking(ask("B"))), return_exceptions=True)
    assert isinstance(results[0], ZeroDivisionError)
    assert await journal.read(all_keys) == ["B"]
    await journal.close()


async def test_a_full_disk_answers_nobody_that_it_booked(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "bank", books.SCHEMA)
    await journal.write(lambda rows: rows.execute("pragma max_page_count = 20").fetchone())
    orders = [ask(f"K{number}") for number in range(2000)]
    results = await asyncio.gather(*(journal.write(booking(order)) for order in orders), return_exceptions=True)
    booked = [order.tracking_key for order, result in zip(orders, results, strict=True) if isinstance(result, tuple)]
    assert any(isinstance(result, sqlite3.Error) for result in results)
    assert await journal.read(all_keys) == booked
    await journal.write(lambda rows: rows.execute("pragma max_page_count = 100000").fetchone())
    assert await journal.write(booking(ask("AFTER")))
    await journal.close()


async def test_the_writer_is_durable_before_it_answers(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "bank", books.SCHEMA)
    mode = await journal.write(lambda rows: rows.execute("pragma journal_mode").fetchone()[0])
    synchronous = await journal.write(lambda rows: rows.execute("pragma synchronous").fetchone()[0])
    assert (mode, synchronous) == ("wal", 2)  # 2 is FULL: https://www.sqlite.org/pragma.html#pragma_synchronous
    await journal.close()


def all_keys(rows: sqlite3.Connection) -> list[str]:
    lines = books.statement(rows, after_seq=0, to_seq=10_000, limit=10_000)
    return [line.tracking_key for line in lines if isinstance(line, Transfer)]


def run(*arguments: str, secret: str | None = SECRET.decode()) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CAUDAL_SANDBOX_SPEI_SECRET"}
    if secret is not None:
        environment["CAUDAL_SANDBOX_SPEI_SECRET"] = secret
    command = [sys.executable, "-m", "caudal_sandbox", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_second_bank_on_the_same_books_refuses_to_start(bank: Bank) -> None:
    second = run("--port", "0", "--data", str(bank.data))
    assert second.returncode == 1
    assert "another caudal-sandbox keeps its books" in second.stderr and "Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("arguments", "secret", "said"),
    [
        ((), None, "CAUDAL_SANDBOX_SPEI_SECRET is not set"),
        (("--port", "70000"), "s", "from 0 to 65535"),
        (("--caudal-url", "localhost"), "s", "http://127.0.0.1:8700"),
        (("--concurrency", "0"), "s", "--concurrency"),
    ],
)
def test_wrong_usage_is_explained(arguments: tuple[str, ...], secret: str | None, said: str) -> None:
    ended = run(*arguments, secret=secret)
    assert ended.returncode == 2
    assert said in ended.stderr


def test_the_help_is_worth_reading() -> None:
    shown = run("--help", secret=None).stdout
    for word in ("/pay", "CAUDAL_SANDBOX_SPEI_SECRET", "docs/sandbox-protocol.md", "--data", "SIGTERM"):
        assert word in shown


def test_a_taken_port_is_said_in_one_line(bank: Bank, tmp_path: Path) -> None:
    ended = run("--port", str(bank.port), "--data", str(tmp_path))
    assert ended.returncode == 1
    assert "address already in use" in ended.stderr and "Traceback" not in ended.stderr
