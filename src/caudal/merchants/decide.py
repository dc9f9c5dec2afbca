"""The judgement: what is and what is asked, to rows, an audit entry and an event that commit together. Pure.

Each change is a command of the write path. Refusals, in this order: the actor's key has ended (`unauthenticated`, not
stored), there is no such object (`not_found`), its state does not allow it (`forbidden_transition`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

import msgspec

from caudal.contracts import merchants as contracts
from caudal.contracts.merchants import FeeLine, LatePayments, RefundsBeyondBalance
from caudal.contracts.problems import answer_of
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import Answer, Decision, Event, Key, Lane, Put, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.kernel.ids import public
from caudal.ledger import house_book
from caudal.merchants.model import (
    HOUSE_BOOK,
    Actor,
    ApiKeyRecord,
    AuditRecord,
    BookRecord,
    FeePlan,
    KeyBody,
    MerchantBody,
    MerchantRecord,
    OperatorBody,
    OperatorRecord,
    book_of,
    fees_of,
    key_body,
    merchant_body,
    mode_of,
    operator_body,
)
from caudal.merchants.rows import API_KEYS, AUDIT, BOOKS, FEE_PLANS, MERCHANTS, OPERATORS, refuse_revoked

Needs = Iterable[tuple[Table[Any, Any], Any]]

EVENT_NAME: Final = {kind: name for name, kind in contracts.EVENTS.items()}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What every change has: who asks, under which idempotency key, and the id of its audit entry."""

    actor: Actor
    entry: UUID
    key: Key | None = None
    request_id: str = ""
    book: int = HOUSE_BOOK
    lane: Lane = Lane.NORMAL
    recorded: bool = False
    status: ClassVar[int] = 201

    def needs(self) -> Needs:
        """The actor's own key, and what the change looks at."""
        if self.actor.digest is not None:
            yield OPERATORS, self.actor.digest
        yield from self.looks_at()

    def looks_at(self) -> Needs:
        """Rows that `judge` looks at."""
        return ()

    def decide(self, view: View) -> Decision | Refused:
        """The judgement, if the actor may still ask for it."""
        if self.actor.digest is not None:
            refusal = refuse_revoked(view, self.actor.digest)
            if refusal is not None:
                return refusal
        return self.judge(view)

    def judge(self, view: View) -> Decision | Refused:
        """The change's own judgement."""
        raise NotImplementedError

    def render(self, outcome: Any | Refused) -> Answer:
        """The stored answer: a body of model.py, which has no secret in it."""
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(self.status, encode(outcome))

    def decided(
        self,
        view: View,
        outcome: Any,
        happened: msgspec.Struct,
        subject: tuple[str, UUID],
        *puts: Put,
        book: int = HOUSE_BOOK,
    ) -> Decision:
        """Rows with their audit entry and event; `subject` is the prefix and id of what was changed.

        The event stands in the house's book of the mode of `book`: that of a key is its own.
        """
        name, data = EVENT_NAME[type(happened)], encode(happened)
        entry = AuditRecord(
            id=self.entry, at=view.at, actor=self.actor.name, action=name, subject=public(*subject), detail=data
        )
        event = Event(type=name, subject=subject[1], book=house_book(book), data=data)
        return Decision(outcome=outcome, puts=(*puts, Put(AUDIT, entry)), events=(event,), subject=subject[1])


# Merchants


class CreateMerchant(Change, frozen=True, kw_only=True):
    """A merchant with its two sets of books, on the slot that was taken for it."""

    merchant: UUID
    slot: int
    shard: int
    name: str
    country: str
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance = "refuse"
    fee_plan: tuple[FeeLine, ...]

    def judge(self, view: View) -> Decision | Refused:
        """Never refused: the edge has checked the fields."""
        merchant = MerchantRecord(
            id=self.merchant,
            slot=self.slot,
            version=1,
            name=self.name,
            country=self.country,
            status="active",
            created_at=view.at,
        )
        fees, books = fees_of(self.fee_plan), (self.slot * 2, self.slot * 2 + 1)
        plans = [FeePlan(book=book, version=1, fees=fees, created_at=view.at) for book in books]
        records = [
            BookRecord(
                book=book,
                merchant=self.merchant,
                version=1,
                late_payments=self.late_payments,
                fee_plan=1,
                clock_offset_s=0,
                refunds_beyond_balance=self.refunds_beyond_balance,
            )
            for book in books
        ]
        happened = contracts.MerchantCreated(
            merchant=public("mer", self.merchant),
            name=self.name,
            country=self.country,
            late_payments=self.late_payments,
            refunds_beyond_balance=self.refunds_beyond_balance,
        )
        puts = [Put(MERCHANTS, merchant), *(Put(BOOKS, r) for r in records), *(Put(FEE_PLANS, p) for p in plans)]
        outcome = merchant_body(merchant, self, 1, fees, self.shard)
        return self.decided(view, outcome, happened, ("mer", self.merchant), *puts)


