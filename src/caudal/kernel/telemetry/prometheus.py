"""Readings as a page for Prometheus, text format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from caudal.kernel.telemetry.catalogue import Instrument
from caudal.kernel.telemetry.counts import Histogram, Readings

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def page(readings: Readings, target: Mapping[str, str | int]) -> str:
    """Every metric with its meaning, its kind and its samples; `target` says whose they are."""
    whose = _sample("target_info", [(name.replace(".", "_"), str(value)) for name, value in target.items()], 1)
    head = f"# HELP target_info Whose figures these are.\n# TYPE target_info gauge\n{whose}"
    return head + "".join(chain.from_iterable(_metric(one, samples) for one, samples in readings))


def _metric(one: Instrument, samples: Iterable[tuple[tuple[str, ...], float | Histogram]]) -> Iterator[str]:
    name = one.prometheus
    yield f"# HELP {name} {one.help}\n# TYPE {name} {one.prometheus_kind}\n"
    for values, value in samples:
        labels = [(label, text) for label, text in zip(one.labels, values, strict=True) if text]
        if isinstance(value, Histogram):
            yield from _histogram(name, labels, value)
        else:
            yield _sample(name, labels, value)


def _histogram(name: str, labels: list[tuple[str, str]], value: Histogram) -> Iterator[str]:
    seen = 0
    for bound, count in zip((*map(str, value.bounds), "+Inf"), value.counts, strict=True):
        seen += count
        yield _sample(f"{name}_bucket", [*labels, ("le", bound)], seen)
    yield _sample(f"{name}_sum", labels, value.total)
    yield _sample(f"{name}_count", labels, seen)


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    inside = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in labels)
    number = str(int(value)) if value == int(value) else repr(value)
    return f"{name}{{{inside}}} {number}\n" if inside else f"{name} {number}\n"
