"""What a person sees: `caudal demo` and `caudal up`, run as they are, with what they print taken at its word."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from caudal.app import demo
from caudal.app.demo import flows
from caudal.app.state import Ready
from tests.faults.restless import living

pytestmark = pytest.mark.server

PORTS = {"CAUDAL_PORT": "18720", "CAUDAL_SANDBOX_PORT": "18820"}
COLUMNS = ("flow", "steps", "time", "status", "balance")
CURL = re.compile(r"^ +(curl .*\\\n.*)$", re.MULTILINE)
ADDRESS = re.compile(r"^(API reference|Payer's page) +(http\S+)$", re.MULTILINE)


class Caudal:
    """A `caudal` command in a directory of its own, and what it has printed so far."""

    def __init__(self, home: Path, *words: str) -> None:
        self.var, self._log = home / "var", home / "said"
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "caudal", *words],
                env={**outside, **PORTS, "CAUDAL_VAR": str(self.var)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def until(self, happened: Callable[[], bool], within_s: float = 60.0) -> None:
        end = time.monotonic() + within_s
        while not happened():
            assert self.process.poll() is None and time.monotonic() < end, self.said
            time.sleep(0.01)

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


@contextmanager
def caudal(home: Path, *words: str) -> Iterator[Caudal]:
    home.mkdir(exist_ok=True)
    home.chmod(0o711)
    running = Caudal(home, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.interrupt()


@pytest.fixture(scope="module")
def home(open_tmp: Path) -> Path:
    """Where every test leaves everything stopped and usable."""
    return open_tmp / "demo"


def test_the_demo_pays_shows_a_table_and_leaves_nothing(home: Path) -> None:
    with caudal(home, "demo") as running:
        assert running.process.wait(120) == 0, running.said
    head, row = (next(line for line in running.said.splitlines() if word in line) for word in ("balance", "spei MX"))
    assert "A first payment of every flow" in running.said
    assert tuple(re.findall("[a-z]+", head)) == COLUMNS
    assert (
        re.search(r"\d+ ms", row) and "paid, refunded" in row and "create → transfer → paid → refund → refunded" in row
    )
    assert re.search(r"[\d.,]+ MXN pending or available", row), "the balance"
    assert all(f" {name} " in running.said for name, _, _ in flows.FLOWS)
    assert "all is well" in running.said and "compared" in running.said
    assert not living(running.var)


def test_up_prints_a_line_that_creates_a_payin_and_addresses_that_answer(home: Path) -> None:
    with caudal(home, "up") as running:
        running.until(lambda: "Ctrl-C stops it" in running.said)
        [line] = CURL.findall(running.said)
        twice = f"{line}; echo; sleep 1.1; {line}"
        done = subprocess.run(["bash", "-c", twice], capture_output=True, text=True, timeout=30, check=True)
        payin, another = map(json.loads, done.stdout.splitlines())
        assert payin["id"] != another["id"], "each copy is a payin of its own"
        assert (payin["status"], payin["amount"], payin["reference"]) == ("pending", 12050, "order-1")
        assert payin["next_action"]["type"] == "show_bank_details"
        addresses = dict(ADDRESS.findall(running.said))
        assert set(addresses) == {"API reference", "Payer's page"}
        for address in addresses.values():
            with urllib.request.urlopen(address, timeout=10) as answer:
                assert answer.status == 200 and b"<html" in answer.read().lower()
        assert running.interrupt() == 0
    assert not living(running.var)


def test_ctrl_c_while_the_books_are_checked_leaves_nothing(home: Path) -> None:
    with caudal(home, "demo") as running:
        running.until(lambda: "spei MX" in running.said)
        assert running.interrupt() == 1, "a demo that was interrupted has shown nothing"
    assert not living(running.var)


async def test_books_that_are_long_are_left_to_the_reader_and_never_by_the_demo(
    running: Ready, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def paid(_: Ready) -> list[flows.Row]:
        return [flows.Row(name="spei MX", steps="", took_s=0, status=flows.EXPECTED, balance="")]

    monkeypatch.setattr(flows, "run", paid)
    assert await demo._books_are_clean(running, Console(), 0.0)
    assert "not checked" in capsys.readouterr().out
    await demo.show_and_end(running)
    assert "not checked" not in capsys.readouterr().out