class MerchantChange(Change, frozen=True, kw_only=True):
    """A change of a merchant that exists, in both of its sets of books."""

    merchant: UUID
    slot: int

    def looks_at(self) -> Needs:
        """The merchant and its books."""
        return (MERCHANTS, self.merchant), (BOOKS, self.slot * 2), (BOOKS, self.slot * 2 + 1)

    def judge(self, view: View) -> Decision | Refused:
        """Refuses: not_found."""
        merchant = view.get(MERCHANTS, self.merchant)
        test, live = view.get(BOOKS, self.slot * 2), view.get(BOOKS, self.slot * 2 + 1)
        if merchant is None or test is None or live is None:
            return Refused("not_found", "there is no such merchant")
        return self.change(view, merchant, (test, live))

    def change(self, view: View, merchant: MerchantRecord, books: tuple[BookRecord, BookRecord]) -> Decision:
        """What becomes of the merchant. `fee_plan` has the same version in both books."""
        raise NotImplementedError


class ChangeFees(MerchantChange, frozen=True, kw_only=True):
    """The next version of a merchant's fee plan. Payins that exist keep theirs."""

    shard: int
    fee_plan: tuple[FeeLine, ...]

    def change(self, view: View, merchant: MerchantRecord, books: tuple[BookRecord, BookRecord]) -> Decision:
        """Both books move on to the new version."""
        fees, version = fees_of(self.fee_plan), books[0].fee_plan + 1
        puts = [
            put
            for book in books
            for put in (
                Put(BOOKS, msgspec.structs.replace(book, version=book.version + 1, fee_plan=version)),
                Put(FEE_PLANS, FeePlan(book=book.book, version=version, fees=fees, created_at=view.at)),
            )
        ]
        happened = contracts.FeePlanChanged(
            merchant=public("mer", merchant.id), version=version, fee_plan=self.fee_plan
        )
        outcome = merchant_body(merchant, books[0], version, fees, self.shard)
        return self.decided(view, outcome, happened, ("mer", merchant.id), *puts)


class ChangeSettings(MerchantChange, frozen=True, kw_only=True):
    """What becomes of money that comes after a payin's expiry, and of refunds that the balance does not cover.

    None leaves a setting as it is.
    """

    status: ClassVar[int] = 200
    shard: int
    late_payments: LatePayments | None = None
    refunds_beyond_balance: RefundsBeyondBalance | None = None

    def change(self, view: View, merchant: MerchantRecord, books: tuple[BookRecord, BookRecord]) -> Decision:
        """Both books get the settings. A plan that was not read yet is read for the next batch."""
        plan = view.get(FEE_PLANS, (books[0].book, books[0].fee_plan))
        settings: dict[str, Any] = {
            "late_payments": self.late_payments or books[0].late_payments,
            "refunds_beyond_balance": self.refunds_beyond_balance or books[0].refunds_beyond_balance,
        }
        changed = [msgspec.structs.replace(book, version=book.version + 1, **settings) for book in books]
        happened = contracts.MerchantChanged(merchant=public("mer", merchant.id), **settings)
        fees = {} if plan is None else plan.fees
        outcome = merchant_body(merchant, changed[0], books[0].fee_plan, fees, self.shard)
        puts = [Put(BOOKS, book) for book in changed]
        return self.decided(view, outcome, happened, ("mer", merchant.id), *puts)


# API keys


class CreateKey(MerchantChange, frozen=True, kw_only=True):
    """A key for one of a merchant's two sets of books. Its text never comes here."""

    id: UUID
    digest: bytes
    hint: str
    mode: contracts.Mode
    name: str
    scopes: tuple[str, ...]

    def change(self, view: View, merchant: MerchantRecord, books: tuple[BookRecord, BookRecord]) -> Decision:
        """The key's row."""
        record = ApiKeyRecord(
            digest=self.digest,
            id=self.id,
            book=book_of(self.slot, self.mode),
            version=1,
            name=self.name,
            hint=self.hint,
            scopes=self.scopes,
            created_at=view.at,
        )
        happened = contracts.ApiKeyCreated(
            key=public("key", self.id),
            merchant=public("mer", merchant.id),
            mode=self.mode,
            name=self.name,
            scopes=self.scopes,
        )
        outcome, put = key_body(record, merchant.id), Put(API_KEYS, record)
        return self.decided(view, outcome, happened, ("key", self.id), put, book=record.book)


