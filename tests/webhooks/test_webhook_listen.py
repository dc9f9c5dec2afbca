"""What people hold in their hands: `caudal listen`, the shop, and the page, against a whole caudal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

from caudal.webhooks import SCHEDULE_S
from tests.whole import Whole

ROOT = Path(__file__).parents[2]


def ask(running: Whole, path: str, body: Any = None) -> Any:
    """The API's answer for the demo merchant."""
    headers = {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json"}
    headers["Idempotency-Key"] = str(uuid.uuid4())
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(running.api_url + path, data, headers), timeout=10) as answer:
        return json.load(answer)


def started(running: Whole, *command: str, **settings: str) -> subprocess.Popen[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    environment = {**outside, "CAUDAL_VAR": str(running.var), "KEY": running.key, "PYTHONUNBUFFERED": "1", **settings}
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


PAYIN = {"amount": 4_500, "currency": "MXN", "country": "MX", "method": "spei"}


def test_listen_prints_what_happens_and_cleans_up(running: Whole) -> None:
    with started(running, "-m", "caudal", "listen", "--type", "payin.created") as listening:
        first = line(listening)
        assert first.startswith("listening at http://127.0.0.1:") and "whsec_" in first, first
        endpoint = re.findall(r"endpoint_[0-9a-f]{32}", first)[0]
        payin = ask(running, "/v1/payins", PAYIN)["id"]
        seen = line(listening)
        while payin not in seen:  # the demo merchant is everybody's
            seen = line(listening)
        assert "payin.created" in seen and re.search(r"evt_[0-9a-f]{32}  ok$", seen.rstrip()), seen
        listening.send_signal(signal.SIGINT)
        rest, _ = listening.communicate(timeout=60)
    assert listening.returncode == 0 and f"{endpoint} is deleted" in rest
    assert ask(running, f"/v1/webhook_endpoints/{endpoint}")["status"] == "deleted"


def test_listen_deletes_what_a_listener_left_that_was_killed_and_no_other(running: Whole) -> None:
    with started(running, "-m", "caudal", "listen", "--type", "payin.created") as killed:
        dead = re.findall(r"endpoint_[0-9a-f]{32}", line(killed))[0]
        killed.kill()
    with started(running, "-m", "caudal", "listen", "--type", "payin.created") as first:
        gone, said = list[str](), line(first)
        while not said.startswith("listening"):  # another test's listener may have been killed, too
            gone.append(said)
            said = line(first)
        assert f"{dead} is deleted\n" in gone
        alive = re.findall(r"endpoint_[0-9a-f]{32}", said)[0]
        with started(running, "-m", "caudal", "listen", "--type", "payin.created") as second:
            assert line(second).startswith("listening"), "the first one is alive"
            second.send_signal(signal.SIGINT)
            second.communicate(timeout=60)
        assert ask(running, f"/v1/webhook_endpoints/{alive}")["status"] == "enabled"
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=60)
    assert ask(running, f"/v1/webhook_endpoints/{dead}")["status"] == "deleted"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--key", "sk_live_x"], "a test key"),
        (["--key", "sk_test_" + "x" * 43], "there is no such API key"),
        (["--type", "payin.payed"], "did you mean payin.paid?"),
        (["--api", "http://127.0.0.1:1"], "does not answer"),
    ],
)
def test_listen_says_what_is_wrong(running: Whole, options: list[str], said: str) -> None:
    with started(running, "-m", "caudal", "listen", *options) as listening:
        out, _ = listening.communicate(timeout=60)
    assert listening.returncode == 2 and said in out and "Traceback" not in out, out


def test_the_shop_sells_and_hears_that_it_is_paid(running: Whole) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(2):
        sold(running, port)
    found = ask(running, "/v1/webhook_endpoints?limit=100")["data"]
    assert len([one for one in found if one["url"] == f"http://127.0.0.1:{port}/"]) == 1, "the second finds the first's"


def sold(running: Whole, port: int) -> None:
    with started(running, "examples/shop/shop.py", running.api_url, PORT=str(port)) as shop:
        told = line(shop)
        clabe = re.findall(r"pay MXN 45\.00 to (\d{18})", told)
        assert clabe, told
        transfer = {"clabe": clabe[0], "amount": 4_500, "currency": "MXN", "payer_name": "Beto"}
        request = urllib.request.Request(
            f"{running.sandbox_url}/v1/bank/transfers",
            json.dumps(transfer).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
        rest, _ = shop.communicate(timeout=60)
    assert shop.returncode == 0 and "order-7 is paid: here is your bread" in rest


def test_the_shop_is_short() -> None:
    text = (ROOT / "examples" / "shop" / "shop.py").read_text()
    assert sum(1 for line in text.splitlines() if line.strip()) <= 60


def test_the_page_shows_the_schedule_of_the_code() -> None:
    page = (ROOT / "docs" / "webhooks.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (at once|\d+ (?:s|min|h)) \|$", page, re.MULTILINE)
    units = {"s": 1, "min": 60, "h": 3600}
    shown = [0 if wait == "at once" else int(wait.split()[0]) * units[wait.split()[1]] for _, wait in rows]
    assert tuple(shown) == SCHEDULE_S and [int(number) for number, _ in rows] == list(range(1, 11))


def test_the_pages_receiver_verifies_what_is_signed() -> None:
    from datetime import UTC, datetime

    from standardwebhooks.webhooks import Webhook

    page = (ROOT / "docs" / "webhooks.md").read_text()
    code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(code, names)
    secret, now = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", datetime.now(UTC)
    signed = Webhook(secret).sign("evt_1", now, '{"a":1}')
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    assert names["is_caudals"](secret, headers, b'{"a":1}')
    assert not names["is_caudals"](secret, headers, b'{"a":2}')
