"""Account ids say book, currency and purpose, and nothing else does."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.kernel.money import CURRENCIES
from caudal.ledger import (
    AccountName,
    Purpose,
    account_id,
    account_name,
    house_book,
    opened,
    transfer_id,
)

BOOKS = st.integers(0, 2**23 - 1)
ANA = UUID("019ab000-0000-7000-8000-000000000001")


@given(book=BOOKS, currency=st.sampled_from(sorted(CURRENCIES)), purpose=st.sampled_from(Purpose))
def test_an_id_says_what_it_was_made_of(book: int, currency: str, purpose: Purpose) -> None:
    assert account_name(account_id(book, currency, purpose)) == AccountName(book, currency, purpose)


def test_the_formula_is_the_one_of_the_docs() -> None:
    assert account_id(2, "MXN", Purpose.PENDING) == 2 << 16 | 484 << 6 | 1 == 162_049


def test_a_merchants_book_and_the_houses_are_of_one_mode() -> None:
    assert [house_book(10), house_book(11)] == [0, 1]
    name = account_name(account_id(11, "CLP", Purpose.AVAILABLE))
    assert (name.slot, name.live, name.currency) == (5, True, "CLP")


@pytest.mark.parametrize("id", [0, 162_049 | 63, 2 << 16 | 1 << 6 | 1])
def test_other_numbers_are_no_ids(id: int) -> None:
    with pytest.raises((KeyError, ValueError)):
        account_name(id)


def test_what_we_owe_is_limited_and_what_the_house_has_is_not() -> None:
    limited = {purpose for purpose in Purpose if opened(account_id(2, "MXN", purpose)).flags}
    assert limited == {Purpose.PENDING, Purpose.AVAILABLE, Purpose.RESERVED, Purpose.DISPUTED, Purpose.UNAPPLIED}


def test_a_new_account_has_no_entry() -> None:
    account = opened(162_049)
    assert (account.version, account.credit_balance_minor, account.over_limit) == (0, 0, False)


def test_a_step_of_an_object_always_has_the_same_transfer_id() -> None:
    ids = [transfer_id(ANA, "payin.received"), transfer_id(ANA, "payin.received", 1), transfer_id(ANA, "payin.fee")]
    assert len(set(ids)) == 3
    assert transfer_id(ANA, "payin.received") == ids[0]
    assert ids[0].version == 8
