"""A small run that went well: what merchants asked and were told, in a database of its own, and what others say."""

from __future__ import annotations

import itertools
import json
from typing import Any

from caudal.connectors import registry
from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from caudal_load.faults.evidence import BankLine, Evidence, Statement
from caudal_load.faults.hearing import Heard
from caudal_load.faults.history import Line, What
from tests.api import Answered
from tests.conftest import settings_of
from tests.payins.cast import ASKED, SECRET, Merchant, key_of
from tests.payins.desk import Desk

NUMBERS = itertools.count(1)
MXN = {"amount": 12_050, "currency": "MXN", "country": "MX", "method": "spei"}


class Story:
    """The lines of its history, and the sandbox's side of it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.statement: list[Statement] = []
        self.bank: list[BankLine] = []
        self.endpoint = ""

    def told(self, op: str, path: str, key: str, body: Any, answered: Answered | None) -> None:
        """One request and its answer; None: no answer came."""
        number, request = next(NUMBERS), "" if body is None else json.dumps(body)
        line: dict[str, Any] = {"at_s": float(number), "client": "c", "op": op, "merchant": 0, "key": key}
        line |= {"path": path, "number": number}
        self.lines.append(Line(what=What.INVOKE, request=request, **line))
        if answered is None:
            self.lines.append(Line(what=What.UNKNOWN, **line))
            return
        what = What.OK if answered.status < 300 else What.REFUSED
        replayed = answered.headers.get("Idempotent-Replayed") == "true"
        answer = answered.body.decode()
        self.lines.append(Line(what=what, status=answered.status, answer=answer, replayed=replayed, **line))

    def evidence(self, found: Evidence) -> Evidence:
        """The rows with all that stands beside them: everybody was told of everything."""
        found.lines, found.statement, found.bank = list(self.lines), list(self.statement), list(self.bank)
        found.endpoints_of_cast = [self.endpoint]
        [row] = [row for row in found.endpoints if row.id == self.endpoint]
        found.heard = [
            Heard(at_s=0.0, endpoint=0, sequence=event.seq, subject=event.subject, type=event.type)
            for event in found.events
            if event.book == row.book and event.at_us > row.created_at_us
        ]
        return found


async def tell(database_url: str, desk: Desk) -> Story:
    """Ana sells by transfer and by card, captures, gives back, cancels, is refused, and repeats herself."""
    story, settings = Story(), settings_of(database_url, provider_secret_test=SECRET)
    async with Context(settings, name="test") as context:
        ana = Merchant(context, *await first_merchant(context, "Ana", "MX"), await first_operator(context))
        made = await ana.post("/v1/webhook_endpoints", {"url": "https://shop.example.com/caudal"})
        story.endpoint = made.json["id"].rpartition("_")[2]
        card = {"instrument": {"id": await ana.instrument()}, "amount": 10_000, "method": "card", **ASKED["card"]}

        async def ask(op: str, path: str, key: str, body: Any = None) -> Any:
            answered = await ana.post(path, body, idempotency=key)
            story.told(op, path, key, body, answered)
            return answered.json

        sold = await ask("create", "/v1/payins", "sold", {**MXN, "reference": "sold"})
        await ana.paid(sold, tracking="T1")
        story.bank.append(BankLine(kind="transfer", amount=12_050, tracking_key="T1"))
        given_up = await ask("create", "/v1/payins", "given up", {**MXN, "reference": "given up"})
        await ask("cancel", f"/v1/payins/{given_up['id']}/cancellations", "cancel")
        charged = await ask("create", "/v1/payins", "charged", {**card, "reference": "charged"})
        held = await ask("create", "/v1/payins", "held", {**card, "reference": "held", "capture": "manual"})
        captures, refunds = f"/v1/payins/{held['id']}/captures", f"/v1/payins/{charged['id']}/refunds"
        await ask("capture", captures, "part", {"amount": 4_000})
        story.told("capture", captures, "rest", {"amount": 6_000, "final": True}, None)
        await ask("capture", captures, "rest", {"amount": 6_000, "final": True})
        for _ in range(2):
            await ask("refund", refunds, "back", {"amount": 2_500})
        await ask("refund", refunds, "too much", {"amount": 90_000})
        await ask("reuse", "/v1/payins", "sold", {**MXN, "reference": "sold-other"})
        story.statement = [
            Statement(key, "card", state.status, state.captured_minor, state.refunded_minor)
            for key, state in desk.payments.items()
        ]
        assert key_of(charged) in desk.payments and registry is not None
    return story
