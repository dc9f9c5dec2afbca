"""A database that fails over under load: the primary dies, its standby is promoted, and nobody tells caudal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from caudal_load.failover import Failover, failover

pytestmark = pytest.mark.server

PLAN = Failover(seconds=4.8, connections=4, noticed_s=0.3)


async def test_nothing_is_lost_or_double_when_the_database_fails_over(say: Callable[[str], None]) -> None:
    outcome = await failover(PLAN, lambda _: None, {})
    told = f"{outcome.acknowledged} acknowledged, {outcome.lost} lost, {outcome.doubled} doubled"
    say(f"{told}; {outcome.unknown_commits} without an answer; {outcome.without_service_s} s without service")
    assert outcome.acknowledged and outcome.rate_before
    assert (outcome.lost, outcome.doubled, outcome.disagreeing, outcome.refused_and_there) == (0, 0, 0, 0)
    assert outcome.contradictory == 0, "what was unknown has one answer"
    assert sum(outcome.unknown_commits.values()), "no commit was under way: this tested nothing"
    assert not outcome.restarted
    assert outcome.check == 0
    assert outcome.without_service_s < PLAN.seconds - PLAN.fault_at_s, "traffic goes on"
