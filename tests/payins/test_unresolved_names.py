"""What the list of unresolved work names is what its party was told: everybody finds it in the sandbox's own books."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from caudal.connectors import Unresolved
from caudal.connectors.sandbox_protocol.client import ProviderClient
from caudal.kernel.context import Context
from caudal.payins import decide, store
from tests.caudal_sandbox.rig import NORTE_SECRET, SECRET, Bank
from tests.conftest import settings_of
from tests.payins.cast import Merchant, key_of
from tests.payins.disputing import PDF
from tests.payins.several import merchant
from tests.payins.test_bank_around import CLABE
from tests.payins.test_corrections import corrected
from tests.payins.test_unresolved import PATH, listed, tried

FILE = """
[[provider]]
name = "sandbox"
url = "{0}"
secret = "still-lake"

[[provider]]
name = "norte"
url = "{0}/providers/norte"
secret = "{1}"
"""
PARTIES = ("sandbox", "norte", "spei")
ON = {"sandbox": "retry"}  # so that it goes on to norte
KINDS = ("payin.submit", "payin.operate", "deposit.return", "payin.expire", "dispute.send", "discrepancy.ask")


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Bank]:
    """Two providers and a bank, in a process of their own, whose callbacks reach nobody."""
    running = Bank(data=tmp_path / "books", caudal_url="http://127.0.0.1:9").start()
    yield running
    assert running.end() == 0


@pytest.fixture
async def ana(database_url: str, tmp_path: Path, sandbox: Bank) -> AsyncIterator[Merchant]:
    file = tmp_path / "providers.toml"
    file.write_text(FILE.format(sandbox.url, NORTE_SECRET.decode()))
    settings = settings_of(
        database_url, providers=str(file), sandbox_url=sandbox.url, spei_secret_test=SECRET.decode(), lease_s=0.5
    )
    async with Context(settings, name="test") as opened:
        yield await merchant(opened)


async def force(ana: Merchant, breaker: str, *parties: str) -> None:
    """`open`: nobody is asked, whatever is due."""
    for party in parties:
        asked = {"breaker": breaker, "reason": "an incident"}
        assert (await ana.post(f"/v1/operator/providers/{party}/forcings", asked, key=ana.olga)).status == 201


async def unheard(ana: Merchant, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """A card payin whose providers do what they are asked, and seem to say this: `retry` that nothing happened."""
    real = ProviderClient.submit

    async def lost(self: ProviderClient, *order: Any) -> Any:
        answer, kind = await real(self, *order), said.get(self._provider)
        return answer if kind is None else Unresolved(kind=kind, detail="a reset")

    with monkeypatch.context() as patched:
        patched.setattr(ProviderClient, "submit", lost)
        return await ana.card(**asked)


def shown(sandbox: Bank, key: str, act: str = "", **asked: Any) -> dict[str, Any]:
    """A payment as its provider tells it, after its payer has done something."""
    path = f"/v1/provider/payers/{key}"
    answer = sandbox.post(f"{path}/{act}", asked) if act else sandbox.get(path)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def secret_of(provider: str) -> str:
    return "still-lake" if provider == "sandbox" else NORTE_SECRET.decode()


async def tell(ana: Merchant, method: str, about: str, told: dict[str, Any], provider: str = "sandbox") -> None:
    answered = await ana.told(method, about, told, provider=provider, secret=secret_of(provider))
    assert answered.status == 200, answered.body


async def operations(ana: Merchant, monkeypatch: pytest.MonkeyPatch, sandbox: Bank) -> dict[str, tuple[str, str]]:
    """A capture, refunds and voids, of the last attempt and of one before it."""
    held, closing = await ana.card(capture="manual"), await ana.card(capture="manual")
    paid, by_transfer = await ana.card(), await ana.payin()
    await ana.deposit(by_transfer["next_action"]["clabe"], 10_000, "T1", secret=SECRET.decode())
    twice = await unheard(ana, monkeypatch, ON, amount=7_000, capture="manual")
    await tell(ana, "card", "payment", shown(sandbox, key_of(twice)))  # sandbox holds it, too
    await force(ana, "open", *PARTIES)
    capture, refund = (await ana.capture(held, 3_000)).json, (await ana.refund(paid, 4_000)).json
    sent = (await ana.refund(by_transfer, 4_000, destination=CLABE)).json
    await ana.cancel(closing)
    await force(ana, "automatic", *PARTIES)
    rows = await ana.context.rows("select id, payin from payin_operation where kind = 'void'")
    voids = {payin.hex: id.hex for id, payin in rows}
    asked = {key_of(capture): "sandbox", key_of(refund): "sandbox", key_of(sent): "spei"}
    asked |= {voids[key_of(closing)]: "sandbox", voids[key_of(twice)]: "sandbox"}
    return {key: (party, key) for key, party in asked.items()}


async def returns(ana: Merchant, sandbox: Bank) -> dict[str, tuple[str, str]]:
    """Money on its way back at a provider and at the bank; by the key of its deposit."""
    late = await ana.asked("mpesa")
    await tell(ana, "mpesa", "payment", shown(sandbox, key_of(late)) | {"status": "declined"})
    await tell(ana, "mpesa", "payment", shown(sandbox, key_of(late), "pay"))
    payin = await ana.payin()
    clabe, bank = payin["next_action"]["clabe"], SECRET.decode()
    for tracking in ("T2", "T3"):
        assert sandbox.pay(clabe, 10_000, tracking_key=tracking).status == 201
        surplus = await ana.deposit(clabe, 10_000, tracking, secret=bank)
    assert (await ana.post(f"/v1/operator/deposits/{surplus.json['deposit']}/returns", key=ana.olga)).status == 201
    found = await ana.context.rows("select id from deposit where returning_minor > 0")
    deposits = [await store.deposit(ana.context, 0, id) for (id,) in found]
    assert len(deposits) == 2
    return {
        one.id.hex: (one.provider, decide.return_key(one, one.returning_version)) for one in deposits if one is not None
    }


async def payments(ana: Merchant, monkeypatch: pytest.MonkeyPatch, sandbox: Bank) -> dict[str, tuple[str, str]]:
    """One without an outcome, one whose time is over, and one that norte has, of which sandbox says nothing."""
    lost, waits = await unheard(ana, monkeypatch, {"sandbox": "unknown"}), await ana.pix()
    other = await unheard(ana, monkeypatch, ON | {"norte": "unknown"})
    assert [one["status"] for one in (lost, waits, other)] == ["submitting", "pending", "submitting"]
    await tell(ana, "card", "payment", shown(sandbox, f"{key_of(other)}-2"), "norte")  # faster than whoever asks
    return {key_of(one): ("sandbox", key_of(one)) for one in (lost, waits, other)}


async def questions(ana: Merchant, sandbox: Bank) -> dict[str, tuple[str, str]]:
    """What contradicts our books: of a payment, of a capture, of a void, and by somebody who does not have it."""
    paid, held, closed, others = [await ana.card(capture=how) for how in ("automatic", "manual", "manual", "automatic")]
    capture = (await ana.capture(held, 3_000)).json
    await ana.cancel(closed)
    await tell(
        ana, "card", "payment", shown(sandbox, key_of(paid)) | {"status": "declined", "captured": 0, "code": "51"}
    )
    told = {"id": "op_1", "account": shown(sandbox, key_of(held))["account"], "status": "failed", "code": "96"}
    told |= {"amount": 3_000, "currency": "BRL", "updated_at": "2026-11-27T10:00:00Z"}
    of_capture = {"key": key_of(capture), "payment_key": key_of(held), "kind": "capture"}
    await tell(ana, "card", "operation", told | of_capture)
    await tell(ana, "card", "payment", shown(sandbox, key_of(others)), "norte")
    asked = {}
    for case in await ana.odd():
        if case["proposals"][0]["correction"] == "ask_again":
            assert (await corrected(ana, case)).status == 201
            asked[key_of(case)] = ("sandbox", str(case["detail"]["key"]))
    assert {key for _, key in asked.values()} == {key_of(paid), key_of(capture), key_of(others)}
    return asked


async def evidence(ana: Merchant, monkeypatch: pytest.MonkeyPatch, sandbox: Bank) -> dict[str, tuple[str, str]]:
    """A file against a dispute of what norte has taken."""
    payin = await unheard(ana, monkeypatch, ON)
    await tell(ana, "card", "dispute", shown(sandbox, f"{key_of(payin)}-2", "dispute"), "norte")
    path = f"/v1/disputes/{(await ana.seen(payin))['dispute']}/evidence?kind=receipt"
    file = await ana.post(path, PDF, headers={"content-type": "application/pdf"})
    assert file.status == 201, file.body
    return {key_of(file.json): ("norte", key_of(file.json))}


def known_to(folder: Path) -> set[tuple[str, str]]:
    """Whoever knows a key, by the books of the bank and of both providers."""
    books: dict[str, tuple[str, tuple[str, ...]]] = {
        "bank": ("spei", ("return_transfer.return_key", "payment.payment_key"))
    }
    for file, provider in (("provider", "sandbox"), ("provider-norte", "norte")):
        books[file] = (provider, ("payment.key", "operation.key", "evidence.key"))
    found = set()
    for file, (party, columns) in books.items():
        with closing(sqlite3.connect(f"file:{folder / file}.sqlite3?mode=ro", uri=True)) as rows:
            for table, _, column in (name.partition(".") for name in columns):
                found |= {(party, key) for (key,) in rows.execute(f"select {column} from {table}")}
    return found


async def test_the_list_names_whom_it_asks_and_the_key_that_is_known_there(
    ana: Merchant, sandbox: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await operations(ana, monkeypatch, sandbox) | await returns(ana, sandbox)
    expected |= await payments(ana, monkeypatch, sandbox) | await questions(ana, sandbox)
    expected |= await evidence(ana, monkeypatch, sandbox)
    await force(ana, "open", *PARTIES)
    await tried(ana.context, *KINDS)
    await force(ana, "automatic", "norte")
    await tried(ana.context, "payin.submit")
    found = await listed(ana)
    assert {key_of(one): (one["provider"], one["provider_key"]) for one in found} == expected
    kinds = {"payin", "expiry", "capture", "refund", "void", "return", "evidence", "discrepancy"}
    assert {one["kind"] for one in found} == kinds
    for one in found:
        detail = (await ana.get(f"{PATH}/{one['id']}", key=ana.olga)).json
        attempts = (await ana.get(f"/v1/payins/{one['payin']}/attempts")).json["data"]
        others = detail["provider_reference"] is not None and attempts and attempts[-1]["provider"] != one["provider"]
        assert not others, "a reference that somebody else gave"
    await force(ana, "automatic", "sandbox", "spei")
    await tried(ana.context, *KINDS)
    assert await listed(ana) == []
    assert set(expected.values()) <= known_to(sandbox.data)
