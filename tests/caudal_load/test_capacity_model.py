"""What the fit of a run says: the highest rate within the SLO, what saturates first, and what a wanted rate needs."""

import math
import re
from dataclasses import replace
from pathlib import Path
from random import Random

import msgspec
import pytest

from caudal_load.capacity.answer import answered
from caudal_load.capacity.check import checked
from caudal_load.capacity.kept import KeptStep, load, save
from caudal_load.capacity.laws import Batches
from caudal_load.capacity.model import Model, modelled, told
from caudal_load.capacity.pages import rendered
from caudal_load.capacity.sizing import EXAMPLE, BadPrices, Wanted, needs, one_postgresql, read_prices
from caudal_load.capacity.solve import Unsolvable
from caudal_load.html.capacity import capacity_page
from tests.caudal_load.capacity_cast import ALONE, EACH, POSTGRES, RATES, WEB, above, closed, kept, missed, opened

PRICES = read_prices()
WANTED = Wanted(rate=10_000.0, utilisation=0.5, mean=0.25, prices=PRICES)


@pytest.fixture(scope="module")
def model() -> Model:
    """Of the whole staircase, exactly."""
    return modelled(kept(), slo_ms=30.0, draws=20)


def noisy(step: KeptStep, random: Random) -> KeptStep:
    """The same at another moment of a shared machine."""
    factor, slower = random.gauss(1, 0.03), random.gauss(1, 0.06)
    cores = {kind: used * random.gauss(1, 0.03) for kind, used in step.cores.items()}
    rate = step.rate * factor if step.offered is None else step.rate
    return msgspec.structs.replace(
        step, rate=rate, p50_ms=step.p50_ms * slower, p99_ms=step.p99_ms * slower, cores=cores
    )


def test_the_highest_rate_within_the_slo_is_where_the_law_crosses_it(model: Model) -> None:
    # 1 + 8 / (1 − r / 10,000) = 30
    assert model.surely(model.within_slo).value == pytest.approx(7241, rel=0.01)
    assert model.bracket == (7000.0, 8000.0)


def test_no_more_is_said_than_was_seen() -> None:
    generous = modelled(kept(), slo_ms=1000.0, draws=2)
    assert generous.within_slo(generous.fit) == 8000.0, "the law would say 9,920"


def test_where_the_slo_is_always_missed_no_rate_is_within_it() -> None:
    strict = modelled(kept(), slo_ms=8.0, draws=2)
    assert strict.within_slo(strict.fit) == 0
    with pytest.raises(Unsolvable, match="at no rate"):
        needs(strict, WANTED)
    assert answered(strict.kept, 8.0, [WANTED], draws=2).sized[0].needs == {}


def test_what_saturates_first_stands_first_and_each_at_its_rate(model: Model) -> None:
    found = {one.resource: one.rate.value for one in model.saturations()}
    assert found["chain"] == pytest.approx(1 / EACH, rel=0.01)
    assert found["web"] == pytest.approx((1 - WEB[0]) / WEB[1], rel=0.01)
    assert found["postgres"] == pytest.approx((2 - POSTGRES[0]) / POSTGRES[1], rel=0.01)
    assert found["machine"] == pytest.approx((2 - 0.16) / 0.000_17, rel=0.01), "web, PostgreSQL, worker, generator"
    assert found["disk"] == pytest.approx(240e6 / 12_000)
    assert [one.resource for one in model.saturations()][:2] == ["chain", "machine"]


def test_a_wanted_rate_is_what_was_measured_as_often_as_it_takes(model: Model) -> None:
    found = {name: one.value for name, one in needs(model, WANTED).items()}
    # two shards at 5,000/s each: web 0.45, PostgreSQL 0.4, worker 0.06 cores, at half of a core used
    assert (found["shards"], found["web_processes"], found["database_cores"], found["worker_processes"]) == (2, 2, 2, 1)
    assert found["wal_mb_per_s"] == pytest.approx(40) and found["disk_mb_per_s"] == pytest.approx(120)
    assert found["memory_gb"] == pytest.approx((2 * 100 + 50 + 200) / 1e3)
    day_gb = 10_000 * 0.25 * 86_400 / 1e9
    assert found["grows_gb_per_day"] == pytest.approx(day_gb * 3000)
    kept_gb = day_gb * (2400 * PRICES.kept_days + 600 * PRICES.table_days["key"])
    assert found["kept_gb"] == pytest.approx(kept_gb)
    assert found["cost_month"] == pytest.approx(
        5 * PRICES.core_month + (0.45 + day_gb * 3000) * PRICES.memory_gb_month + kept_gb * PRICES.disk_gb_month
    )


