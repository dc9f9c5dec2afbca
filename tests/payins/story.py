"""Several hundred commands whose ids, keys and seals are fixed: the same story, however it is cut into batches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from caudal.connectors import DepositReport
from caudal.contracts.merchants import FeeLine
from caudal.kernel.commit import Due, Key
from caudal.merchants import SCOPES, Operator
from caudal.merchants.decide import ChangeFees, ChangeSettings, CreateKey, CreateMerchant, CreateOperator
from caudal.merchants.model import Actor
from caudal.payins.commands import (
    AdvanceClock,
    CancelPayin,
    ConfirmReturn,
    CreatePayin,
    ExpirePayin,
    RecordDeposit,
    RequestReturn,
    SendReturn,
    SettleReturn,
)
from caudal.payins.decide import ByHand
from caudal.payins.model import Detail, Payin, RefusedOperation, ReturnEnd
from caudal.payins.states import Status
from caudal.settlement.commands import ReleaseFunds
from caudal.settlement.model import release_id, start_of
from tests.payins.provider_story import ProviderSide

AT = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
FEES = (
    FeeLine(family="instant_transfer", currency="MXN", fixed_minor=300, basis_points=100),
    FeeLine(family="instant_transfer", currency="BRL", basis_points=99, refund_fixed_minor=50),
    FeeLine(family="card", currency="BRL", fixed_minor=40, basis_points=350, settlement_days=2),
)
BODY = b"f" * 16


def id_of(kind: int, number: int) -> UUID:
    return UUID(int=0x01938F2C << 96 | 0x7 << 76 | 0b10 << 62 | kind << 32 | number)


def digest(kind: int, number: int) -> bytes:
    return id_of(kind, number).bytes


class Story(ProviderSide):
    """Two merchants, their payins and payers, an operator, a bank; `commands` is what they ask, in this order."""

    def __init__(self, seed: int, length: int) -> None:
        self.random, self.commands, self.at = Random(seed), list[Any](), AT
        self.begin_with_providers()
        self.payins: list[UUID] = []
        self.deposits: list[UUID] = []
        self.operator = Operator(id=id_of(1, 0), name="Olga", digest=b"o" * 32, shard=0)
        self._people()
        verbs = [self.create] * 8 + [self.pay] * 10 + [self.cancel] * 2
        verbs += [self.expire] * 4 + [self.repeat, self.lie, self.give_back, self.settle]
        verbs += [self.advance, self.settings, self.fees, self.release]
        verbs += self.provider_verbs()
        while len(self.commands) < length:
            self.random.choice(verbs)()
        for _ in range(12):
            self.confirm()
        self.answer_everybody()

    def _id(self, kind: int, number: int) -> UUID:
        return id_of(kind, number)

    def _next(self) -> int:
        return len(self.commands)

    def _change(self) -> dict[str, Any]:
        return {"actor": Actor(name="cli:test"), "entry": id_of(2, self._next()), "request_id": "req_1"}

    def _key(self, book: int, number: int | None = None) -> Key:
        return Key(book=book, digest=digest(3, self._next() if number is None else number), fingerprint=BODY)

    def _people(self) -> None:
        operator: dict[str, Any] = {
            "id": self.operator.id,
            "digest": self.operator.digest,
            "hint": "op_…o",
            "name": "Olga",
        }
        self.commands.append(CreateOperator(**operator, **self._change()))
        for slot in (1, 2):
            merchant: dict[str, Any] = {"merchant": id_of(4, slot), "slot": slot}
            named: dict[str, Any] = {"name": f"m{slot}", "country": "MX", "late_payments": "accept", "fee_plan": FEES}
            self.commands.append(CreateMerchant(**merchant, shard=0, **named, **self._change()))
            key: dict[str, Any] = {
                "id": id_of(5, slot),
                "digest": bytes([slot]) * 32,
                "hint": "sk",
                "mode": "test",
                "name": "k",
            }
            self.commands.append(CreateKey(**merchant, **key, scopes=SCOPES, **self._change()))

    # Merchants

    def create(self) -> None:
        """A payin; now and then under a key that was used, with a payer, or with an expiry that has passed."""
        slot, number = self.random.choice((1, 1, 2)), self._next()
        used = self.random.randrange(number) if self.random.random() < 0.15 else None
        past = self.random.random() < 0.05
        payin = self._payin(id_of(6, number), slot * 2, AT - timedelta(days=1) if past else AT)
        command = CreatePayin(
            payin=payin,
            detail=Detail(description="d", metadata={"n": str(number)}),
            expires_in=None if past else timedelta(days=3),
            clabe_prefix="646180",
            sealed=b"sealed" if self.random.random() < 0.5 else None,
            key_digest=bytes([slot]) * 32,
            key=self._key(slot * 2, used),
            request_id=f"req_{number}",
            payer_page=None,
        )
        self.payins.append(payin.id)
        self.commands.append(command)

    def _payin(self, id: UUID, book: int, expires_at: datetime) -> Payin:
        return Payin(
            id=id,
            book=book,
            version=1,
            status=Status.PENDING,
            reason=None,
            method="spei",
            country="MX",
            currency="MXN",
            amount_minor=self.random.choice((800, 10_000, 12_050)),
            received_minor=0,
            fee_minor=0,
            fee_plan=1,
            deposit_number=None,
            reference=self.random.choice((None, "order 7")),
            detail=None,
            created_at=AT,
            expires_at=expires_at,
            paid_at=None,
        )

    def _slot(self, payin: UUID) -> int:
        asked = next(c for c in self.commands if isinstance(c, CreatePayin) and c.payin.id == payin)
        return asked.book >> 1

    def cancel(self) -> None:
        if self.payins:
            id = self.random.choice(self.payins)
            book = self.random.choice((2, 4))
            key, digest_ = self._key(book), bytes([book >> 1]) * 32
            self.commands.append(CancelPayin(id=id, book=book, key_digest=digest_, key=key, request_id="req_1"))

    def advance(self) -> None:
        if self.random.random() < 0.5:
            self.commands.append(AdvanceClock(book=2, seconds=4 * 86_400, key_digest=b"\x01" * 32))

    # The bank

    def pay(self, amount: int = 0, number: int | None = None) -> None:
        number = self._next() if number is None else number
        payin = self.random.choice([None, *self.payins[-20:]])
        book = 0 if payin is None else self._slot(payin) * 2
        amount = amount or self.random.choice((100, 400, 800, 9_600, 10_000, 12_050, 13_000))
        currency = self.random.choice(["MXN"] * 9 + ["USD"])
        report = DepositReport(
            provider="spei",
            tracking_key=f"T{number}",
            account="646180000000000000",
            amount_minor=amount,
            currency=currency,
            payer_name="Beto",
            payer_bank="x",
            paid_at=None,
        )
        id = id_of(7, number)
        self.deposits.append(id)
        command = RecordDeposit(
            id=id,
            book=book,
            payin=payin,
            fee_plan=1,
            report=report,
            sealed=b"sealed",
            day=None,
        )
        self.commands.append(command)

    def repeat(self) -> None:
        paid = [command for command in self.commands if isinstance(command, RecordDeposit)]
        if paid:
            self.commands.append(self.random.choice(paid))

    def lie(self) -> None:
        paid = [command for command in self.commands if isinstance(command, RecordDeposit)]
        if paid:
            self.pay(amount=7, number=int(self.random.choice(paid).report.tracking_key[1:]))

    def release(self) -> None:
        """The day after a payment; book 4's clock stands still, so that its days are still to come."""
        moved = sum(4 for command in self.commands if isinstance(command, AdvanceClock))
        for book, days in ((2, self.random.randrange(0, moved + 1, 4)), (4, 0)):
            day = AT.date() + timedelta(days=days + 1)
            for currency in ("MXN", "BRL"):
                due = Due(at=start_of(day), kind="funds.release", subject=release_id(book, currency, day), book=book)
                self.commands.append(ReleaseFunds(due=due))

    def settle(self) -> None:
        asked = [command for command in self.commands if isinstance(command, RequestReturn)]
        if asked:
            one = self.random.choice(asked)
            due = Due(at=AT, kind="deposit.return", subject=one.id, book=one.book)
            end: ReturnEnd = "returned" if self.random.random() < 0.6 else "refused"
            no = RefusedOperation(key="r", payment_key="t", kind="refund", reason="not_permitted", detail="")
            said = no if end == "refused" else None
            self.commands.append(SettleReturn(due=due, version=2, end=end, currency=one.currency, said=said))

    def confirm(self) -> None:
        """A return that has failed was carried out after all; or it has not failed.."""
        sent = [command for command in self.commands if isinstance(command, RequestReturn | SendReturn)]
        if sent:
            one = self.random.choice(sent)
            said = {"subject": f"dep_{one.id.hex}", "happened": True, "reason": "the statement says so"}
            by = ByHand(operator=self.operator, entry=id_of(20, self._next()), **said)  # type: ignore[arg-type]
            currency = one.currency if isinstance(one, RequestReturn) else "BRL"
            known: dict[str, Any] = {"id": one.id, "book": one.book, "currency": currency, "key": self._key(0)}
            self.commands.append(ConfirmReturn(by=by, request_id="req_1", **known))

    # Time and operators

    def expire(self) -> None:
        if self.payins:
            id = self.random.choice(self.payins[-20:])
            created = next(c for c in self.commands if isinstance(c, CreatePayin) and c.payin.id == id)
            if created.expires_in is not None and created.key.digest == digest(3, id.int & 0xFFFFFFFF):
                due = Due(at=AT + timedelta(days=3), kind="payin.expire", subject=id, book=created.book)
                self.commands.append(ExpirePayin(due=due))

    def give_back(self) -> None:
        paid = [command for command in self.commands if isinstance(command, RecordDeposit)]
        if paid:
            one = self.random.choice(paid)
            command = RequestReturn(
                id=one.id,
                book=one.book,
                payin=one.payin,
                currency=one.report.currency,
                operator=self.operator,
                entry=id_of(8, self._next()),
                destination=None,
                key=self._key(0),
                request_id="req_1",
            )
            self.commands.append(command)

    def settings(self) -> None:
        late: Any = self.random.choice(("accept", "unapplied"))
        beyond: Any = self.random.choice(("refuse", "allow"))
        changed: dict[str, Any] = {"late_payments": late, "refunds_beyond_balance": beyond, **self._change()}
        self.commands.append(ChangeSettings(merchant=id_of(4, 1), slot=1, shard=0, **changed))

    def fees(self) -> None:
        self.commands.append(ChangeFees(merchant=id_of(4, 2), slot=2, shard=0, fee_plan=FEES, **self._change()))
