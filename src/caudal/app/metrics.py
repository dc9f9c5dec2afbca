"""The figures of this process as a page for Prometheus (text format 0.0.4): providers, the shard's queue, commits.

Counted in plain memory since the process began; another process has a page of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Final

from caudal.connectors import Link, links
from caudal.kernel.commit import Shard
from caudal.kernel.context import Context
from caudal.kernel.http import Request, Response
from caudal.merchants import authenticate_operator

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_STATES: Final = ("closed", "half_open", "open")

Sample = tuple[str, dict[str, str], float]


async def metrics(context: Context, request: Request) -> Response:
    """The page."""
    await authenticate_operator(context, request)
    return Response(body=page(context).encode(), content_type=CONTENT_TYPE)


def page(context: Context) -> str:
    """Every metric with its meaning, its kind and its samples."""
    asked = [link for link in links(context) if link.provider.url is not None]
    return "".join([*_of_providers(asked), *_of_shards(context.shards.values()), *_of_process()])


def _of_providers(asked: list[Link]) -> Iterator[str]:
    told = [({"provider": link.provider.name, "mode": link.provider.mode}, link.around.health()) for link in asked]
    name = "caudal_provider"
    yield _metric(
        f"{name}_breaker_state",
        "gauge",
        "1 for the state that the breaker is in.",
        [({**of, "state": state}, float(now.breaker == state)) for of, now in told for state in _STATES],
    )
    yield _metric(
        f"{name}_forced",
        "gauge",
        "1 where an operator has forced the breaker to this state.",
        [({**of, "state": state}, float(now.forced == state)) for of, now in told for state in ("closed", "open")],
    )
    for suffix, kind, meaning, values in (
        ("drained", "gauge", "1 where no new payments go.", [float(now.drained) for _, now in told]),
        ("in_flight", "gauge", "Tries under way.", [now.in_flight for _, now in told]),
        ("calls_total", "counter", "Calls.", [now.calls for _, now in told]),
        ("failed_total", "counter", "Calls that stayed without an outcome.", [now.failed for _, now in told]),
        ("turned_away_total", "counter", "Tries that were not made.", [now.turned_away for _, now in told]),
        ("repeated_total", "counter", "Tries beyond a call's first.", [now.repeated for _, now in told]),
    ):
        yield _metric(f"{name}_{suffix}", kind, meaning, list(zip((of for of, _ in told), values, strict=True)))
    yield _head(f"{name}_seconds", "histogram", "How long tries took.")
    for (of, _), link in zip(told, asked, strict=True):
        yield from _histogram(f"{name}_seconds", of, link)


def _histogram(name: str, of: dict[str, str], link: Link) -> Iterator[str]:
    bounds, counts, total_s = link.around.histogram()
    seen = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        seen += count
        yield _sample(f"{name}_bucket", {**of, "le": bound}, seen)
    yield _sample(f"{name}_sum", of, total_s)
    yield _sample(f"{name}_count", of, seen)


def _of_shards(shards: Iterable[Shard]) -> Iterator[str]:
    told = [({"shard": str(shard.id)}, shard) for shard in shards]
    for suffix, kind, meaning, values in (
        ("queue_length", "gauge", "Commands that wait.", [len(shard.lanes) for _, shard in told]),
        ("drain_per_second", "gauge", "Commands that commit.", [shard.lanes.drain_per_s for _, shard in told]),
        ("batches_total", "counter", "Batches that committed.", [shard.batches for _, shard in told]),
        ("commands_total", "counter", "Commands that committed.", [shard.commands for _, shard in told]),
        ("reruns_total", "counter", "Batches that ran again.", [shard.reruns for _, shard in told]),
        ("unknowns_total", "counter", "Commits whose outcome had to be looked for.", [s.unknowns for _, s in told]),
        ("alarms_total", "counter", "Commands that broke: look into the log.", [shard.alarms for _, shard in told]),
    ):
        yield _metric(f"caudal_shard_{suffix}", kind, meaning, list(zip((of for of, _ in told), values, strict=True)))


def _of_process() -> Iterator[str]:
    yield _metric("caudal_process_info", "gauge", "Whose figures these are.", [({"pid": str(os.getpid())}, 1)])


def _metric(name: str, kind: str, meaning: str, samples: Iterable[tuple[dict[str, str], float]]) -> str:
    return _head(name, kind, meaning) + "".join(_sample(name, labels, value) for labels, value in samples)


def _head(name: str, kind: str, meaning: str) -> str:
    return f"# HELP {name} {meaning}\n# TYPE {name} {kind}\n"


def _sample(name: str, labels: dict[str, str], value: float) -> str:
    """Labels are names of providers, which have nothing to be escaped, and words of ours."""
    inside = ",".join(f'{label}="{text}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {value:g}\n" if value != int(value) else f"{name}{{{inside}}} {int(value)}\n"
