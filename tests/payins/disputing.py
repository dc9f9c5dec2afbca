"""The cast of a dispute: Ana sells by card, her provider tells of disputes, and takes files or does not."""

from __future__ import annotations

import itertools
import json
import struct
import time
import zlib
from typing import Any
from uuid import UUID

from caudal.app.worker import JOBS
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from tests.api import Answered
from tests.connectors.provider import SECRET, signature
from tests.payins.books import rows
from tests.payins.cast import DAY_S, Merchant

CARD = {
    "number": "4111111111111111",
    "expiry_month": 12,
    "expiry_year": 2040,
    "holder_name": "ANA SOUZA",
    "security_code": "123",
}
PRICE = {"family": "card", "currency": "BRL", "fixed_minor": 100, "basis_points": 0, "dispute_fixed_minor": 1_500}
RESPOND_DAYS = 7
NUMBERS = itertools.count(1)
# One moment for all that is told of a dispute, as a provider says it: a repetition is the same to the second.
RESPOND_BY = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + RESPOND_DAYS * DAY_S))

PDF = b"%PDF-1.7\n1 0 obj\n<</Type /Catalog>>\nendobj\nxref\n0 1\ntrailer\n<</Root 1 0 R>>\nstartxref\n45\n%%EOF\n"
JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
    b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"
    b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00\x37\xff\xd9"
)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int = 1, height: int = 1, *, filler: int = 0) -> bytes:
    """A PNG, with so many bytes of text in it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    text = [chunk(b"tEXt", b"x" * filler)] if filler else []
    chunks = [chunk(b"IHDR", header), *text, chunk(b"IDAT", zlib.compress(b"\x00\x00")), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


PNG = png()


class Seller(Merchant):
    """Ana, whose payers use cards. 100.00 BRL bring her 99.00, and a dispute costs 15.00."""

    async def sells(self, amount: int = 10_000, **asked: Any) -> dict[str, Any]:
        """A payin that a card has paid."""
        kept = await self.post("/v1/instruments", {"type": "card", "card": CARD})
        card = {"country": "BR", "currency": "BRL", "method": "card", "instrument": {"id": kept.json["id"]}}
        return await self.payin(amount=amount, **card, **asked)

    async def sold(self, amount: int = 10_000) -> dict[str, Any]:
        line = await self.post(self.path + "/fee_plans", {"fee_plan": [PRICE]}, key=self.olga)
        assert line.status == 201, line.body
        payin = await self.sells(amount)
        assert payin["status"] == "paid", payin
        return payin

    async def hears(
        self, payin: dict[str, Any], status: str = "opened", reference: str = "dp_1", **changed: Any
    ) -> Answered:
        """The provider tells how a dispute of a payin stands: of the whole amount, unless changed."""
        dispute = {
            "reference": reference,
            "payment_key": payin["id"].removeprefix("payin_"),
            "account": str(UUID(payin["id"].removeprefix("payin_")).int >> 40 & 0x3FFFFF),
            "status": status,
            "amount": payin["amount"],
            "currency": payin["currency"],
            "code": "10.4",
            "respond_by": RESPOND_BY,
            **changed,
        }
        raw = json.dumps({"id": f"cb_{next(NUMBERS)}", "type": "dispute", "dispute": dispute}).encode()
        path = "/v1/callbacks/sandbox/card"
        signed = {"provider-signature": signature(SECRET, int(time.time()), "POST", path, raw), "authorization": "-"}
        return await self.call("POST", path, raw, headers=signed)

    async def disputed(self, payin: dict[str, Any], status: str = "opened", **changed: Any) -> dict[str, Any]:
        """The payin's dispute, after the provider has told of it."""
        answered = await self.hears(payin, status, **changed)
        assert (answered.status, answered.json) == (200, {"status": "accepted"}), answered.body
        return await self.dispute(payin)

    async def dispute(self, payin: dict[str, Any]) -> dict[str, Any]:
        """The payin's latest dispute as it is now."""
        found = await self.get(f"/v1/disputes/{(await self.seen(payin))['dispute']}")
        assert found.status == 200, found.body
        dispute: dict[str, Any] = found.json
        return dispute

    async def answers(
        self, dispute: dict[str, Any], file: bytes = PDF, content_type: str = "application/pdf", **more: Any
    ) -> Answered:
        """A file against a dispute."""
        kind = more.pop("kind", "receipt")
        headers = {"content-type": content_type}
        return await self.post(f"/v1/disputes/{dispute['id']}/evidence?kind={kind}", file, headers=headers, **more)

    async def evidence(self, dispute: dict[str, Any]) -> list[dict[str, Any]]:
        found = await self.get(f"/v1/disputes/{dispute['id']}/evidence")
        assert found.status == 200, found.body
        files: list[dict[str, Any]] = found.json["data"]
        return files

    async def waits(self, days: int) -> None:
        """Moves the clock; whole days."""
        assert (await self.advance(days * DAY_S)).status == 200

    async def heard(self) -> list[str]:
        """The types of the events about disputes and balances, in their order."""
        return [event["type"] for event in await self.events() if event["type"].startswith(("dispute", "balance"))]

    async def lines(self) -> list[tuple[str, int, int]]:
        """The statement without payments: kind, gross and fee, oldest first; what came at once by its kind."""
        found = (await self.get("/v1/balance_transactions?limit=100")).json["data"]
        told = sorted(found, key=lambda one: (one["created_at"], one["kind"]))
        return [(one["kind"], one["gross"], one["fee"]) for one in told if one["kind"] != "payment"]


async def work(context: Context, kind: str = "dispute.send") -> list[bool]:
    """Claims what is due now and does it; of one kind, whether each ended."""
    claimed: tuple[Due, ...] = (await context.commit(0, ClaimDue(lease_s=0.0001))).outcome
    return [await run_job(context, 0, due, JOBS) for due in claimed if due.kind == kind]


async def odd(context: Context) -> list[str]:
    """The kinds of the discrepancies."""
    return [kind for (kind,) in await rows(context, "select kind from discrepancy order by created_at, id")]
