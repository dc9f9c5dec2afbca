"""What is earned, taken and given back: from which account, for which day, and what is due."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from caudal.kernel.errors import Refused
from caudal.ledger import Purpose
from caudal.settlement import Split, needs
from caudal.settlement.model import accounts_of_release, release_id
from tests.settlement.till import BOOK, Till

TODAY, TOMORROW = date(2026, 11, 23), date(2026, 11, 24)
DAY = timedelta(days=1)


def refunded(till: Till, amount: int, fee: int = 0, *, day: date = TOMORROW, beyond: bool = False) -> Split:
    split = till.take(amount, fee, day=day, beyond=beyond)
    assert isinstance(split, Split)
    return split


def test_what_a_day_earns_is_one_row_and_one_piece_of_work() -> None:
    till = Till()
    for _ in range(3):
        till.earn(10_000, 400)
    [row] = till.releases()
    assert (row.id, row.day, row.version, row.amount_minor) == (release_id(BOOK, "MXN", TOMORROW), TOMORROW, 3, 28_800)
    assert [(due.at, due.kind, due.subject) for due in till.due.values()] == [
        (datetime(2026, 11, 24, tzinfo=UTC), "funds.release", row.id)
    ]
    assert (till.pending, till.available) == (28_800, 0)


def test_it_becomes_available_when_its_day_begins() -> None:
    till = Till()
    till.earn(10_000, 400)
    till.at = datetime(2026, 11, 23, 23, 59, 59, 999_999, tzinfo=UTC)
    assert (till.work(), till.pending) == (0, 9_600)
    till.at = datetime(2026, 11, 24, tzinfo=UTC)
    assert (till.work(), till.pending, till.available) == (9_600, 0, 9_600)
    [row] = till.releases()
    assert (row.amount_minor, row.released_minor, row.due_at, till.due) == (0, 9_600, None, {})


def test_without_days_it_is_due_at_once() -> None:
    till = Till()
    till.earn(10_000, days=0)
    assert (till.pending, till.work(), till.available) == (10_000, 10_000, 10_000)


def test_more_for_a_day_that_was_released_is_due_again() -> None:
    till = Till()
    for amount in (100, 20, 3):
        till.earn(amount, days=0)
        assert till.work() == amount
    [row] = till.releases()
    assert (row.released_minor, till.available, till.due) == (123, 123, {})


def test_work_that_comes_twice_releases_once() -> None:
    till = Till()
    till.earn(10_000)
    [due] = till.due.values()
    till.at += DAY
    assert [till.look(due), till.look(due)] == [10_000, 0]
    assert till.available == 10_000


def test_a_moved_clock_moves_the_work() -> None:
    till = Till()
    till.earn(10_000, days=3)
    [due] = till.due.values()
    till.offset = DAY
    assert till.look(due) == 0
    assert [piece.at for piece in till.due.values()] == [datetime(2026, 11, 25, tzinfo=UTC)]
    till.earn(1)
    assert datetime(2026, 11, 24, tzinfo=UTC) in {piece.at for piece in till.due.values()}, "for the 25th, book time"
    till.offset = 3 * DAY
    for piece in list(till.due.values()):
        till.look(piece)
    assert (till.available, till.due) == (10_001, {})


def test_a_fee_beyond_the_day_comes_from_what_is_available() -> None:
    till = Till()
    moved = till.earn(800, 1_000)
    assert (moved.fee_from_pending_minor, moved.fee_from_available_minor) == (800, 200)
    assert (till.pending, till.available, till.due) == (0, -200, {})
    assert (till.lines[-1].gross_minor, till.lines[-1].fee_minor, till.lines[-1].net_minor) == (800, 1_000, -200)
    till.earn(500)
    assert till.earn(0, 300).fee_from_pending_minor == 300


def test_a_refund_takes_first_what_its_day_still_holds() -> None:
    till = Till()
    till.earn(500, days=0)
    till.work()
    till.earn(1_000)
    assert refunded(till, 700)[:4] == (700, 0, 0, 0)
    assert refunded(till, 500, 50)[:4] == (300, 200, 0, 50)
    assert (till.pending, till.available) == (0, 250)


def test_other_days_are_not_touched_by_a_refund() -> None:
    till = Till()
    till.earn(1_000, days=2)
    assert isinstance(till.take(1, day=TOMORROW), Refused)
    assert till.pending == 1_000


def test_a_refund_beyond_the_balance_is_refused_and_leaves_nothing() -> None:
    till = Till()
    till.earn(1_000)
    lines, releases = list(till.lines), till.releases()
    for amount, fee in ((1_001, 0), (1_000, 1)):
        refusal = till.take(amount, fee, day=TOMORROW)
        assert isinstance(refusal, Refused) and refusal.code == "insufficient_funds"
    assert (till.lines, till.releases()) == (lines, releases)
    assert refunded(till, 1_000).from_pending_minor == 1_000


def test_a_refund_may_go_beyond_the_balance_where_the_merchant_may() -> None:
    till = Till()
    till.earn(1_000)
    assert refunded(till, 1_500, 10, beyond=True)[:4] == (1_000, 500, 0, 10)
    assert (till.pending, till.available) == (0, -510)


def test_what_is_all_pending_can_be_refunded_while_less_than_nothing_is_available() -> None:
    till = Till()
    till.earn(0, 300)
    till.earn(1_000)
    assert refunded(till, 1_000)[:2] == (1_000, 0)


def test_a_failed_refund_gives_each_part_back_where_it_was() -> None:
    till = Till()
    till.earn(500, days=0)
    till.work()
    till.earn(1_000)
    split = refunded(till, 1_200, 100)
    back = till.give_back(1_200, 100, parts=split.parts)
    assert back[:4] == (1_000, 200, 0, 100)
    assert (till.pending, till.available) == (1_000, 500)
    till.at += DAY
    assert till.work() == 1_000


def test_a_day_that_was_emptied_waits_again_when_its_money_comes_back() -> None:
    till = Till()
    till.earn(1_000)
    split = refunded(till, 1_000)
    till.give_back(1_000, parts=split.parts)
    till.at += DAY
    assert (till.work(), till.due) == (1_000, {})


def test_money_that_comes_back_after_its_day_is_available() -> None:
    till = Till()
    till.earn(1_000)
    split = refunded(till, 600)
    till.at += DAY
    back = till.give_back(600, parts=split.parts)
    assert (back.to_pending_minor, back.to_available_minor) == (0, 600)
    till.work()
    assert (till.pending, till.available) == (0, 1_000)


def test_a_disputed_amount_is_held_and_only_its_fee_is_gone() -> None:
    till = Till()
    till.earn(1_000)
    till.take(1_000, 70, day=TOMORROW, beyond=True, kind="dispute")
    assert (till.pending, till.available, till.balance(Purpose.DISPUTED)) == (0, -70, 1_000)
    assert till.lines[-1].net_minor == -70
    till.give_back(1_000, parts=((TOMORROW, 1_000),), kind="dispute_won")
    assert (till.pending, till.balance(Purpose.DISPUTED), till.lines[-1].net_minor) == (1_000, 0, 0)


def test_a_lost_dispute_is_gone() -> None:
    till = Till()
    till.earn(1_000)
    till.take(1_000, day=TOMORROW, beyond=True, kind="dispute")
    till.lose(1_000)
    assert sum(row.net_minor for row in till.lines) == 0


def test_needs_name_every_row_that_is_looked_at() -> None:
    till = Till()
    till.earn(500, days=0)
    till.work()
    till.looked.clear()
    till.earn(1_000, 2_000)
    till.take(2_000, day=TOMORROW, beyond=True)
    till.give_back(2_000, parts=((TOMORROW, 100),))
    wanted = {(table.name, key) for table, key in needs(BOOK, "MXN", TOMORROW)}
    mine = {place for place in till.looked if place[0] != "account" or place[1] >> 16 == BOOK}
    assert mine == wanted


def test_currencies_do_not_mix() -> None:
    till = Till()
    till.earn(1_000, currency="BRL")
    assert isinstance(till.take(1, day=TOMORROW), Refused)
    assert (till.pending, till.balance(Purpose.PENDING, "BRL")) == (0, 1_000)


def test_an_id_says_book_currency_and_day_in_this_order() -> None:
    ids = [
        release_id(book, currency, day)
        for book in (2, 2**40)
        for currency in ("BHD", "KES", "BRL")
        for day in (TODAY, TOMORROW)
    ]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    assert str(release_id(2, "MXN", TODAY)) == "00000000-0002-81e4-8000-00000000512c"
    assert accounts_of_release(release_id(2, "MXN", TODAY)) == (162_049, 162_050)
