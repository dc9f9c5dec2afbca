"""The load that slows one provider and looks at another one's payments."""

from __future__ import annotations

from rich.console import Console

from caudal_load.caudal_up import Running
from caudal_load.slow import measured, print_phases
from tests.whole import Whole


async def test_one_is_slowed_and_both_are_answered(running: Whole) -> None:
    caudal = Running(
        url=running.api_url, sandbox_url=running.sandbox_url, operator_key=running.operator_key, processes={}
    )
    said: list[str] = []
    found = await measured(caudal, 10.0, 700, 0.5, 0.2, said.append)
    assert [(one.phase, one.method, one.provider, one.asked) for one in found] == [
        ("before", "card", "norte", 5),
        ("before", "pix", "sandbox", 5),
        ("during", "card", "norte", 5),
        ("during", "pix", "sandbox", 5),
    ]
    assert [one.answered for one in found] == [{"201 paid": 5}, {"201 pending": 5}] * 2
    assert found[2].p50_ms >= 690, "the histogram's buckets are 1/128 wide"
    assert said[-1] == "during: norte answers 700 ms later"
    console = Console(record=True, width=120, file=None, quiet=False)
    print_phases({"rate": 10.0, "slow_ms": 700, "phases": found}, console)
    assert "5 × 201 pending" in console.export_text()
