"""A run from beginning to end: start, warm up, load in slices, verify, report, end."""

import contextlib
from datetime import UTC, datetime
from typing import Any

from caudal_load.bare import rate
from caudal_load.collector import Collector
from caudal_load.figures import figures
from caudal_load.merchants import SetupFailed
from caudal_load.objectives import judged
from caudal_load.plan import Plan
from caudal_load.processes import commit, machine
from caudal_load.progress import Shown
from caudal_load.report import Report
from caudal_load.seed import Say
from caudal_load.side import Side, side, started

_SLICE_S = 2.0
_LEAD_S = 0.2
"""The unmeasured beginning of every slice of a comparison, in which its side comes up to speed again."""


async def run(plan: Plan, versus: str | None, say: Say, shown: Shown | None = None) -> Report:
    """Run a plan, against its other side if `versus` names one.

    Raises BadPlan, BadSettings, CaudalFailed, SetupFailed, OSError, psycopg.Error, aiohttp.ClientError.
    """
    plans = [plan.checked()] + ([plan.versus(versus)] if versus is not None else [])
    began = datetime.now(UTC)
    async with contextlib.AsyncExitStack() as stack:
        sides, collector = list[Side](), Collector()
        if any(each.telemetry is not None for each in plans):
            address = await collector.start()
            stack.push_async_callback(collector.end)
            plans = [each.telling(address) for each in plans]
        for each in reversed(plans):  # the other side first: where its settings are none, nothing is there yet
            running = await stack.enter_async_context(started(each, say))
            sides.insert(0, await side(each, running, crew=True))
            stack.push_async_callback(sides[0].leave)
        await _load(sides, say, shown)
        for each_side in sides:
            await each_side.settle()
        if any(each.telemetry is not None for each in plans):
            _say_collected(collector, say)
        say("looking for every acknowledged payin …")
        results = []
        for each_side in sides:
            for status, body in each_side.loop.tally.refusals.items():
                say(f"first {status}: {body[:400].decode(errors='replace')}")
            verdict = await each_side.verify()
            for kind, references in verdict.found_wrong():
                if references:
                    say(f"{kind}: {', '.join(references[:5])}{' …' if len(references) > 5 else ''}")
            results.append(await figures(each_side, verdict))
    return Report(
        scenario=plan.scenario.name,
        seconds=plan.seconds,
        warm_up_s=plan.warm_up_s,
        figures=results[0],
        slo=judged(plan.slo, results[0]),
        versus=versus,
        other=results[1] if versus is not None else None,
        began=began.isoformat(timespec="seconds").replace("+00:00", "Z"),
        commit=commit(),
        text=plan.text,
        machine=machine(),
    )


def _say_collected(collector: Collector, say: Say) -> None:
    """What came to the collector. Raises SetupFailed where nothing did: nothing was measured then."""
    if not collector.spans or "http.server.request.duration" not in collector.metrics:
        raise SetupFailed("telemetry was on, and no traces or no metrics came to the collector")
    kinds = len({span.name for span in collector.spans})
    told = f"{len(collector.spans):,} spans of {kinds} kinds and {len(collector.metrics)} metrics"
    say(f"collected: {told}, {collector.bytes / 1e6:.1f} MB in {collector.requests} requests")


async def against_bare(plan: Plan, say: Say) -> dict[str, Any]:
    """The product's rate beside the bare write path's, in turn on one server. Raises as `run` does."""
    slices, bare = max(1, round(plan.seconds / _SLICE_S)), list[float]()
    async with started(plan.checked(), say) as running:
        assert running.database_url is not None and plan.connections is not None, "a closed loop on a caudal of our own"
        product = await side(plan, running)
        await product.connect()
        for index in range(slices):
            await product.load(_LEAD_S if index else plan.warm_up_s, _SLICE_S)
            bare.append(await rate(running.database_url, plan.connections, _SLICE_S))
            say(f"slice {index + 1} of {slices}: {product.loop.tally.rate:,.0f}/s against {bare[-1]:,.0f}/s")
        await product.loop.end()
        verdict = await product.verify()
    return {
        "rate": product.loop.tally.rate,
        "bare_rate": round(sum(bare) / len(bare), 1),
        "ratio": round(product.loop.tally.rate * len(bare) / sum(bare), 3),
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "machine": machine(),
    }


async def _load(sides: list[Side], say: Say, shown: Shown | None) -> None:
    """Load the sides in turn, A B A B …, so that an hour in which the machine is slow is slow for both."""
    for each in sides:
        await each.connect()
    plan = sides[0].plan
    slices = max(1, round(plan.seconds / _SLICE_S)) if len(sides) > 1 and not plan.phases else 1
    for index in range(slices):
        for each in sides:
            async with contextlib.nullcontext() if shown is None or slices > 1 else shown.over(each):
                await each.load(_LEAD_S if index else plan.warm_up_s, plan.seconds / slices)
        rates = " against ".join(f"{each.loop.tally.rate:,.0f}/s" for each in sides)
        say(f"slice {index + 1} of {slices}: {rates}" if slices > 1 else f"{rates}")
    for each in sides:
        await each.loop.end()
