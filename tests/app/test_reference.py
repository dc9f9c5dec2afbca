"""The reference for people: complete in itself, every link leads somewhere, every command works."""

import json
import re
import subprocess
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import requests
from markupsafe import escape

from caudal.app import events, openapi, reference
from caudal.app.reference import view
from caudal.app.state import read_secrets
from caudal.catalogue import BANKS
from caudal.contracts.problems import PROBLEMS, TYPE_PREFIX
from caudal.kernel.context import Context
from caudal.kernel.http import Request
from tests.api import Api
from tests.app.objects import NOBODYS_CLABE, Objects
from tests.app.unresolved import WithoutEnd
from tests.whole import Whole

PAGES = {"/docs": reference.page(), "/docs/errors": reference.errors_page(), "/docs/banks": reference.banks_page()}
ROOT = Path(__file__).parents[2]


class Elements(HTMLParser):
    """The start tags of a page, and those that were never closed."""

    VOID = frozenset({"meta", "link", "input", "br"})

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def values(self, attribute: str) -> list[str]:
        return [str(attrs[attribute]) for _, attrs in self.found if attribute in attrs]


ELEMENTS = {path: Elements(page) for path, page in PAGES.items()}


def request(host: str | None, **more: str) -> Request:
    headers = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in more.items()}
    if host is not None:
        headers[b"host"] = host.encode("latin-1")
    return Request(method="GET", path="/docs", query=b"", headers=headers, body=b"", id="", deadline=0.0)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_well_formed_and_needs_nothing_from_elsewhere(path: str) -> None:
    elements = ELEMENTS[path]
    assert not elements.wrong and not elements.open
    outside = [
        url for name in ("src", "href") for url in elements.values(name) if not url.startswith(("/", "#", "data:"))
    ]
    assert not outside
    assert b"@import" not in PAGES[path] and b"url(" not in PAGES[path]


@pytest.mark.parametrize("path", PAGES)
def test_an_anchor_is_there_once_and_every_link_leads_to_one(path: str) -> None:
    anchors = {page: elements.values("id") for page, elements in ELEMENTS.items()}
    assert len(set(anchors[path])) == len(anchors[path])
    for url in ELEMENTS[path].values("href"):
        page, _, anchor = url.partition("#")
        if (page or path) in anchors and anchor:
            assert anchor in anchors[page or path], url


def test_every_operation_event_and_error_has_its_place() -> None:
    anchors = set(ELEMENTS["/docs"].values("id"))
    document = openapi.parsed()
    wanted = {of["operationId"] for methods in document["paths"].values() for of in methods.values()}
    wanted |= {f"event-{kind.name}" for kind in events.TYPES.values() if kind.reader == "merchant"}
    wanted |= {f"error-{code}" for code in PROBLEMS}
    assert wanted <= anchors


def test_a_problems_type_leads_to_its_place() -> None:
    page, _, _ = TYPE_PREFIX.partition("#")
    assert set(PROBLEMS) <= set(ELEMENTS[page].values("id"))


def test_every_bank_has_its_name_where_a_request_names_one() -> None:
    written, served = (ROOT / "docs" / "banks.md").read_text("utf-8"), PAGES["/docs/banks"].decode()
    for (_, system), there in BANKS.items():
        in_page = served.split(f'id="{system.lower()}"')[1].split("</article>")[0]
        in_docs = written.split(f"## {system}\n")[1].split("\n## ")[0]
        for bank in there.values():
            assert f"<tr><td><code>{bank.code}</code></td><td>{escape(bank.name)}</td></tr>" in in_page
            assert f"| `{bank.code}` | {bank.name} |" in in_docs
    assert {"/docs/banks", "/docs/banks#pse"} <= set(ELEMENTS["/docs"].values("href"))
    assert "(banks.md)" in (ROOT / "docs" / "README.md").read_text("utf-8")


def test_examples_are_written_for_the_host_that_was_asked() -> None:
    assert reference.origin_of(request("pay.example:8700")) == "http://pay.example:8700"
    assert reference.origin_of(request("pay.example", x_forwarded_proto="https")) == "https://pay.example"
    assert b"curl https://pay.example/v1/payins" in reference.page("https://pay.example")


