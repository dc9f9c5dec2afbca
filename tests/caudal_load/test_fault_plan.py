"""The plan of faults: from a seed, as often as asked, one after the other where they take the rate down."""

from __future__ import annotations

import itertools

import pytest

from caudal_load.faults.kinds import KINDS, LINKS, ORDERS, chosen
from caudal_load.faults.model import BadFaults, plan_from_json
from caudal_load.faults.plan import HEAD_S, plan_of
from caudal_sandbox.provider.magic import TABLE

BEFORE_RECOVERY = {kind.name: kind.rest_s for kind in KINDS}


def test_every_fault_is_planned_as_often_as_asked() -> None:
    planned = plan_of(7, 600.0, each=5).planned()
    assert set(planned.values()) == {5}
    assert set(planned) == {f"{kind.name}:{target}" for kind in KINDS for target in kind.targets}


def test_the_same_seed_makes_the_same_plan_and_another_one_another() -> None:
    assert plan_of(7, 300.0) == plan_of(7, 300.0)
    assert plan_of(7, 300.0) != plan_of(8, 300.0)


def test_a_plan_that_was_kept_is_the_plan() -> None:
    plan = plan_of(7, 300.0)
    assert plan_from_json(plan.as_json()) == plan


def test_faults_that_take_the_rate_down_leave_each_other_time_to_recover() -> None:
    faults = [fault for fault in plan_of(3, 600.0, each=5).faults if fault.kind != "provider"]
    main = [fault for fault in faults if fault.target not in ("callback", "webhook")]
    assert main[0].at_s >= HEAD_S
    for former, following in itertools.pairwise(main):
        assert following.at_s >= former.at_s + former.for_s + BEFORE_RECOVERY[former.kind] - 0.01
    assert main[-1].at_s + main[-1].for_s <= 600.0


def test_a_kind_means_all_its_targets_and_a_target_itself() -> None:
    assert [target for _, target in chosen(["reset"])] == list(LINKS)
    assert [(kind.name, target) for kind, target in chosen(["kill:web", "kill:web"])] == [("kill", "web")]
    assert len(chosen(["kill", "kill:web"])) == len(chosen(["kill"]))


@pytest.mark.parametrize(
    ("names", "says"),
    [(["kil"], "there is no kind of fault 'kil'"), (["kill:moon"], "not to 'moon'"), (["disk_full:web"], "not to")],
)
def test_a_name_that_means_nothing_is_refused(names: list[str], says: str) -> None:
    with pytest.raises(BadFaults, match=says):
        plan_of(1, 600.0, names)


def test_a_plan_that_does_not_fit_says_how_long_it_takes() -> None:
    with pytest.raises(BadFaults, match=r"need \d+ s, and there are 30"):
        plan_of(1, 30.0, each=3)


def test_what_is_no_plan_is_told_so() -> None:
    with pytest.raises(BadFaults, match="no plan"):
        plan_from_json('{"seed": 1}')


def test_every_order_of_the_sandboxs_table_is_a_fault() -> None:
    assert {row.what: row.value for row in TABLE if row.part != "card"} == ORDERS
