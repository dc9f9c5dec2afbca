"""What the batch reads and writes: one row type a table. Keys of plans and audit entries are never written twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table, View
from caudal.kernel.db import bigints, byteas, integers, texts, timestamps, uuids
from caudal.kernel.errors import Invalid
from caudal.merchants.model import (
    ApiKeyRecord,
    AuditRecord,
    BookRecord,
    FeePlan,
    FeeRow,
    Fees,
    MerchantRecord,
    OperatorRecord,
)

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class Merchants(Table[UUID, MerchantRecord]):
    """Merchants, by id."""

    name = "merchant"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_merchants"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, MerchantRecord]:
        record = merchant_of(row)
        return record.id, record

    def key(self, record: MerchantRecord) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[MerchantRecord]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            integers([r.slot for r in records]),
            integers([r.version for r in records]),
            texts([r.name for r in records]),
            texts([r.country for r in records]),
            texts([r.status for r in records]),
            timestamps([r.created_at for r in records]),
        )
        yield SQL["insert_merchants"], (head.shard, *columns, len(records))


class Books(Table[int, BookRecord]):
    """Sets of books, by number."""

    name = "book"

    def reading(self, shard: int, keys: Sequence[int]) -> Statement:
        return SQL["read_books"], (shard, bigints(keys))

    def load(self, row: Row) -> tuple[int, BookRecord]:
        book, merchant, version, late_payments, fee_plan, clock_offset_s, refunds_beyond_balance, *routing = row
        record = BookRecord(
            book=book,
            merchant=merchant,
            version=version,
            late_payments=late_payments,
            fee_plan=fee_plan,
            clock_offset_s=clock_offset_s,
            refunds_beyond_balance=refunds_beyond_balance,
            routing_profile=routing[0],
            routing_profiles=routing[1],
        )
        return book, record

    def key(self, record: BookRecord) -> int:
        return record.book

    def inserting(self, head: Head, records: Sequence[BookRecord]) -> Iterable[Statement]:
        columns = (
            bigints([r.book for r in records]),
            uuids([r.merchant for r in records]),
            integers([r.version for r in records]),
            texts([r.late_payments for r in records]),
            integers([r.fee_plan for r in records]),
            bigints([r.clock_offset_s for r in records]),
            texts([r.refunds_beyond_balance for r in records]),
            uuids([r.routing_profile for r in records]),
            integers([r.routing_profiles for r in records]),
        )
        yield SQL["insert_books"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, BookRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            integers([version for version, _ in changes]),
            bigints([r.book for r in records]),
            integers([r.version for r in records]),
            texts([r.late_payments for r in records]),
            integers([r.fee_plan for r in records]),
            bigints([r.clock_offset_s for r in records]),
            texts([r.refunds_beyond_balance for r in records]),
            uuids([r.routing_profile for r in records]),
            integers([r.routing_profiles for r in records]),
        )
        yield SQL["update_books"], (*columns, head.shard, len(records))


class FeePlans(Table[tuple[int, int], FeePlan]):
    """Fee plans, by book and version. A plan without lines has no row: it reads as None, and everything is free."""

    name = "fee_plan"

    def reading(self, shard: int, keys: Sequence[tuple[int, int]]) -> Statement:
        return SQL["read_fee_plans"], (bigints([book for book, _ in keys]), integers([v for _, v in keys]), shard)

    def load(self, row: Row) -> tuple[tuple[int, int], FeePlan]:
        book, version, *columns, created_at = row
        fees = fees_in(*columns)
        return (book, version), FeePlan(book=book, version=version, fees=fees, created_at=created_at)

    def key(self, record: FeePlan) -> tuple[int, int]:
        return record.book, record.version

    def inserting(self, head: Head, records: Sequence[FeePlan]) -> Iterable[Statement]:
        lines = [(plan, place, row) for plan in records for place, row in sorted(plan.fees.items())]
        if not lines:
            return
        columns = (
            bigints([plan.book for plan, _, _ in lines]),
            integers([plan.version for plan, _, _ in lines]),
            texts([family for _, (family, _), _ in lines]),
            texts([currency for _, (_, currency), _ in lines]),
            bigints([row.fixed_minor for _, _, row in lines]),
            integers([row.basis_points for _, _, row in lines]),
            timestamps([plan.created_at for plan, _, _ in lines]),
            bigints([row.refund_fixed_minor for _, _, row in lines]),
            bigints([row.dispute_fixed_minor for _, _, row in lines]),
            integers([row.settlement_days for _, _, row in lines]),
        )
        yield SQL["insert_fee_plans"], (head.shard, *columns, len(lines))


class ApiKeys(Table[bytes, ApiKeyRecord]):
    """Merchants' keys, by the SHA-256 of their text."""

    name = "api_key"

    def reading(self, shard: int, keys: Sequence[bytes]) -> Statement:
        return SQL["read_api_keys"], (shard, byteas(keys))

    def load(self, row: Row) -> tuple[bytes, ApiKeyRecord]:
        record = api_key_of(row)
        return record.digest, record

    def key(self, record: ApiKeyRecord) -> bytes:
        return record.digest

    def inserting(self, head: Head, records: Sequence[ApiKeyRecord]) -> Iterable[Statement]:
        columns = (
            byteas([r.digest for r in records]),
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            integers([r.version for r in records]),
            texts([r.name for r in records]),
            texts([r.hint for r in records]),
            texts([" ".join(r.scopes) for r in records]),
            timestamps([r.created_at for r in records]),
            timestamps([r.ends_at for r in records]),
            timestamps([r.revoked_at for r in records]),
        )
        yield SQL["insert_api_keys"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, ApiKeyRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            integers([version for version, _ in changes]),
            byteas([r.digest for r in records]),
            integers([r.version for r in records]),
            timestamps([r.ends_at for r in records]),
            timestamps([r.revoked_at for r in records]),
        )
        yield SQL["update_api_keys"], (*columns, head.shard, len(records))