class KeyChange(Change, frozen=True, kw_only=True):
    """A change of a key that exists."""

    merchant: UUID
    digest: bytes

    def looks_at(self) -> Needs:
        """The key."""
        return ((API_KEYS, self.digest),)


class RotateKey(KeyChange, frozen=True, kw_only=True):
    """A key like this one follows it; this one ends when the overlap has passed."""

    new_id: UUID
    new_digest: bytes
    new_hint: str
    overlap_s: int

    def judge(self, view: View) -> Decision | Refused:
        """Refuses: not_found; forbidden_transition when the key has ended or was rotated before."""
        old = view.get(API_KEYS, self.digest)
        if old is None:
            return Refused("not_found", "there is no such API key")
        if old.ended(view.at) or old.ends_at is not None:
            return Refused("forbidden_transition", "the API key has ended, or another one follows it already")
        ends_at = view.at + timedelta(seconds=self.overlap_s)
        ending = msgspec.structs.replace(old, version=old.version + 1, ends_at=ends_at)
        new = msgspec.structs.replace(
            old, id=self.new_id, digest=self.new_digest, hint=self.new_hint, version=1, created_at=view.at
        )
        happened = contracts.ApiKeyRotated(
            key=public("key", old.id),
            merchant=public("mer", self.merchant),
            mode=mode_of(old.book),
            replaced_by=public("key", new.id),
            ends_at=rfc3339(ends_at),
        )
        outcome = key_body(new, self.merchant)
        puts = Put(API_KEYS, ending), Put(API_KEYS, new)
        decision = self.decided(view, outcome, happened, ("key", old.id), *puts, book=old.book)
        return msgspec.structs.replace(decision, subject=new.id)  # what the answer is about


class RevokeKey(KeyChange, frozen=True, kw_only=True):
    """The key ends with this batch: whatever is decided behind it is refused."""

    status: ClassVar[int] = 200

    def judge(self, view: View) -> Decision | Refused:
        """Refuses: not_found. Revoking twice changes nothing."""
        key = view.get(API_KEYS, self.digest)
        if key is None:
            return Refused("not_found", "there is no such API key")
        if key.revoked_at is not None:
            return Decision(outcome=key_body(key, self.merchant), subject=key.id)
        gone = msgspec.structs.replace(key, version=key.version + 1, revoked_at=view.at)
        happened = contracts.ApiKeyRevoked(
            key=public("key", key.id), merchant=public("mer", self.merchant), mode=mode_of(key.book)
        )
        outcome, put = key_body(gone, self.merchant), Put(API_KEYS, gone)
        return self.decided(view, outcome, happened, ("key", key.id), put, book=key.book)


# Operators


class CreateOperator(Change, frozen=True, kw_only=True):
    """An operator with its key."""

    id: UUID
    digest: bytes
    hint: str
    name: str

    def judge(self, view: View) -> Decision | Refused:
        """Never refused."""
        record = OperatorRecord(
            digest=self.digest, id=self.id, version=1, name=self.name, hint=self.hint, created_at=view.at
        )
        happened = contracts.OperatorCreated(operator=public("operator", self.id), name=self.name)
        return self.decided(view, operator_body(record), happened, ("operator", self.id), Put(OPERATORS, record))


class RevokeOperator(Change, frozen=True, kw_only=True):
    """The operator's key ends with this batch."""

    digest: bytes

    def looks_at(self) -> Needs:
        """The operator."""
        return ((OPERATORS, self.digest),)

    def judge(self, view: View) -> Decision | Refused:
        """Refuses: not_found. Revoking twice changes nothing."""
        operator = view.get(OPERATORS, self.digest)
        if operator is None:
            return Refused("not_found", "there is no such operator")
        if operator.revoked_at is not None:
            return Decision(outcome=operator_body(operator), subject=operator.id)
        gone = msgspec.structs.replace(operator, version=operator.version + 1, revoked_at=view.at)
        happened = contracts.OperatorRevoked(operator=public("operator", gone.id), name=gone.name)
        return self.decided(view, operator_body(gone), happened, ("operator", gone.id), Put(OPERATORS, gone))


Outcome = MerchantBody | KeyBody | OperatorBody
