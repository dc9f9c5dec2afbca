"""The ladder of refusals, one row each, in the order in which they are checked."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from caudal.ledger import Refusal
from tests.ledger.tables import Books

MONEY_PAGE = Path(__file__).parents[2] / "docs" / "money.md"
BEFORE = """
    account  A        0/0    0/100    debits<=credits
    account  B        0/0    0/0      -
    account  C        0/0    0/0      credits<=debits
    account  D        0/0    0/0      closed
    account  A@USD    0/0    0/100    -
    account  A@live   0/0    0/100    -
    account  P        max/0  0/0      -
    account  Q        0/0    max/0    -
    account  R        0/max  0/0      -
    account  S        0/0    0/max    -
    account  T        5/max-9  0/0    -
    account  U        0/0    5/max-9  -
    transfer T1  A B  10   direct   -   -     -                pay   ok
    transfer T2  A B  20   pending  -   -     -                hold  ok
    transfer T3  A B  10   pending  -   -     -                hold  ok
    transfer T4  - -  5    post     T3  -     -                -     ok
    transfer T5  A B  10   pending  -   -     -                hold  ok
    transfer T6  - -  0    void     T5  -     -                -     ok
    transfer T7  A B  1    pending  -   60    -                hold  ok
    transfer T8  A B  1    pending  -   999   -                hold  ok
    clock    60
"""
RUNGS = """
  linked   T90  A      B 1   direct  -   -          -               pay   linked_event_failed
  transfer T90  A      B 1   direct  -   -          reserved        pay   reserved_flag
  transfer T0   A      B 1   direct  -   -          -               pay   id_must_not_be_zero
  transfer Tmax A      B 1   direct  -   -          -               pay   id_must_not_be_max
  transfer T90  A      B -1  direct  -   -          -               pay   amount_out_of_range
  transfer T90  A      B 1   pending -   -1         -               pay   timeout_out_of_range
  transfer T1   A      B 10  pending -   -          -               pay   exists_with_different_kind
  transfer T1   A      B 10  direct  -   -          fact            pay   exists_with_different_flags
  transfer T1   A      B 10  direct  T2  -          -               pay   exists_with_different_pending_id
  transfer T1   A      B 10  direct  -   9          -               pay   exists_with_different_timeout
  transfer T1   C      B 10  direct  -   -          -               pay   exists_with_different_debit_account
  transfer T1   A      C 10  direct  -   -          -               pay   exists_with_different_credit_account
  transfer T1   A      B 11  direct  -   -          -               pay   exists_with_different_amount
  transfer T1   A      B 10  direct  -   -          -               other exists_with_different_subject
  transfer T1   A      B 10  direct  -   -          -               paid  exists_with_different_code
  transfer T1   A      B 10  direct  -   -          -               pay   exists
  transfer T90  -      - max post    T2  -          balancing_debit -     flags_are_mutually_exclusive
  transfer T90  -      B 1   direct  -   -          -               pay   debit_account_must_not_be_zero
  transfer T90  A      - 1   direct  -   -          -               pay   credit_account_must_not_be_zero
  transfer T90  A      A 1   direct  -   -          -               pay   accounts_must_be_different
  transfer T90  A      B 1   direct  T2  -          -               pay   pending_id_must_be_absent
  transfer T90  -      - max post    -   -          -               -     pending_id_must_be_present
  transfer T90  -      - max post    T90 -          -               -     pending_id_must_be_different
  transfer T90  A      B 1   direct  -   9          -               pay   timeout_reserved_for_pending_transfer
  transfer T90  A      B 0   direct  -   -          closing_debit   pay   closing_transfer_must_be_pending
  transfer T90  A      B 1   direct  -   -          -               -     code_must_not_be_empty
  transfer T90  -      - max post    T99 -          -               -     pending_transfer_not_found
  transfer T90  -      - max post    T1  -          -               -     pending_transfer_not_pending
  transfer T90  C      - max post    T2  -          -               -     pending_transfer_has_different_debit_account
  transfer T90  -      C max post    T2  -          -               -     pending_transfer_has_different_credit_account
  transfer T90  -      - max post    T2  -          -               pay   pending_transfer_has_different_code
  transfer T90  -      - 21  post    T2  -          -               -     exceeds_pending_transfer_amount
  transfer T90  -      - 19  void    T2  -          -               -     pending_transfer_has_different_amount
  transfer T90  -      - max post    T3  -          -               -     pending_transfer_already_posted
  transfer T90  -      - 0   void    T5  -          -               -     pending_transfer_already_voided
  transfer T90  -      - max post    T7  -          -               -     pending_transfer_expired
  transfer T90  -      - 0   expire  T8  -          -               -     pending_transfer_not_yet_expired
  transfer T90  Z      B 1   direct  -   -          -               pay   debit_account_not_found
  transfer T90  A      Z 1   direct  -   -          -               pay   credit_account_not_found
  transfer T90  A@USD  B 1   direct  -   -          -               pay   accounts_must_have_the_same_currency
  transfer T90  A@live B 1   direct  -   -          -               pay   accounts_must_have_the_same_mode
  transfer T90  D      B 1   direct  -   -          -               pay   debit_account_already_closed
  transfer T90  B      D 1   direct  -   -          -               pay   credit_account_already_closed
  transfer T90  P      B 1   pending -   -          -               pay   overflows_debits_pending
  transfer T90  B      Q 1   pending -   -          -               pay   overflows_credits_pending
  transfer T90  R      B 1   direct  -   -          -               pay   overflows_debits_posted
  transfer T90  B      S 1   direct  -   -          -               pay   overflows_credits_posted
  transfer T90  T      B 5   direct  -   -          -               pay   overflows_debits
  transfer T90  B      U 5   direct  -   -          -               pay   overflows_credits
  transfer T90  A      B 1   pending -   2147483647 -               pay   overflows_timeout
  transfer T90  A      B 101 direct  -   -          -               pay   exceeds_credits
  transfer T90  B      C 1   direct  -   -          -               pay   exceeds_debits
