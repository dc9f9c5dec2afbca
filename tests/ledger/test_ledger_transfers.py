"""What transfers do to accounts: direct, pending, linked, balancing, closing, facts; told as tables."""

from tests.ledger.tables import Books


def test_money_moves_and_limits_hold_at_the_last_cent() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    credits<=debits
        account  C  0/0  0/0    -
        transfer T1 A C  100  direct - - - pay  ok
        transfer T2 A C  1    direct - - - pay  exceeds_credits
        transfer T3 C B  1    direct - - - pay  exceeds_debits
        transfer T4 B C  1    direct - - - pay  ok
        transfer T5 C B  1    direct - - - pay  ok
        balance  A  0/100  0/100  debits<=credits
        balance  B  0/1    0/1    credits<=debits
        balance  C  0/1    0/101
    """)


def test_a_hold_counts_against_the_limit_and_posts_whole_or_in_part() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  60   pending - -  - hold  ok
        balance  A  60/0   0/100  debits<=credits
        balance  B  0/0    60/0
        transfer T2 A B  41   direct  - -  - pay   exceeds_credits
        transfer T3 - -  max  post    T1 - - -     ok
        balance  A  0/60   0/100  debits<=credits
        transfer T4 A B  40   pending - -  - hold  ok
        transfer T5 A B  15   post    T4 - - hold  ok
        balance  A  0/75   0/100  debits<=credits
        balance  B  0/0    0/75
        transfer T6 - -  1    post    T4 - - -     pending_transfer_already_posted
        transfer T7 - -  0    void    T4 - - -     pending_transfer_already_posted
    """)


def test_a_voided_hold_gives_everything_back() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  60  pending -  - - hold  ok
        transfer T2 A B  60  void    T1 - - hold  ok
        balance  A  0/0  0/100  debits<=credits
        balance  B  0/0  0/0
        transfer T3 - -  max post    T1 - - -     pending_transfer_already_voided
    """)


def test_a_hold_expires_at_its_second_and_not_before() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  60   pending -  60 - hold  ok
        clock    59
        transfer T2 - -  0    expire  T1 -  - -     pending_transfer_not_yet_expired
        clock    1
        transfer T3 - -  max  post    T1 -  - -     pending_transfer_expired
        transfer T4 - -  0    void    T1 -  - -     pending_transfer_expired
        balance  A  60/0  0/100  debits<=credits
        transfer T5 - -  0    expire  T1 -  - -     ok
        balance  A  0/0   0/100  debits<=credits
        transfer T6 - -  0    expire  T1 -  - -     pending_transfer_expired
    """)


def test_a_group_is_booked_whole_or_not_at_all() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    debits<=credits
        account  C  0/0  0/0    -
        linked   T1 A B  60   direct - - - pay  linked_event_failed
        linked   T2 B C  61   direct - - - fee  exceeds_credits
        transfer T3 A B  1    direct - - - pay  linked_event_failed
        balance  A  0/0  0/100  debits<=credits
        linked   T1 A B  60   direct - - - pay  ok
        transfer T2 B C  60   direct - - - fee  ok
        balance  B  0/60  0/60  debits<=credits
        transfer T2 B C  60   direct - - - fee  exists
    """)


def test_a_group_may_resolve_what_it_holds() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        linked   T1 A B  60   pending -  - - hold  ok
        transfer T2 - -  20   post    T1 - - -     ok
        balance  A  0/20  0/100  debits<=credits
        linked   T3 A B  1    direct  -  - - pay   linked_event_failed
        transfer T4 - -  1    post    T3 - - -     pending_transfer_not_pending
        linked   T5 A B  1    direct  -  - - pay   linked_event_failed
        transfer T5 A B  1    direct  -  - - pay   exists
    """)


def test_balancing_moves_at_most_what_is_there() -> None:
    Books().run("""
        account  A  10/20  0/100  debits<=credits
        account  B  0/80   0/20   credits<=debits
        account  C  0/0    0/0    -
        transfer T1 A C  50   direct  - - balancing_debit                  pay   ok
        transfer T2 A C  max  pending - - balancing_debit                  hold  ok
        balance  A  30/70  0/100  debits<=credits
        transfer T3 C B  max  direct  - - balancing_credit                 pay   ok
        balance  B  0/80   0/80   credits<=debits
        transfer T4 A C  max  direct  - - balancing_debit                  pay   ok
        balance  C  0/60   20/50
        transfer T5 C B  max  direct  - - balancing_debit+balancing_credit pay   ok
        balance  B  0/80   0/80   credits<=debits
    """)