def test_the_databases_cache_is_the_growth_of_so_many_days_and_is_paid_for(model: Model) -> None:
    day = {name: one.value for name, one in needs(model, WANTED).items()}
    prices = msgspec.structs.replace(PRICES, cached_days=0.5)
    half = {name: one.value for name, one in needs(model, replace(WANTED, prices=prices)).items()}
    assert (day["cache_gb"], half["cache_gb"]) == (day["grows_gb_per_day"], day["grows_gb_per_day"] / 2)
    saved = day["cost_month"] - half["cost_month"]
    assert saved == pytest.approx(half["cache_gb"] * PRICES.memory_gb_month)
    assert "the growth of 0.5 days: a rule" in answered(kept(), 30.0, [replace(WANTED, prices=prices)]).remarks[0]


def test_a_step_above_the_most_of_the_law_is_told() -> None:
    assert answered(kept(), 30.0, [], draws=2).remarks == []
    [remark] = answered(above(), 30.0, [], draws=2).remarks
    assert "9,310/s, is below the 9,900/s that 128 connections had" in remark


def test_a_small_rate_needs_one_of_each(model: Model) -> None:
    found = {name: one.value for name, one in needs(model, replace(WANTED, rate=100.0)).items()}
    assert [found[name] for name in ("shards", "web_processes", "worker_processes", "database_cores")] == [1, 1, 1, 1]


def test_a_measured_unit_of_two_shards_is_halved_where_one_is_enough() -> None:
    pair = modelled(kept(*kept().steps, shards=2), slo_ms=30.0, draws=2)
    assert needs(pair, replace(WANTED, rate=3000.0))["shards"].value == 1
    assert needs(pair, replace(WANTED, rate=4000.0))["shards"].value == 2
    assert needs(pair, WANTED)["shards"].value == 3


def test_one_postgresql_ends_by_cores_or_by_its_disk(model: Model) -> None:
    ends = one_postgresql(model, WANTED)
    within = 7241
    used = POSTGRES[0] + POSTGRES[1] * within
    assert ends["its cores"].value == pytest.approx(within * PRICES.database_cores * 0.5 / used, rel=0.01)
    assert ends["its disk"].value == pytest.approx(PRICES.database_disk_mb_per_s * 1e6 / 12_000)
    assert needs(model, replace(WANTED, rate=1e6))["databases"].value == 12, "12,000 MB/s"


def test_exact_steps_have_no_spread_and_noise_has_one_around_the_truth(model: Model) -> None:
    exact = model.surely(lambda fit: fit.cores["web"].each)
    assert exact.low == pytest.approx(exact.high)
    random = Random(3)
    spread = modelled(kept(*(noisy(step, random) for step in kept().steps)), slo_ms=30.0, draws=100)
    for found, truth in (
        (spread.surely(lambda fit: fit.cores["web"].each), WEB[1]),
        (spread.surely(lambda fit: fit.cores["postgres"].each), POSTGRES[1]),
        (spread.surely(spread.within_slo), 7241),
    ):
        assert found.low < found.value < found.high and found.low * 0.97 <= truth <= found.high * 1.03
        assert found.high / found.low < 1.35


def test_the_same_run_says_the_same() -> None:
    random = Random(3)
    run = kept(*(noisy(step, random) for step in kept().steps))
    once, again = (answered(run, 30.0, [WANTED], draws=5).as_json() for _ in range(2))
    assert once == again


def test_every_inner_step_is_predicted_without_itself() -> None:
    check = checked(kept())
    assert check.passed and {one.figure for one in check.held_out} == {
        "rate",
        "web cores",
        "postgres cores",
        "p50 ms",
        "p99 ms",
    }
    assert {one.step for one in check.predictions if one.figure == "rate"} == {
        f"{n} connections" for n in (2, 4, 8, 16, 32, 64, 128)
    }
    assert {one.step for one in check.held_out} == {"128 connections", "6,000 offered/s"}
    assert all(abs(one.deviation) < 0.02 for one in check.predictions)


def test_nothing_is_said_to_be_predicted_where_a_loop_has_no_step_to_spare() -> None:
    few = checked(kept(*kept().closed, *(opened(rate) for rate in RATES[:4])))
    assert not few.passed and few.figures == ["rate"] and all(one.near for one in few.held_out)


def test_a_step_that_does_not_follow_the_law_is_told() -> None:
    odd = [opened(r, stretch=1.4 if r == 6000 else 1.0) for r in RATES]
    check = checked(kept(*(closed(n) for n in (1, 4, 16, 64)), *odd))
    wrong = {one.figure for one in check.held_out if not one.near}
    assert not check.passed and {"web cores", "p99 ms"} <= wrong and "postgres cores" not in wrong