class Operators(Table[bytes, OperatorRecord]):
    """Operators, by the SHA-256 of their key's text."""

    name = "operator"

    def reading(self, shard: int, keys: Sequence[bytes]) -> Statement:
        return SQL["read_operators"], (shard, byteas(keys))

    def load(self, row: Row) -> tuple[bytes, OperatorRecord]:
        record = operator_of(row)
        return record.digest, record

    def key(self, record: OperatorRecord) -> bytes:
        return record.digest

    def inserting(self, head: Head, records: Sequence[OperatorRecord]) -> Iterable[Statement]:
        columns = (
            byteas([r.digest for r in records]),
            uuids([r.id for r in records]),
            integers([r.version for r in records]),
            texts([r.name for r in records]),
            texts([r.hint for r in records]),
            timestamps([r.created_at for r in records]),
            timestamps([r.revoked_at for r in records]),
        )
        yield SQL["insert_operators"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, OperatorRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            integers([version for version, _ in changes]),
            byteas([r.digest for r in records]),
            integers([r.version for r in records]),
            timestamps([r.revoked_at for r in records]),
        )
        yield SQL["update_operators"], (*columns, head.shard, len(records))


class Audit(Table[UUID, AuditRecord]):
    """The audit trail: written, never read in a batch."""

    name = "audit"

    def inserting(self, head: Head, records: Sequence[AuditRecord]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            timestamps([r.at for r in records]),
            texts([r.actor for r in records]),
            texts([r.action for r in records]),
            texts([r.subject for r in records]),
            byteas([r.detail for r in records]),
        )
        yield SQL["insert_audit_entries"], (head.shard, *columns, len(records))


MERCHANTS: Final = Merchants()
BOOKS: Final = Books()
FEE_PLANS: Final = FeePlans()
API_KEYS: Final = ApiKeys()
OPERATORS: Final = Operators()
AUDIT: Final = Audit()


def refuse_ended(view: View, digest: bytes) -> Invalid | None:
    """Why a request under this key is not decided: the key has ended by the batch's time, or is not there.

    The command needs `(API_KEYS, digest)`. Invalid, so that nothing is stored under the idempotency key.
    """
    key = view.get(API_KEYS, digest)
    if key is None or key.ended(view.at):
        return Invalid("unauthenticated", "the API key has been revoked or has ended")
    return None


def refuse_revoked(view: View, digest: bytes) -> Invalid | None:
    """Why an operator's request is not decided: the key has been revoked. The command needs `(OPERATORS, digest)`.

    Without a digest the operator is one of another shard.
    """
    if not digest:
        return None
    operator = view.get(OPERATORS, digest)
    if operator is None or operator.revoked_at is not None:
        return Invalid("unauthenticated", "the operator's key has been revoked")
    return None


def merchant_of(row: Row) -> MerchantRecord:
    """A row of `merchant`."""
    id, slot, version, name, country, status, created_at = row
    return MerchantRecord(
        id=id, slot=slot, version=version, name=name, country=country, status=status, created_at=created_at
    )


def api_key_of(row: Row) -> ApiKeyRecord:
    """A row of `api_key`."""
    digest, id, book, version, name, hint, scopes, created_at, ends_at, revoked_at = row
    return ApiKeyRecord(
        digest=bytes(digest),
        id=id,
        book=book,
        version=version,
        name=name,
        hint=hint,
        scopes=tuple(scopes),
        created_at=created_at,
        ends_at=ends_at,
        revoked_at=revoked_at,
    )


def operator_of(row: Row) -> OperatorRecord:
    """A row of `operator`."""
    digest, id, version, name, hint, created_at, revoked_at = row
    return OperatorRecord(
        digest=bytes(digest),
        id=id,
        version=version,
        name=name,
        hint=hint,
        created_at=created_at,
        revoked_at=revoked_at,
    )


def fees_in(families: Sequence[str] | None, currencies: Sequence[str] | None, *prices: Sequence[int] | None) -> Fees:
    """A plan's lines from their columns (prices in the order of FeeRow), each None where there is no line."""
    lines = zip(families or (), currencies or (), *(column or () for column in prices), strict=True)
    return {(family, currency): _fee_row(*price) for family, currency, *price in lines}


@lru_cache(maxsize=4096)  # plans are read with every batch that takes fees, and most have the same few lines
def _fee_row(*price: int) -> FeeRow:
    return FeeRow(**dict(zip(FeeRow.__struct_fields__, price, strict=True)))
