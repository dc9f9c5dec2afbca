"""One bank and one receiver for all tests that need no bank of their own; every test has a CLABE of its own."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.caudal_sandbox.payer import Caller  # noqa: E402
from tests.caudal_sandbox.rig import Bank, Receiver, clabe_of  # noqa: E402

NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture(scope="session")
def bank(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bank]:
    started = Bank(data=tmp_path_factory.mktemp("bank") / "books", caudal_url=receiver.url).start()
    yield started
    assert started.end() == 0
    assert "Traceback" not in started.log


@pytest.fixture(scope="session")
def provider(bank: Bank) -> Caller:
    return Caller(bank)


@pytest.fixture
def clabe() -> str:
    return clabe_of(next(NUMBERS))


@pytest.fixture
def new_bank(tmp_path: Path) -> Iterator[Callable[[str], Bank]]:
    """Makes banks with books of their own, and ends those that the test leaves running."""
    made: list[Bank] = []

    def make(caudal_url: str) -> Bank:
        made.append(Bank(data=tmp_path / f"books{len(made)}", caudal_url=caudal_url).start())
        return made[-1]

    yield make
    for bank in made:
        if bank.process is not None:
            bank.end()
