"""Numbers without gaps and a chain in which every byte counts; the worked example of docs/money.md is the vector."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from caudal.ledger import (
    FACT,
    GENESIS,
    Booked,
    Entry,
    Posted,
    Purpose,
    Transfer,
    account_id,
    decide_group,
    number,
    opened,
)

MONEY_PAGE = Path(__file__).parents[2] / "docs" / "money.md"
PAYIN = UUID("01938f2c-5c00-7000-8000-000000000001")
AT = datetime(2026, 11, 23, 10, 0, 0, 123456, tzinfo=UTC)
BANK = account_id(0, "MXN", Purpose.BANK)
PENDING = account_id(2, "MXN", Purpose.PENDING)
COUNTERS = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")
FEES = account_id(0, "MXN", Purpose.FEES)


def _posted() -> Posted:
    received = Transfer(
        id=UUID("01938f2c-5c00-7000-8000-0000000000a1"),
        debit_account=BANK,
        credit_account=PENDING,
        amount_minor=12_050,
        flags=FACT,
        subject=PAYIN,
        code="payin.received",
    )
    fee = Transfer(
        id=UUID("01938f2c-5c00-7000-8000-0000000000a2"),
        debit_account=PENDING,
        credit_account=FEES,
        amount_minor=650,
        flags=FACT,
        subject=PAYIN,
        code="payin.fee",
    )
    accounts = {id: opened(id) for id in (BANK, PENDING, FEES)}
    outcome = decide_group(accounts, {}, {}, [received, fee], AT)
    assert isinstance(outcome, Posted)
    return outcome


def test_numbers_have_no_gap_and_groups_say_where_they_begin() -> None:
    posted = _posted()
    twice = number([*posted.transfers, *posted.transfers], [*posted.entries, *posted.entries], 8, GENESIS)
    assert [(row.seq, row.group_seq) for row in twice.transfers] == [(8, 8), (9, 8), (10, 10), (11, 10)]
    assert [row.seq for row in twice.entries] == [8, 8, 9, 9, 10, 10, 11, 11]
    assert twice.last_seq == 11


def test_nothing_to_number_leaves_the_chain_where_it_is() -> None:
    assert number([], [], 8, b"x" * 32)[2:] == (7, b"x" * 32)


def test_the_chain_is_the_one_of_the_docs() -> None:
    posted = _posted()
    rows = number(posted.transfers, posted.entries, 1, GENESIS)
    page = MONEY_PAGE.read_text("utf-8")
    assert [f"hash({row.seq}) = {row.hash.hex()}\n" in page for row in rows.transfers] == [True, True]
    assert rows.last_hash == rows.transfers[-1].hash


def test_the_bytes_of_the_docs_make_its_hash() -> None:
    page = MONEY_PAGE.read_text("utf-8")
    packed = re.search(r"in transfer 1:\n\n```\n([0-9a-f\s]+)```", page)
    first = re.search(r"hash\(1\) = (\w+)", page)
    assert packed and first
    assert sha256(GENESIS + bytes.fromhex(packed[1])).hexdigest() == first[1]


def _changed(record: Any, field: str) -> Any:
    value = getattr(record, field)
    if isinstance(value, UUID):
        other: object = UUID(int=value.int ^ 1)
    elif isinstance(value, bool):
        other = not value
    else:
        other = value + 1 if isinstance(value, int) else value + "x"
    return msgspec.structs.replace(record, **{field: other})


@pytest.mark.parametrize("field", ["id", "amount_minor", "flags", "subject", "code", "timeout_s"])
def test_every_field_of_a_transfer_counts(field: str) -> None:
    posted = _posted()
    first, second = posted.transfers
    changed = Booked(transfer=_changed(first.transfer, field), position=0, at=AT)
    assert _last(posted) != number([changed, second], posted.entries, 1, GENESIS).last_hash


@pytest.mark.parametrize(
    "field",
    [*("version", "side", "amount_minor", "fact", "flags"), *COUNTERS],
)
def test_every_field_of_an_entry_counts(field: str) -> None:
    posted = _posted()
    entries: list[Entry] = [*posted.entries[:3], _changed(posted.entries[3], field)]
    assert _last(posted) != number(posted.transfers, entries, 1, GENESIS).last_hash


def test_number_group_time_and_the_hash_before_count() -> None:
    posted = _posted()
    alone = [Booked(transfer=booked.transfer, position=0, at=booked.at) for booked in posted.transfers]
    later = [Booked(transfer=b.transfer, position=b.position, at=b.at.replace(microsecond=1)) for b in posted.transfers]
    others = [
        number(posted.transfers, posted.entries, 2, GENESIS),
        number(posted.transfers, posted.entries, 1, b"\1" * 32),
        number(alone, posted.entries, 1, GENESIS),
        number(later, posted.entries, 1, GENESIS),
    ]
    assert _last(posted) not in {rows.last_hash for rows in others}


def _last(posted: Posted) -> bytes:
    return number(posted.transfers, posted.entries, 1, GENESIS).last_hash
