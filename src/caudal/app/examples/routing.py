"""A routing profile: large card payments where they cost least, the others divided."""

from __future__ import annotations

from typing import Any, Final

PROFILE_ID: Final = "rprof_01a1ac2e54d87c0f800000c8b1d2e3f4"
_RULES: Final[list[dict[str, Any]]] = [
    {
        "name": "large cards",
        "when": {"methods": ["card"], "currencies": ["BRL"], "amount_from": 100_000},
        "choose": {"by": "least_cost"},
    },
    {"name": "the rest", "when": {}, "choose": {"by": "split", "shares": {"sandbox": 100}}},
]
_EMPTY: Final[dict[str, Any]] = {
    **{name: [] for name in ("countries", "methods", "currencies", "bins")},
    "amount_from": None,
    "amount_to": None,
    "metadata": {},
    "risk_from": None,
    "risk_to": None,
}
_NOBODY: Final[dict[str, Any]] = {"providers": [], "shares": {}}
ASKED: Final[dict[str, Any]] = {"name": "cards by cost", "max_attempts": 2, "rules": _RULES}
PROFILE: Final[dict[str, Any]] = {
    "id": PROFILE_ID,
    "object": "routing_profile",
    "mode": "test",
    "version": 1,
    "active": False,
    **ASKED,
    "rules": [{**rule, "when": _EMPTY | rule["when"], "choose": _NOBODY | rule["choose"]} for rule in _RULES],
    "created_at": "2026-11-20T10:00:00.000000Z",
}


def answers(payin: str) -> dict[str, Any]:
    """A payin that its second provider took, and what the draft would have done with a week's payins."""
    first = {
        "number": 1,
        "provider": "acme",
        "status": "declined",
        "status_reason": "do_not_honor",
        "rule": "large cards",
        "reason": "it takes 1540",
        "begun_at": "2026-11-23T10:00:00.104233Z",
        "ended_at": "2026-11-23T10:00:00.391874Z",
    }
    second = {
        **first,
        "number": 2,
        "provider": "sandbox",
        "status": "paid",
        "status_reason": None,
        "reason": "it takes 1710",
        "begun_at": "2026-11-23T10:00:00.391874Z",
        "ended_at": None,
    }
    replay = {
        "replayed_from": "2026-11-16T10:00:00.000000Z",
        "replayed_to": "2026-11-23T10:00:00.000000Z",
        "payins": 1_840,
        "cut": False,
        "moved": 412,
        "unroutable": 0,
        "providers": [
            {"provider": "acme", "went": 900, "would": 1_312},
            {"provider": "sandbox", "went": 940, "would": 528},
        ],
        "costs": [{"currency": "BRL", "went": 410_250, "would": 371_900}],
        "expected_success_went": 0.871,
        "expected_success_would": 0.889,
    }
    return {
        "AttemptsOfPayin": {"payin": payin, "routing_profile": PROFILE_ID, "risk_score": None, "data": [first, second]},
        "SimulationBody": {"provider": None, "max_attempts": 2, "candidates": [], "considered": [], "replay": replay},
    }