@pytest.mark.parametrize("host", [None, "", "a b", "<script>", "x" * 256, "a/b", 'a"b', "a$(id)"])
def test_a_host_that_is_none_is_not_shown(host: str | None) -> None:
    assert reference.origin_of(request(host)) == reference.ORIGIN


def test_no_unfilled_place_is_left() -> None:
    for page in PAGES.values():
        assert b"origin.invalid" not in page and b"{{" not in page and b"None" not in page


def test_what_is_sent_may_have_apostrophes() -> None:
    [command] = [
        of.curl for of in view.operations(openapi.parsed(), "http://x") if of.id == "create_deposit_confirmation"
    ]
    told = subprocess.run(
        ["bash", "-c", f'curl() {{ echo "${{@: -1}}"; }}\n{command}'], capture_output=True, text=True, check=True
    )
    assert "'" in json.loads(told.stdout)["reason"], "the shell hands on what the document has"


async def test_the_pages_are_served(context: Context) -> None:
    for path in PAGES:
        served = await Api(context).get(path, headers={"host": "pay.example"})
        assert (served.status, served.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"http://pay.example/v1/payins" in (await Api(context).get("/docs", headers={"host": "pay.example"})).body


def test_the_commands_of_the_page_work(running: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("receipt.pdf").write_bytes(b"%PDF-1.4\nstartxref\n0\n%%EOF\n")
    commands = {of.id: of.curl for of in view.operations(openapi.parsed(), running.api_url)}
    with requests.Session() as session, ExitStack() as stack:
        objects = Objects(running, session)
        secrets = read_secrets(running.var, may_make=False)
        known = {
            "KEY": objects.key_of_ana,
            "OPERATOR_KEY": running.operator_key,
            "SPEI_SECRET": secrets.spei_secret_test,
            "PROVIDER_SECRET": secrets.provider_secret_test,
            "PATH": "/usr/bin:/bin",
        }
        known["PAYIN"] = run(commands.pop("create_payin"), known)["id"]
        known["INSTRUMENT"] = run(commands.pop("create_instrument"), known)["id"]
        known["MERCHANT"] = run(commands.pop("create_merchant"), known)["id"]
        known["API_KEY_ID"] = run(commands.pop("create_merchant_key"), known)["id"]
        # The page's deposit may have come before, by another test, and its account may be that of another test's payin.
        own = re.sub(r'(?<="tracking_key": ")\w+', uuid.uuid4().hex[:30], commands.pop("create_callback_spei"))
        own = re.sub(r'(?<="clabe": ")\w+', NOBODYS_CLABE, own)
        known["DEPOSIT"] = run(own, known)["deposit"]
        known["PROFILE"] = run(commands.pop("create_routing_profile"), known)["id"]
        run(commands.pop("create_routing_profile_activation"), known)
        known["ENDPOINT"] = run(commands.pop("create_webhook_endpoint"), known)["id"]
        known["DELIVERY"] = run(commands.pop("create_webhook_endpoint_test"), known)["id"]
        without_end = WithoutEnd(objects, running, session, many=4)
        stack.callback(without_end.heal)
        states: dict[str, Callable[[str], str]] = {
            "AUTHORIZED_PAYIN": lambda _: objects.authorized(),
            "PAID_PAYIN": lambda _: objects.paid(),
            "PENDING_PAYIN": lambda command: objects.payin("pse" if "/decline" in command else "pix"),
            "CORRECTABLE_DISCREPANCY": lambda _: objects.correctable(),
            "DISCREPANCY": lambda _: objects.discrepancy(),
            "DISPUTE": lambda _: objects.dispute(),
            "UNRESOLVED": lambda _: without_end.unresolved(last=True),
            "FAILED_RETURN": lambda _: without_end.failed_return(),
        }
        known["CAPTURE"] = objects.capture()
        known["REFUND"] = objects.refund()
        known["EVENT"] = objects.got("/v1/events")["data"][0]["id"]
        last = ["create_instrument_deletion", "create_key_rotation", "create_key_revocation"]
        for name in [*(name for name in commands if name not in last), *last]:
            known |= {state: make(commands[name]) for state, make in states.items() if f"${state}" in commands[name]}
            run(commands[name], known)


def run(command: str, known: dict[str, str]) -> Any:
    """What a command prints, if it was answered with success."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", re.sub(r"\bcurl\b", "curl -sS --fail-with-body", command)],
        env=known,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)