"""
LINES = [line for line in RUNGS.splitlines() if line.strip()]
IN_THE_GROUP_OF_THE_FIRST = "transfer T91 A B 101 direct - - - pay exceeds_credits"


def _played(line: str) -> list[str]:
    at = datetime(9999, 12, 31, tzinfo=UTC) if "overflows_timeout" in line else None
    books = Books(at) if at else Books()
    before = BEFORE.replace("60    -  ", "-     -  ").replace("999   -  ", "-     -  ") if at else BEFORE
    after = line + "\n" + IN_THE_GROUP_OF_THE_FIRST if "linked" in line.split() else line
    return books.run(before + after).answers


@pytest.mark.parametrize("line", LINES, ids=[line.split()[-1] for line in LINES])
def test_this_is_refused(line: str) -> None:
    assert line.split()[-1] in _played(line)


def test_every_refusal_has_its_row_in_the_order_of_the_ladder() -> None:
    assert [line.split()[-1] for line in LINES] == [refusal.value for refusal in Refusal]


def test_the_page_about_money_tells_the_ladder_in_its_order() -> None:
    page = MONEY_PAGE.read_text("utf-8").partition("## Refusals")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE) == [refusal.value for refusal in Refusal]


# More than one applies
BOTH = """
  transfer T0   A      B 1   direct  -   -          reserved             pay   reserved_flag
  transfer T90  -      B 1   direct  T2  -          -                    pay   debit_account_must_not_be_zero
  transfer T90  A      A 1   direct  T2  -          -                    pay   accounts_must_be_different
  transfer T90  -      - 21  void    T2  -          -                    -     exceeds_pending_transfer_amount
  transfer T90  -      B 1   pending -   -          fact+closing_debit   pay   flags_are_mutually_exclusive
  transfer T90  A      B 1   pending -   -          fact+closing_credit  pay   flags_are_mutually_exclusive
"""


@pytest.mark.parametrize("line", BOTH.strip().splitlines(), ids=lambda line: line.split()[-1])
def test_the_first_of_several_is_the_answer(line: str) -> None:
    assert line.split()[-1] in _played(line)
