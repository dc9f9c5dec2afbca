"""The breaker and the budget for repetitions, second by second, without a clock."""

from __future__ import annotations

import pytest

from caudal.connectors.breaker import Breaker, RetryBudget

# Each line is a second: what a call that enters then comes to (`ok`, `slow`, `no`, or `--` where none is let in), and
# the state right after. The breaker opens after three failures in a row, for five seconds.
STORIES = {
    "it stays closed while failures do not follow each other": """
        0 no closed
        1 no closed
        2 ok closed
        3 no closed
        4 no closed
        5 ok closed
    """,
    "it opens after as many failures in a row as the setting says": """
        0 no closed
        0 no closed
        0 no open
        1 -- open
        4 -- open
    """,
    "two probes that succeed close it": """
        0 no closed
        0 no closed
        0 no open
        5 ok half_open
        5 ok closed
        6 ok closed
    """,
    "a probe that fails opens it for as long again": """
        0 no closed
        0 no closed
        0 no open
        5 ok half_open
        6 no open
        7 -- open
        10 -- open
        11 ok half_open
        11 ok closed
    """,
    "a probe that succeeds too late opens it for as long again": """
        0 no closed
        0 no closed
        0 no open
        5 ok half_open
        6 slow open
        11 ok half_open
        11 ok closed
    """,
    "one that is slow alone is no failure": """
        0 no closed
        0 no closed
        0 slow closed
        1 slow closed
        2 no closed
    """,
    "closed again it counts from the beginning": """
        0 no closed
        0 no closed
        0 no open
        5 ok half_open
        5 ok closed
        6 no closed
        6 no closed
        6 no open
    """,
}


@pytest.mark.parametrize("story", STORIES)
def test_the_breaker(story: str) -> None:
    breaker = Breaker(failures=3, open_s=5.0)
    for line in STORIES[story].strip().splitlines():
        at, outcome, state = line.split()
        ticket = breaker.enter(float(at))
        assert (ticket is None) == (outcome == "--"), line
        if ticket is not None:
            breaker.leave(ticket, float(at), succeeded=outcome != "no", slow=outcome == "slow")
        assert breaker.state(float(at)) == state, line


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker(failures=1, open_s=5.0)
    ticket = breaker.enter(at)
    assert ticket is not None
    breaker.leave(ticket, at, succeeded=False)
    return breaker


def test_one_probe_at_a_time_goes_through() -> None:
    breaker = opened()
    assert breaker.would_admit(5.0)
    probe = breaker.enter(5.0)
    assert probe is not None and not breaker.would_admit(5.0) and breaker.enter(5.0) is None
    breaker.leave(probe, 5.1, succeeded=True)
    assert breaker.enter(5.2) is not None


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    breaker = opened()
    probe = breaker.enter(5.0)
    assert probe is not None
    breaker.leave(probe, 5.1, succeeded=None)
    assert breaker.state(5.1) == "half_open" and breaker.enter(5.1) is not None


def test_a_call_that_began_before_the_breaker_opened_decides_nothing_after() -> None:
    breaker = Breaker(failures=1, open_s=5.0)
    slow, quick = breaker.enter(0.0), breaker.enter(0.0)
    assert slow is not None and quick is not None
    breaker.leave(quick, 0.1, succeeded=False)
    probe = breaker.enter(5.2)
    assert probe is not None
    breaker.leave(slow, 5.3, succeeded=False)
    assert breaker.state(5.3) == "half_open"


def after(outcomes: list[tuple[float, bool]]) -> Breaker:
    breaker = Breaker(failures=1000, open_s=5.0)
    for at, succeeded in outcomes:
        ticket = breaker.enter(at)
        assert ticket is not None, "it opened earlier than expected"
        breaker.leave(ticket, at, succeeded=succeeded)
    return breaker


def test_six_in_ten_of_twenty_tries_failing_opens_it_without_any_row() -> None:
    most = [(place / 10, place % 3 == 0) for place in range(19)]
    assert after(most).state(2.0) == "closed"
    assert after([*most, (2.0, False)]).state(2.0) == "open"


def test_tries_that_fail_and_repetitions_that_do_not_leave_it_closed() -> None:
    assert after([(place / 10, place % 2 == 1) for place in range(60)]).state(6.0) == "closed"


def slowly(outcomes: str) -> Breaker:
    """A breaker after a call a tenth of a second: `s` slow, `f` fast, `x` slow and failed."""
    breaker = Breaker(failures=1000, open_s=5.0)
    for place, outcome in enumerate(outcomes):
        ticket = breaker.enter(place / 10)
        assert ticket is not None, "it opened earlier than expected"
        breaker.leave(ticket, place / 10, succeeded=outcome != "x", slow=outcome in "sx")
    return breaker


def test_six_in_ten_of_twenty_answers_that_are_slow_open_it() -> None:
    assert slowly("ssf" * 6 + "s").state(2.0) == "closed", "nineteen say nothing"
    assert slowly("ssf" * 6 + "ss").state(2.0) == "open"
    assert slowly("sf" * 30).state(6.0) == "closed", "a half is no reason"
    assert slowly("sf" * 30).slow_share(6.0) == 0.5 and slowly("sf" * 30).failure_share(6.0) == 0.0


def test_failures_of_long_ago_do_not_count() -> None:
    old = [(0.0, False)] * 15
    assert after([*old, (25.0, True), *[(26.0, False)] * 4]).state(26.0) == "closed"
    assert after(old).failure_share(9.0) == 1.0
    assert after(old).failure_share(25.0) == 0.0


def test_repetitions_are_a_part_of_the_calls() -> None:
    budget = RetryBudget()
    spent = 0
    for _ in range(1000):
        budget.earn()
        while budget.spend():
            spent += 1
    assert 200 <= spent <= 215, "one in five, and what it began with"


def test_a_quiet_time_saves_no_more_than_the_beginning_had() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == 10
