"""Ids: UUIDv7 that order by time and carry the merchant's slot, and their public form."""

from __future__ import annotations

import os
import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.kernel.ids import SLOT_MAX, parse, public, slot_of, uuid7, uuid8

ID = UUID("01938f2c-5c00-7000-8000-0000000000a1")


@given(st.integers(0, SLOT_MAX))
def test_an_id_is_a_uuidv7_that_carries_its_slot(slot: int) -> None:
    id = uuid7(slot)
    assert (id.version, id.variant, slot_of(id)) == (7, RFC_4122, slot)


def test_ids_order_by_the_millisecond_in_which_they_were_made() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7(5).int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_a_hundred_thousand_ids_of_one_moment_differ() -> None:
    assert len({uuid7(1) for _ in range(100_000)}) == 100_000


def test_a_forked_process_makes_other_ids_than_its_parent() -> None:
    uuid7()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join((uuid7().int & (1 << 62) - 1).to_bytes(8, "big") for _ in range(50)))
        os._exit(0)
    mine = {(uuid7().int & (1 << 62) - 1).to_bytes(8, "big") for _ in range(50)}
    os.waitpid(child, 0)
    theirs = os.read(reader, 400)
    os.close(reader)
    os.close(writer)
    assert not mine & {theirs[i : i + 8] for i in range(0, 400, 8)}


def test_a_slot_that_does_not_fit_is_refused() -> None:
    for slot in (-1, SLOT_MAX + 1):
        with pytest.raises(AssertionError):
            uuid7(slot)


@given(st.uuids())
def test_the_public_form_leads_back_to_the_id(id: UUID) -> None:
    assert parse("payin", public("payin", id)) == id


def test_the_public_form_is_the_prefix_and_32_lower_case_digits() -> None:
    assert public("payin", ID) == "payin_01938f2c5c00700080000000000000a1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "payin_",
        f"dep_{ID.hex}",
        f"payin_{ID}",
        f"payin_{ID.hex.upper()}",
        f"payin_{ID.hex[:-1]}",
        f"payin_{ID.hex}0",
        f"payin-{ID.hex}",
        f"payin_ {ID.hex[1:]}",
        f"payin_+{ID.hex[1:]}",
        f"payin_0x{ID.hex[2:]}",
        f"payin_{ID.hex[:-2]}_1",
        f"payin_{ID.hex[:-1]}g",
        f"payin_{ID.hex[:-1]}١",
        f"payin_{ID.hex[:-1]}\n",
    ],
)
def test_what_is_no_id_of_this_kind_is_none(text: str) -> None:
    assert parse("payin", text) is None


def test_the_same_thing_said_twice_has_one_id_for_ever() -> None:
    """Ids of deposits, discrepancies and transfers: the literal is what stands in databases."""
    id = uuid8(b"spei\ntest\nT1", "caudal deposit")
    assert id == UUID("fb05b305-7170-871f-8e0c-29fc3f25fedb") == uuid8(b"spei\ntest\nT1", "caudal deposit")
    assert (id.version, id.variant) == (8, RFC_4122)
    assert len({id, uuid8(b"spei\ntest\nT1"), uuid8(b"spei\ntest\nT2", "caudal deposit")}) == 3