def test_a_repeated_balancing_transfer_exists_if_it_asked_for_enough() -> None:
    Books().run("""
        account  A  0/0  0/30  -
        account  B  0/0  0/0   -
        transfer T1 A B  max  direct - - balancing_debit  pay  ok
        transfer T1 A B  30   direct - - balancing_debit  pay  exists
        transfer T1 A B  29   direct - - balancing_debit  pay  exists_with_different_amount
    """)


def test_a_repeated_resolution_exists_with_placeholders_too() -> None:
    Books().run("""
        account  A  0/0  0/30  -
        account  B  0/0  0/0   -
        transfer T1 A B  10   pending -  - - hold  ok
        transfer T2 - -  max  post    T1 - - -     ok
        transfer T2 - -  max  post    T1 - - -     exists
        transfer T2 A B  10   post    T1 - - hold  exists
        transfer T2 - -  9    post    T1 - - -     exists_with_different_amount
        transfer T2 B -  max  post    T1 - - -     exists_with_different_debit_account
        transfer T3 A B  10   pending -  - - hold  ok
        transfer T4 - -  5    post    T3 - - -     ok
        transfer T4 - -  max  post    T3 - - -     exists_with_different_amount
    """)


def test_a_closed_account_takes_no_request_until_its_closing_is_voided() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  30   pending -  - -                hold   ok
        linked   T2 A B  max  direct  -  - balancing_debit  close  ok
        transfer T3 A B  0    pending -  - closing_debit    close  ok
        balance  A  30/70  0/100  debits<=credits  closed
        transfer T4 A B  0    direct  -  - -                pay    debit_account_already_closed
        transfer T5 B A  5    direct  -  - -                pay    credit_account_already_closed
        transfer T6 - -  max  post    T1 - -                -      debit_account_already_closed
        transfer T7 - -  0    void    T1 - -                -      ok
        transfer T8 - -  max  post    T3 - -                -      debit_account_already_closed
        transfer T8 - -  max  post    T3 - fact             -      debit_account_already_closed
        transfer T9 - -  0    void    T3 - -                -      ok
        balance  A  0/70   0/100  debits<=credits
        transfer T5 B A  5    direct  -  - -                pay    ok
    """)


def test_a_closing_that_expires_opens_the_account_again() -> None:
    Books().run("""
        account  A  0/0  0/0  -
        account  B  0/0  0/0  -
        transfer T1 A B  0  pending -  60 closing_credit  freeze  ok
        balance  B  0/0  0/0  closed
        clock    60
        transfer T2 - -  0  expire  T1 -  -               -       ok
        balance  B  0/0  0/0
    """)


def test_a_fact_breaks_the_limit_and_requests_wait_until_it_is_covered() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  60   pending -  - -     hold     ok
        transfer T2 A B  80   direct  -  - fact  dispute  limit_broken
        balance  A  60/80   0/100  debits<=credits
        transfer T3 A B  1    direct  -  - -     pay      exceeds_credits
        transfer T4 A B  max  direct  -  - balancing_debit  pay  exceeds_credits
        transfer T5 B A  39   direct  -  - -     pay      ok
        transfer T6 A B  0    direct  -  - -     pay      exceeds_credits
        transfer T7 B A  1    direct  -  - -     pay      ok
        transfer T8 A B  0    direct  -  - -     pay      ok
    """)


def test_a_hold_that_was_granted_posts_even_when_a_fact_came_between() -> None:
    Books().run("""
        account  A  0/0  0/100  debits<=credits
        account  B  0/0  0/0    -
        transfer T1 A B  60   pending -  - -     hold     ok
        transfer T2 A B  80   direct  -  - fact  dispute  limit_broken
        transfer T3 - -  max  post    T1 - -     -        ok
        balance  A  0/140  0/100  debits<=credits
    """)


def test_a_limit_is_broken_at_the_end_of_the_group_or_not() -> None:
    Books().run("""
        account  A  0/0  0/0  debits<=credits
        account  B  0/0  0/0  credits<=debits
        account  C  0/0  0/0  -
        linked   T1 A C  10  direct - - fact  fee      ok
        transfer T2 C A  10  direct - - fact  deposit  ok
        transfer T3 C B  10  direct - - fact  payout   limit_broken
        transfer T4 B C  10  direct - - fact  payout   ok
    """)


def test_a_fact_is_booked_on_a_closed_account() -> None:
    Books().run("""
        account  A  0/0  0/0  closed
        account  B  0/0  0/0  -
        transfer T1 B A  10   direct  -  - fact  deposit  ok
        transfer T2 B A  10   direct  -  - -     pay      credit_account_already_closed
        transfer T3 B A  10   pending -  - fact  deposit  ok
        transfer T4 - -  max  post    T3 - -     -        credit_account_already_closed
        transfer T4 - -  max  post    T3 - fact  -        ok
        balance  A  0/0  0/20  closed
    """)
