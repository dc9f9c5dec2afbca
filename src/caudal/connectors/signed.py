"""Signed callbacks, `t=<unix seconds>,v1=<hex HMAC>`: whose secret made it says whether test or live money is meant."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import NamedTuple

from caudal.connectors.model import Mode, NotGenuine


class Secrets(NamedTuple):
    """What signs a provider's callbacks about test and about live money, and how old such a signature may be."""

    test: str | None
    live: str | None
    window_s: int


def verified_mode(
    header: str | None,
    *,
    test: str | None,
    live: str | None,
    signature: Callable[[str, int], str],
    now_s: float,
    window_s: int,
) -> Mode:
    """The mode whose secret verifies. `signature` makes a header of a secret and a time. Raises Refused."""
    parts = dict(part.partition("=")[::2] for part in (header or "").split(","))
    timestamp, given = parts.get("t", ""), parts.get("v1", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and given.isascii()):
        raise NotGenuine("unsigned", "the callback is not signed")
    if abs(now_s - int(timestamp)) > window_s:
        raise NotGenuine("stale", "the callback's signature is too old")
    secrets: tuple[tuple[Mode, str | None], ...] = (("test", test), ("live", live))
    for mode, secret in secrets:
        if secret and hmac.compare_digest(signature(secret, int(timestamp)).rpartition("=")[2], given):
            return mode
    raise NotGenuine("forged", "the callback's signature does not verify")