def test_of_two_steps_at_a_rate_the_quieter_one_is_fitted(model: Model) -> None:
    stalled = [*kept().steps, opened(2000.0, stretch=30.0), opened(6000.0, stretch=3.0)]
    found = modelled(kept(*stalled), 30.0, draws=1).fit
    assert found.delay == model.fit.delay and found.cores == model.fit.cores


def test_where_batches_are_known_their_cost_is_told_from_a_payments() -> None:
    found = modelled(kept(*(_sized(step) for step in kept().steps)), 30.0, draws=1).fit.cores["web"]
    assert (found.base, found.each, found.batch) == pytest.approx((0, 0.0001, 0.002), rel=0.01)
    for step in map(_sized, kept().open[:-1]):
        assert found.batches.per_s(step.rate) == pytest.approx(step.batches_per_s, rel=0.001)


def _sized(step: KeptStep) -> KeptStep:
    """With batches as the law has them, two commands a payment, and what the API processes use for both."""
    law = Batches(limit=1 / EACH, alone=ALONE, commands=2.0)
    batches = law.per_s(min(step.rate, 0.89 / EACH))
    sized = msgspec.structs.replace(step, batches_per_s=batches, commands_per_batch=2 * step.rate / batches)
    return msgspec.structs.replace(sized, cores={**step.cores, "web": 0.0001 * step.rate + 0.002 * batches})


def test_steps_that_know_a_median_alone_are_read_and_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.capacity.pages._DRAWS", 1)
    save(kept(*(msgspec.structs.replace(step, batch=20) for step in kept().steps)), tmp_path / "old.json")
    old, text = load(tmp_path / "old.json"), (tmp_path / "old.json").read_text()
    (tmp_path / "old.json").write_text(text.replace('"commands_per_batch": null, "batches_per_s": null, ', ""))
    assert load(tmp_path / "old.json") == old and all(step.batch_size == 20 for step in old.steps)
    answer = answered(old, 30.0, [], draws=1)
    assert answer.remarks == [
        "of 7 fitted steps a median of their batches is known, not commands ÷ batches: what a batch costs, and how many"
        " there are, is off by as much as the two differ"
    ]
    assert "<td>20 (median)</td>" in capacity_page(answer)
    assert "`old` is from a median of its batches" in rendered("<!-- figures: fits old -->\n<!-- end -->", tmp_path)
    sized = answered(kept(*map(_sized, kept().steps)), 30.0, [], draws=1)
    assert sized.remarks == [] and "(median)" not in capacity_page(sized)


def test_a_step_that_misses_counts_for_no_law_but_bounds_the_limit() -> None:
    with_it, without = (modelled(kept(*steps), 30.0, draws=2) for steps in (kept().steps, kept().steps[:-1]))
    assert with_it.fit.cores == without.fit.cores and with_it.seen == 8000
    assert missed(12_000.0).keeps_up is False and with_it.fit.delay.limit <= 12_000


def test_too_few_steps_are_refused() -> None:
    for steps in ([closed(1), *kept().open], [*kept().closed, opened(500.0), opened(1000.0)]):
        with pytest.raises(Unsolvable):
            modelled(kept(*steps), 30.0)


def test_prices_of_ones_own_are_read_and_mistakes_are_named(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'currency = "BRL"\ncore_month = 1\nmemory_gb_month = 2\ndisk_gb_month = 3\n'
        "database_cores = 4\ndatabase_disk_mb_per_s = 5\nkept_days = 6\n"
    )
    assert read_prices(mine).currency == "BRL"
    mine.write_text('currency = "BRL"\ncores = 1\n')
    with pytest.raises(BadPrices, match="cores"):
        read_prices(mine)
    with pytest.raises(BadPrices, match=r"none\.toml"):
        read_prices(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_cores", "0"),
        ("database_cores", "-4"),
        ("database_disk_mb_per_s", "0"),
        ("core_month", "-25"),
        ("memory_gb_month", "nan"),
        ("disk_gb_month", "inf"),
        ("kept_days", "-1"),
        ("cached_days", "-0.5"),
        ("key", "-30"),
    ],
)
def test_prices_and_sizes_that_nothing_can_have_are_named(tmp_path: Path, name: str, value: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(re.sub(rf"(?m)^{name} = \S+", f"{name} = {value}", EXAMPLE.read_text()))
    with pytest.raises(BadPrices, match="table_days" if name == "key" else name):
        read_prices(mine)


def test_three_digits_are_told() -> None:
    assert [told(value) for value in (12_345.0, 0.12345, 999.4, 999.6, math.inf)] == [
        "12,300",
        "0.123",
        "999",
        "1,000",
        "∞",
    ]
