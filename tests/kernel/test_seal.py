"""Sealed values open in their own place, under their own key, unchanged; and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.kernel.seal import Sealer, SealError, derive

KEK, PLACE = bytes(range(32)), b"payin 1"
SEALER = Sealer(KEK)


@given(st.binary(max_size=500), st.binary(max_size=40))
def test_what_is_sealed_opens_again(value: bytes, place: bytes) -> None:
    assert SEALER.open(SEALER.seal(value, place), place) == value


def test_nothing_of_the_value_can_be_read_and_no_two_seals_are_alike() -> None:
    value = b"ana@example.com" * 3
    seals = {SEALER.seal(value, PLACE) for _ in range(100)}
    assert len(seals) == 100
    assert not any(b"ana" in sealed or b"example" in sealed for sealed in seals)


def test_any_changed_bit_keeps_it_shut() -> None:
    sealed = SEALER.seal(b"Ana", PLACE)
    for bit in range(len(sealed) * 8):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealError):
            SEALER.open(bytes(changed), PLACE)


def test_a_cut_value_keeps_shut() -> None:
    sealed = SEALER.seal(b"Ana", PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            SEALER.open(sealed[:length], PLACE)


def test_it_opens_in_no_other_place_and_under_no_other_key() -> None:
    sealed = SEALER.seal(b"Ana", PLACE)
    with pytest.raises(SealError):
        SEALER.open(sealed, b"payin 2")
    with pytest.raises(SealError):
        Sealer(KEK[::-1]).open(sealed, PLACE)


def test_what_a_former_key_sealed_still_opens_and_everything_new_is_under_the_new_one() -> None:
    former, changed = SEALER.seal(b"Ana", PLACE), Sealer(KEK[::-1], [KEK])
    assert changed.open(former, PLACE) == b"Ana"
    assert Sealer(KEK[::-1]).open(changed.seal(b"Eva", PLACE), PLACE) == b"Eva"
    with pytest.raises(SealError):
        changed.open(former, b"payin 2")


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {derive(KEK, purpose) for purpose in ("payer data", "fingerprints", "search")}
    assert len(keys) == 3 and all(len(key) == 32 for key in keys)
    assert SEALER.fingerprint_keys == (derive(KEK, "fingerprints"),)


def test_a_search_term_says_nothing_and_belongs_to_one_book_and_field() -> None:
    term = SEALER.search_term(2, "email", "ana@example.com")
    assert len(term) == 16 and term == Sealer(KEK).search_term(2, "email", "ana@example.com")
    others = [(3, "email", "ana@example.com"), (2, "document", "ana@example.com"), (2, "email", "eva@example.com")]
    assert term not in {SEALER.search_term(*other) for other in others}
    assert term != Sealer(KEK[::-1]).search_term(2, "email", "ana@example.com")
