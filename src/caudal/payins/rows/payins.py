"""Payins, deposits, operations and discrepancies as the write path takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, byteas, dates, integers, texts, timestamps, uuids
from caudal.payins.model import Change, Deposit, DepositAccount, Discrepancy, Operation, PayerSeal, Payin
from caudal.payins.states import Status

SQL: Final = sqlfile.queries(Path(__file__).parents[1] / "queries")


def payin_of(row: Row) -> Payin:
    """A row of `payin`, in the order in which every query names its columns."""
    names = Payin.__struct_fields__
    return Payin(**{**dict(zip(names, row, strict=True)), "status": Status(row[3])})


def deposit_of(row: Row) -> Deposit:
    """A row of `deposit`."""
    return Deposit(**dict(zip(Deposit.__struct_fields__, row, strict=True)))


def operation_of(row: Row) -> Operation:
    """A row of `payin_operation`."""
    return Operation(**dict(zip(Operation.__struct_fields__, row, strict=True)))


def discrepancy_of(row: Row) -> Discrepancy:
    """A row of `discrepancy`."""
    return Discrepancy(**dict(zip(Discrepancy.__struct_fields__, row, strict=True)))


class Payins(Table[UUID, Payin]):
    """Payins as they stand."""

    name = "payin"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_payins"], (uuids(keys), shard)

    def load(self, row: Row) -> tuple[UUID, Payin]:
        payin = payin_of(row)
        return payin.id, payin

    def key(self, record: Payin) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Payin]) -> Iterable[Statement]:
        """Most have just begun, and what they will come to is left to the table's defaults."""
        begun = [payin for payin in records if payin.version == 1]
        if begun:
            yield SQL["insert_payins"], (head.shard, *self._begun(begun), len(begun))
        moved = [payin for payin in records if payin.version > 1]
        if moved:
            columns = (*self._begun(moved), *self._moved(moved))
            yield SQL["insert_moved_payins"], (head.shard, *columns, len(moved))

    def _begun(self, records: Sequence[Payin]) -> tuple[object, ...]:
        return (
            uuids([p.id for p in records]),
            bigints([p.book for p in records]),
            integers([p.version for p in records]),
            texts([p.status for p in records]),
            texts([p.reason for p in records]),
            texts([p.method for p in records]),
            texts([p.country for p in records]),
            texts([p.currency for p in records]),
            bigints([p.amount_minor for p in records]),
            bigints([p.received_minor for p in records]),
            bigints([p.fee_minor for p in records]),
            integers([p.fee_plan for p in records]),
            bigints([p.deposit_number for p in records]),
            texts([p.reference for p in records]),
            byteas([p.detail for p in records]),
            timestamps([p.created_at for p in records]),
            timestamps([p.expires_at for p in records]),
            timestamps([p.paid_at for p in records]),
        )

    def _moved(self, records: Sequence[Payin]) -> tuple[object, ...]:
        return (
            bigints([p.authorized_minor for p in records]),
            bigints([p.captured_minor for p in records]),
            bigints([p.refunded_minor for p in records]),
            bigints([p.disputed_minor for p in records]),
            dates([p.available_on for p in records]),
        )

    def updating(self, head: Head, changes: Sequence[tuple[int, Payin]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([p.id for p in records]),
            integers([version for version, _ in changes]),
            integers([p.version for p in records]),
            texts([p.status for p in records]),
            texts([p.reason for p in records]),
            bigints([p.received_minor for p in records]),
            bigints([p.fee_minor for p in records]),
            byteas([p.detail for p in records]),
            timestamps([p.expires_at for p in records]),
            timestamps([p.paid_at for p in records]),
            *self._moved(records),
        )
        yield SQL["update_payins"], (*columns, head.shard, len(changes))


class Changes(Table[UUID, Change]):
    """The history: one row a change, only ever added."""

    name = "payin_change"

    def inserting(self, head: Head, records: Sequence[Change]) -> Iterable[Statement]:
        columns = (
            uuids([c.payin for c in records]),
            integers([c.number for c in records]),
            texts([c.status for c in records]),
            texts([c.reason for c in records]),
            texts([c.event for c in records]),
            bigints([c.received_minor for c in records]),
            timestamps([c.at for c in records]),
        )
        yield SQL["insert_changes"], (head.shard, *columns, len(records))


class DepositAccounts(Table[int, DepositAccount]):
    """Numbers given out, only ever added."""

    name = "deposit_account"

    def inserting(self, head: Head, records: Sequence[DepositAccount]) -> Iterable[Statement]:
        columns = (
            bigints([a.number for a in records]),
            uuids([a.payin for a in records]),
            bigints([a.book for a in records]),
        )
        yield SQL["insert_deposit_accounts"], (head.shard, *columns, len(records))


class Payers(Table[UUID, PayerSeal]):
    """Sealed personal data."""

    name = "payer"

    def inserting(self, head: Head, records: Sequence[PayerSeal]) -> Iterable[Statement]:
        columns = (
            uuids([p.payin for p in records]),
            bigints([p.book for p in records]),
            byteas([p.sealed for p in records]),
        )
        yield SQL["insert_payers"], (head.shard, *columns, len(records))


class Deposits(Table[UUID, Deposit]):
    """Money that came in."""

    name = "deposit"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_deposits"], (uuids(keys), shard)

    def load(self, row: Row) -> tuple[UUID, Deposit]:
        deposit = deposit_of(row)
        return deposit.id, deposit

    def key(self, record: Deposit) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Deposit]) -> Iterable[Statement]:
        """Of nearly all nobody has asked for a return; what that adds is left to the table's defaults."""
        come = [deposit for deposit in records if deposit.destination is None and deposit.sent_until is None]
        if come:
            yield SQL["insert_deposits"], (head.shard, *self._come(come), len(come))
        moved = [deposit for deposit in records if deposit.destination is not None or deposit.sent_until is not None]
        if moved:
            columns = (*self._come(moved), *self._sent(moved))
            yield SQL["insert_moved_deposits"], (head.shard, *columns, len(moved))

    def _come(self, records: Sequence[Deposit]) -> tuple[object, ...]:
        return (
            uuids([d.id for d in records]),
            bigints([d.book for d in records]),
            integers([d.version for d in records]),
            texts([d.provider for d in records]),
            texts([d.tracking_key for d in records]),
            texts([d.account for d in records]),
            texts([d.currency for d in records]),
            bigints([d.amount_minor for d in records]),
            bigints([d.applied_minor for d in records]),
            bigints([d.unapplied_minor for d in records]),
            bigints([d.returning_minor for d in records]),
            bigints([d.returned_minor for d in records]),
            uuids([d.payin for d in records]),
            texts([d.reason for d in records]),
            byteas([d.sealed for d in records]),
            timestamps([d.created_at for d in records]),
            timestamps([d.paid_at for d in records]),
        )

    def _sent(self, records: Sequence[Deposit]) -> tuple[object, ...]:
        return byteas([d.destination for d in records]), timestamps([d.sent_until for d in records])

    def updating(self, head: Head, changes: Sequence[tuple[int, Deposit]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([d.id for d in records]),
            integers([version for version, _ in changes]),
            integers([d.version for d in records]),
            bigints([d.applied_minor for d in records]),
            bigints([d.unapplied_minor for d in records]),
            bigints([d.returning_minor for d in records]),
            bigints([d.returned_minor for d in records]),
            texts([d.reason for d in records]),
            *self._sent(records),
        )
        yield SQL["update_deposits"], (*columns, head.shard, len(changes))


class Operations(Table[UUID, Operation]):
    """Captures, voids and refunds as they stand."""

    name = "payin_operation"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_operations"], (uuids(keys), shard)

    def load(self, row: Row) -> tuple[UUID, Operation]:
        operation = operation_of(row)
        return operation.id, operation

    def key(self, record: Operation) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Operation]) -> Iterable[Statement]:
        columns = (
            uuids([o.id for o in records]),
            bigints([o.book for o in records]),
            uuids([o.payin for o in records]),
            integers([o.version for o in records]),
            texts([o.kind for o in records]),
            texts([o.status for o in records]),
            texts([o.reason for o in records]),
            texts([o.currency for o in records]),
            bigints([o.amount_minor for o in records]),
            bigints([o.fee_minor for o in records]),
            bigints([o.from_pending_minor for o in records]),
            bigints([o.from_available_minor for o in records]),
            byteas([o.detail for o in records]),
            byteas([o.sealed for o in records]),
            timestamps([o.created_at for o in records]),
            timestamps([o.settled_at for o in records]),
        )
        yield SQL["insert_operations"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Operation]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([o.id for o in records]),
            integers([version for version, _ in changes]),
            integers([o.version for o in records]),
            texts([o.status for o in records]),
            texts([o.reason for o in records]),
            byteas([o.detail for o in records]),
            timestamps([o.settled_at for o in records]),
        )
        yield SQL["update_operations"], (*columns, head.shard, len(changes))


