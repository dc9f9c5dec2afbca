"""A step on a caudal that runs: each kind of request is answered as it should be, found again, and accounted for."""

from __future__ import annotations

from dataclasses import replace

from caudal_load.capacity.disk import growth, sizes
from caudal_load.capacity.kept import Level, kept_step
from caudal_load.caudal_up import up_in
from caudal_load.plan import Plan
from caudal_load.scenarios import read
from caudal_load.side import merchants_of
from caudal_load.step import step
from tests.whole import Whole


async def test_a_step_says_what_it_came_to(running: Whole) -> None:
    caudal = up_in(running.var)
    shop = read("shop")
    few = replace(shop, scenario=replace(shop.scenario, stock=40, turns=shop.scenario.turns[:60]))
    plan = Plan.of(few, connections=6, processes=2, seconds=20.0, requests=150, warm_up_s=0.0, merchants=2, up=True)
    cast = await merchants_of(plan, caudal)
    before = sizes(caudal.database_url)
    found = await step(plan, lambda _: None, caudal, cast)
    grown = growth(before, sizes(caudal.database_url), found.figures.acknowledged)
    assert grown["rows"] > 500 and grown["indexes"] >= 0 and {"in key", "in event", "in webhook_delivery"} <= set(grown)
    assert found.acknowledged >= 150 and found.offered_per_s is None and found.errors == {}
    assert found.latencies.total >= found.acknowledged and found.sent_latencies.total == 0
    assert {"web", "worker", "postgres", "sandbox", "generator", "conductor"} <= set(found.cpu_s)
    assert found.memory_mb["web"] > 20 and (found.wal_bytes_per_payment or 0) > 100
    figures = found.figures
    assert (figures.lost, figures.doubled, figures.disagreeing, figures.differing) == (0, 0, 0, 0)
    assert figures.operations > 0 and {"read", "capture", "cancel"} <= set(figures.requests_by_kind)
    assert sum(1 for second in figures.seconds if second.acknowledged) > 0
    kept = kept_step(Level(connections=6), found, grown)
    assert kept.batch is None and not kept.is_median and kept.batch_size == figures.commands_per_batch
    assert kept.batches_per_s and kept.batch_size
    assert kept.batches_per_s * kept.batch_size >= kept.rate, "workers write, too"
    once_more = await step(replace(plan, connections=None, rate=50.0, seconds=1.0, requests=None), print, caudal, cast)
    assert once_more.offered_per_s is not None and once_more.figures.merchants == 2
