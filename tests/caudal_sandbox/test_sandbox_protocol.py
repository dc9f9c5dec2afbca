"""docs/sandbox-protocol.md is true: its examples run in order and print what it shows, its test vector fits."""

import hashlib
import hmac
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from caudal_sandbox.bank.callback import request
from caudal_sandbox.bank.model import Fault
from caudal_sandbox.delivery import Status
from caudal_sandbox.provider import docs
from caudal_sandbox.provider.books import Letter
from caudal_sandbox.provider.outbox import ProviderOutbox
from tests.caudal_sandbox.payer import PROVIDER_SECRET, signature
from tests.caudal_sandbox.rig import Bank, Receiver, a_transfer, until

PAGE = (Path(__file__).parents[2] / "docs/sandbox-protocol.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"```sh\n(?P<code>(?:(?!```).)*?)```\n```json\n(?P<shown>.*?)```", re.DOTALL)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SECRET = b"quiet-river"


def test_the_examples_print_what_the_page_shows(tmp_path: Path) -> None:
    examples = list(EXAMPLE.finditer(PAGE))
    assert len(examples) == 11
    with Receiver() as receiver:
        bank = Bank(data=tmp_path / "books", caudal_url=receiver.url, public_url="http://127.0.0.1:8701").start()
        for example in examples:
            assert run(example["code"], bank.url) == timeless(example["shown"])
            until(lambda: bool(bank.get("/v1/bank/books").json["deliveries"]["waiting"] == 0))
        bank.end()


def run(code: str, url: str) -> Any:
    script = code.replace("http://127.0.0.1:8701", url)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True)
    return timeless(done.stdout)


def timeless(text: str) -> Any:
    return json.loads(MOMENT.sub("a moment", text))


def test_the_vector_fits_the_body_by_the_rule_as_written() -> None:
    body, at, v1 = vector()
    assert f"({len(body)} bytes)" in PAGE
    assert hmac.new(SECRET, at.encode() + b"." + body, hashlib.sha256).hexdigest() == v1


def test_the_bank_signs_the_vector() -> None:
    body, at, v1 = vector()
    told = replace(a_transfer(), tracking_key="RIVER1", paid_ms=int(at) * 1000)
    sent, headers = request(told, SECRET, int(at))
    assert sent == body
    assert headers["Spei-Signature"] == f"t={at},v1={v1}"


def test_the_provider_signs_its_vector() -> None:
    body, at, v1 = vector(r'\{"id":"cb_', "Provider-Signature")
    letter = Letter(
        seq=1, lane=1, method="mpesa", body=body.decode(), forged=0, copies=1, copies_delivered=0, failures=0,
        next_attempt_ms=0,
    )  # fmt: skip
    path, sent, headers = ProviderOutbox("sandbox", PROVIDER_SECRET).request(letter, int(at))
    assert (path, sent) == ("/v1/callbacks/sandbox/mpesa", body)
    assert headers["Provider-Signature"] == f"t={at},v1={v1}" == signature("POST", path, body, at_s=int(at))


def test_the_tables_are_what_the_data_says() -> None:
    assert docs.rendered(PAGE) == PAGE, "run make docs"


def vector(start: str = r'\{"tracking_key":"RIVER1"', name: str = "Spei-Signature") -> tuple[bytes, str, str]:
    body = re.search(rf"^{start}.*\}}$", PAGE, re.MULTILINE)
    header = re.search(rf"^{name}: t=(\d+),v1=([0-9a-f]{{64}})$", PAGE, re.MULTILINE)
    assert body is not None and header is not None
    return body[0].encode(), header[1], header[2]


@pytest.mark.parametrize("word", [*Fault, *Status])
def test_every_fault_and_status_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_every_code_of_a_refusal_is_on_the_page() -> None:
    sources = Path(__file__).parents[2] / "src/caudal_sandbox"
    refusals = r"Refused\(|WrongMoment\(|Unknown\(|KeyReused\(|SignatureRefused\("
    named_by = refusals + r"|Problem\(\s*\d+,|code=|fields\.wrong\([^,]+,|self\.wrong\([^,]+,"
    code = re.compile(rf'(?:{named_by})\s*"([a-z_]+)"')
    named = {found for path in sources.rglob("*.py") for found in code.findall(path.read_text(encoding="utf-8"))}
    assert len(named) > 15
    assert not {name for name in named if f"`{name}`" not in PAGE}