class Discrepancies(Table[UUID, Discrepancy]):
    """What providers said that does not fit."""

    name = "discrepancy"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_discrepancies"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Discrepancy]:
        found = discrepancy_of(row)
        return found.id, found

    def key(self, record: Discrepancy) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Discrepancy]) -> Iterable[Statement]:
        columns = (
            uuids([d.id for d in records]),
            bigints([d.book for d in records]),
            integers([d.version for d in records]),
            texts([d.provider for d in records]),
            texts([d.kind for d in records]),
            uuids([d.payin for d in records]),
            byteas([d.detail for d in records]),
            timestamps([d.created_at for d in records]),
            timestamps([d.resolved_at for d in records]),
            texts([d.resolution for d in records]),
            byteas([d.held for d in records]),
            byteas([d.answer for d in records]),
            texts([d.correction for d in records]),
        )
        yield SQL["insert_discrepancies"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Discrepancy]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([d.id for d in records]),
            integers([version for version, _ in changes]),
            integers([d.version for d in records]),
            timestamps([d.resolved_at for d in records]),
            texts([d.resolution for d in records]),
            byteas([d.answer for d in records]),
            texts([d.correction for d in records]),
        )
        yield SQL["update_discrepancies"], (*columns, head.shard, len(changes))


PAYINS: Final = Payins()
CHANGES: Final = Changes()
DEPOSIT_ACCOUNTS: Final = DepositAccounts()
PAYERS: Final = Payers()
DEPOSITS: Final = Deposits()
OPERATIONS: Final = Operations()
DISCREPANCIES: Final = Discrepancies()
