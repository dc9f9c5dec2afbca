"""Pages for Prometheus, read back: one of each process, all at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:  # every command's module is loaded by all of them, and this one's client is a third of a start
    import aiohttp

_SAMPLE: Final = re.compile(r"([a-z_0-9]+)(?:\{(.*)\})? ([-+.0-9a-zA-Z]+)")
_LABEL: Final = re.compile(r'([a-z_0-9]+)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")
_TIMEOUT_S: Final = 2.0

Labels = tuple[tuple[str, str], ...]
Samples = dict[str, dict[Labels, float]]


class Page(NamedTuple):
    """What a process said of itself, when; without samples where it did not answer, and why.

    `at` measures what passes between two looks; `clock` is Unix time, as the times on the page are.
    """

    at: float
    samples: Samples
    trouble: str = ""
    clock: float = 0.0


def parsed(page: str) -> Samples:
    """Name → labels → value, of a page in Prometheus' text format. What is no sample is passed over."""
    found: Samples = {}
    for line in page.splitlines():
        match = None if line.startswith("#") else _SAMPLE.fullmatch(line)
        if match is not None:
            try:
                value = float(match[3])
            except ValueError:
                continue
            labels = tuple((name, _ESCAPED.sub(_meant, text)) for name, text in _LABEL.findall(match[2] or ""))
            found.setdefault(match[1], {})[labels] = value
    return found


def _meant(escaped: re.Match[str]) -> str:
    return "\n" if escaped[1] == "n" else escaped[1]


async def read(session: aiohttp.ClientSession, addresses: Mapping[str, str]) -> dict[str, Page]:
    """The page of each process, by its name."""
    pages = await asyncio.gather(*(_one(session, address) for address in addresses.values()))
    return dict(zip(addresses, pages, strict=True))


async def _one(session: aiohttp.ClientSession, address: str) -> Page:
    import aiohttp

    try:
        async with session.get(f"{address}/metrics", timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as answer:
            answer.raise_for_status()
            return Page(monotonic(), parsed(await answer.text()), clock=time())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Page(monotonic(), {}, str(error) or type(error).__name__)
