"""Files against a dispute: known by their bytes, sealed, sent to the provider until it has them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from caudal.kernel.context import Context
from caudal.kernel.errors import Overloaded
from caudal.merchants import first_merchant
from caudal.payins import drop_unused_files
from caudal.payins.evidence import fault_of
from caudal.payins.model import FILE_BYTES_MAX, FILES_MAX
from tests.conftest import settings_of
from tests.connectors.provider import SECRET, Provider
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.disputing import JPEG, PDF, PNG, Seller, chunk, png, work

FILES = {"application/pdf": PDF, "image/png": PNG, "image/jpeg": JPEG}
LOST = {"BRL": {"available": -1_600}}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def context(database_url: str, provider: Provider) -> AsyncIterator[Context]:
    settings = settings_of(database_url, sandbox_url=provider.url, provider_secret_test=SECRET)
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
async def ana(context: Context, olga: str) -> Seller:
    return Seller(context, *await first_merchant(context, "Ana", "BR"), olga)


# What a file is


@pytest.mark.parametrize("content_type", FILES)
def test_a_file_is_what_its_bytes_say(content_type: str) -> None:
    for other, file in FILES.items():
        assert (fault_of(content_type, file) is None) == (other == content_type)


NO_PDF = {
    "a page": b"<html>%PDF-1.7 startxref 1 %%EOF",
    "no version": PDF.replace(b"1.7", b"x.7"),
    "cut off": PDF[:-7],
    "something behind it": PDF + b"<script>alert(1)</script>",
    "no place": PDF.replace(b"startxref", b"startxxxx"),
}
NO_PNG = {
    "a signature alone": PNG[:8],
    "no header": PNG[:8] + chunk(b"IDAT", b"x") + chunk(b"IEND", b""),
    "a header that is too short": PNG[:8] + chunk(b"IHDR", b"x" * 12) + chunk(b"IDAT", b"x") + chunk(b"IEND", b""),
    "no width": png(width=0),
    "no height": png(height=0),
    "no image": PNG[:33] + chunk(b"IEND", b""),
    "cut off": PNG[:-1],
    "no end": PNG[:-12],
    "a wrong checksum": PNG[:-1] + b"\x00",
    "two ends": PNG + chunk(b"IEND", b""),
    "something behind it": PNG + b"<script>",
    "a length beyond the file": PNG[:33] + b"\x7f\xff\xff\xffIDAT" + PNG[41:],
}
NO_JPEG = {
    "no end": JPEG[:-2],
    "something behind it": JPEG + b"PK\x03\x04",
    "no frame": JPEG.replace(b"\xff\xc0", b"\xff\xfe"),
    "no width": JPEG.replace(b"\x08\x00\x01\x00\x01", b"\x08\x00\x01\x00\x00"),
    "no scan": JPEG.replace(b"\xff\xda", b"\xff\xfe"),
    "a length beyond the file": JPEG.replace(b"\xff\xe0\x00\x10", b"\xff\xe0\x7f\x10"),
    "a length of nothing": JPEG.replace(b"\xff\xe0\x00\x10", b"\xff\xe0\x00\x00"),
    "no marker": JPEG.replace(b"\xff\xc0", b"\x00\xc0"),
    "its ends alone": b"\xff\xd8\xff\xd9",
}
FAULTS = [
    (content_type, name, file)
    for content_type, files in (("application/pdf", NO_PDF), ("image/png", NO_PNG), ("image/jpeg", NO_JPEG))
    for name, file in files.items()
]


@pytest.mark.parametrize("content_type, name, file", FAULTS, ids=[f"{kind}: {name}" for kind, name, _ in FAULTS])
def test_what_only_begins_like_a_file_is_none(content_type: str, name: str, file: bytes) -> None:
    assert fault_of(content_type, file) is not None


HOSTILE = {
    "a JPEG of fill bytes": ("image/jpeg", b"\xff\xd8" + b"\xff" * (FILE_BYTES_MAX - 4) + b"\xff\xd9"),
    "a JPEG of empty segments": ("image/jpeg", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1_300_000 + b"\xff\xd9"),
    "a PNG of empty chunks": ("image/png", PNG[:33] + chunk(b"IDAT", b"") * 430_000 + chunk(b"IEND", b"")),
    "a PDF of line ends": ("application/pdf", b"%PDF-1.7 startxref" + b"\n" * (FILE_BYTES_MAX - 18)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_file_takes_long_to_look_at(name: str) -> None:
    content_type, file = HOSTILE[name]
    began = time.process_time()
    assert fault_of(content_type, file) is not None
    looked = time.process_time()
    for _ in file:
        pass
    assert looked - began < time.process_time() - looked, "it takes as long as a loop over every byte"


def test_a_marker_may_be_filled_up() -> None:
    assert fault_of("image/jpeg", JPEG.replace(b"\xff\xc0", b"\xff\xff\xff\xc0")) is None


# Taken


@pytest.mark.parametrize("content_type", FILES)
async def test_the_provider_gets_the_file_and_the_dispute_is_under_review(
    ana: Seller, context: Context, provider: Provider, content_type: str
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    answered = await ana.answers(dispute, FILES[content_type], content_type)
    file = answered.json
    assert answered.status == 201 and file["id"].startswith("evidence_") and file["dispute"] == dispute["id"]
    assert (file["kind"], file["content_type"], file["status"]) == ("receipt", content_type, "pending")
    assert (file["size"], file["sha256"]) == (len(FILES[content_type]), sha256(FILES[content_type]).hexdigest())
    assert (await ana.dispute(payin))["status"] == "needs_response"
    assert await work(context) == [True]
    sent = provider.asked[-1]
    assert (sent.raw, sent.headers["content-type"]) == (FILES[content_type], content_type)
    assert sent.path == f"/v1/provider/card/disputes/dp_1/evidence?key={file['id'].removeprefix('evidence_')}"
    story = (await ana.get(f"/v1/operator/traces/{file['id']}", key=ana.olga)).json
    assert story["payin"] == dispute["payin"], "its id leads an operator to its payment"
    [taken] = await ana.evidence(dispute)
    assert (taken["status"], taken["sent_at"] is not None) == ("taken", True)
    assert ((found := await ana.dispute(payin))["status"], found["evidence"]) == ("under_review", 1)
    assert (await ana.heard())[-1] == "dispute.under_review"
    await assert_in_order(context)


async def test_what_is_under_review_does_not_expire_and_takes_more_files(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    for kind in ("receipt", "shipping"):
        assert (await ana.answers(dispute, kind=kind)).status == 201
        assert await work(context) == [True]
    assert [file["kind"] for file in await ana.evidence(dispute)] == ["receipt", "shipping"]
    assert (await ana.heard()).count("dispute.under_review") == 1
    await ana.waits(30)
    assert (await ana.dispute(payin))["status"] == "under_review"
    assert (await ana.disputed(payin, "lost"))["status"] == "lost"
    await assert_in_order(context)


async def test_a_file_that_was_accepted_in_time_counts_though_the_provider_is_away(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    await ana.answers(dispute)
    await ana.waits(30)
    assert (await ana.dispute(payin))["status"] == "needs_response"
    provider.faults = ["busy"] * 3
    assert await work(context) == [False]
    keys = {asked.path for asked in provider.asked if "evidence" in asked.path}
    assert (await work(context), len(keys)) == ([True], 1)
    assert (await ana.dispute(payin))["status"] == "under_review"
    await assert_in_order(context)


async def test_a_file_that_the_provider_refuses_does_not_count(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    await ana.answers(dispute)
    provider.faults = ["refused"]
    assert await work(context) == [True]
    [file] = await ana.evidence(dispute)
    assert (file["status"], file["status_reason"].startswith("invalid_request: card … is odd")) == ("refused", True)
    assert ((found := await ana.dispute(payin))["status"], found["evidence"]) == ("needs_response", 0)
    assert (await ana.heard())[-1] == "dispute.evidence_refused"
    await assert_in_order(context)
    await ana.waits(7)
    assert ((await ana.dispute(payin))["status"], await balances(ana)) == ("expired", LOST)
    await assert_in_order(context)


async def test_a_file_that_is_refused_after_the_time_is_over_lets_the_dispute_expire(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    await ana.answers(dispute)
    await ana.waits(8)
    provider.faults = ["refused"]
    assert await work(context) == [True]
    assert await work(context, "dispute.expire") == [True]
    assert (await ana.dispute(payin))["status"] == "expired"
    await assert_in_order(context)


async def test_a_file_that_comes_to_a_closed_dispute_is_refused_by_the_provider_and_changes_nothing_else(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    await ana.answers(dispute)
    await ana.disputed(payin, "won")
    provider.faults = ["refused"]
    assert await work(context) == [True]
    assert ((found := await ana.dispute(payin))["status"], found["evidence"]) == ("won", 0)
    await assert_in_order(context)


async def test_a_file_is_sealed_at_rest(ana: Seller, context: Context) -> None:
    secret = PDF.replace(b"Catalog", b"Receipt of Ana Souza")
    await ana.answers(await ana.disputed(await ana.sold()), secret)
    [(sealed,)] = await rows(context, "select sealed from dispute_file")
    assert b"Ana Souza" not in sealed and len(sealed) == len(secret) + 29


# Refused


async def test_what_is_no_file_of_its_type_is_refused_with_the_reason(ana: Seller, context: Context) -> None:
    dispute = await ana.disputed(await ana.sold())
    for content_type, file in (("image/png", PDF), ("application/pdf", b"x"), ("image/jpeg", PNG)):
        refused = await ana.answers(dispute, file, content_type)
        assert (refused.status, refused.fields) == (422, {"": "wrong_content"})
    assert (await ana.answers(dispute, b"")).fields == {"": "missing"}
    assert (await ana.answers(dispute, kind="selfie")).fields == {"?kind": "invalid_value"}
    assert (await ana.answers(dispute, b"{}", "application/json")).status == 415
    assert (await ana.answers(dispute, PDF, "text/html")).code == "unsupported_media_type"
    assert await ana.evidence(dispute) == []
    assert await rows(context, "select id from dispute_file") == []


async def test_five_mebibytes_are_taken_and_a_byte_more_is_too_large(
    ana: Seller, context: Context, provider: Provider
) -> None:
    dispute = await ana.disputed(await ana.sold())
    largest = png(filler=FILE_BYTES_MAX - len(png()) - 12)
    assert len(largest) == FILE_BYTES_MAX
    assert (await ana.answers(dispute, largest, "image/png")).json["size"] == FILE_BYTES_MAX
    refused = await ana.answers(dispute, largest + b"x", "image/png")
    assert (refused.status, refused.code) == (413, "too_large")
    assert await work(context) == [True]
    assert len(provider.asked[-1].raw) == FILE_BYTES_MAX
    await assert_in_order(context)


async def test_a_large_body_is_refused_everywhere_else(ana: Seller) -> None:
    assert (await ana.post("/v1/payins", b"x" * 70_000)).code == "too_large"


async def test_evidence_needs_a_key_and_the_scope(ana: Seller) -> None:
    dispute = await ana.disputed(await ana.sold())
    assert (await ana.answers(dispute, idempotency=None)).code == "key_missing"
    reader = await ana.key_of("test", scopes=("disputes:read",))
    assert (await ana.answers(dispute, key=reader)).status == 403
    assert (await ana.get(f"/v1/disputes/{dispute['id']}", key=reader)).status == 200
    other = await ana.key_of("test", scopes=("payins:read",))
    assert (await ana.get("/v1/disputes", key=other)).status == 403


async def test_nobody_answers_for_another_merchant(ana: Seller, context: Context, olga: str) -> None:
    caro = Seller(context, *await first_merchant(context, "Caro", "BR"), olga)
    dispute = await ana.disputed(await ana.sold())
    assert (await caro.answers(dispute)).status == 404
    assert (await caro.get(f"/v1/disputes/{dispute['id']}/evidence")).status == 404
    live = await ana.key_of("live")
    assert (await ana.answers(dispute, key=live)).status == 404
    assert (await ana.answers({"id": "dispute_" + "0" * 32})).status == 404


async def test_a_file_against_no_dispute_is_not_even_looked_at(ana: Seller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal.payins.http.disputes.fault_of", None)
    assert (await ana.answers({"id": "dispute_" + "0" * 32}, b"x")).status == 404


async def test_a_file_that_never_became_evidence_is_forgotten_after_an_hour(
    ana: Seller, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    dispute = await ana.disputed(await ana.sold())
    await ana.answers(dispute, idempotency="taken")

    async def busy(*_: object) -> object:
        raise Overloaded("overloaded", "too much is waiting", after_s=1.0)

    with monkeypatch.context() as crowded:
        crowded.setattr(context, "commit", busy)
        for key in ("lost", "again"):
            assert (await ana.answers(dispute, PNG, "image/png", idempotency=key)).status == 503
    assert await rows(context, "select count(*) from dispute_file") == [(3,)]
    assert await drop_unused_files(context, 0) == 0, "its request may still be under way"
    await context.rows("update dispute_file set kept_at = now() - interval '61 minutes' returning 1")
    assert (await ana.answers(dispute, PNG, "image/png", idempotency="again")).status == 201
    assert await drop_unused_files(context, 0) == 1
    assert await rows(context, "select count(*) from dispute_file f join dispute_evidence using (shard, id)") == [(2,)]
    await assert_in_order(context)


async def test_what_is_closed_takes_no_evidence(ana: Seller, context: Context) -> None:
    dispute = await ana.disputed(payin := await ana.sold())
    await ana.disputed(payin, "lost")
    refused = await ana.answers(dispute)
    assert (refused.status, refused.code) == (409, "forbidden_transition")
    assert await rows(context, "select id from dispute_file") == []


async def test_nothing_is_taken_when_the_time_is_over(ana: Seller, context: Context) -> None:
    dispute = await ana.disputed(await ana.sold(), respond_by="2026-01-01T00:00:00Z")
    refused = await ana.answers(dispute)
    assert (refused.code, refused.json["detail"]) == ("forbidden_transition", "the time for evidence is over")
    await assert_in_order(context)


async def test_a_dispute_takes_a_score_of_files(ana: Seller, context: Context) -> None:
    dispute = await ana.disputed(await ana.sold())
    for _ in range(FILES_MAX):
        assert (await ana.answers(dispute)).status == 201
    assert (await ana.answers(dispute)).json["detail"] == f"a dispute takes at most {FILES_MAX} files"
    assert len(await rows(context, "select id from dispute_file")) == FILES_MAX
    await assert_in_order(context)


# Once


async def test_the_same_request_again_is_the_same_file(ana: Seller, context: Context) -> None:
    dispute = await ana.disputed(await ana.sold())
    first = await ana.answers(dispute, idempotency="once")
    again = await ana.answers(dispute, idempotency="once")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    for other in (
        await ana.answers(dispute, idempotency="once", kind="other"),
        await ana.answers(dispute, PNG, "image/png", idempotency="once"),
    ):
        assert (other.status, other.code) == (422, "key_reused")
    assert len(await ana.evidence(dispute)) == 1
    assert await rows(context, "select count(*) from dispute_file") == [(1,)]
    await assert_in_order(context)
