"""An operator's decision about a provider counts before what its breaker says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from caudal.connectors import Override, Unresolved
from caudal.kernel.clock import rfc3339, wall_clock
from tests.connectors.test_around import UNKNOWN, Script, figures

UNTIL = wall_clock() + timedelta(hours=1)
PAST = wall_clock() - timedelta(seconds=1)
# The breaker, the decision: whether calls go through, whether new payments are welcome, what is shown as forced
DECIDED: list[tuple[str, Override | None, bool, bool, str | None]] = [
    ("closed", None, True, True, None),
    ("closed", Override(drained=True), True, False, None),
    ("closed", Override(forced="open"), False, False, "open"),
    ("closed", Override(forced="open", forced_until=UNTIL), False, False, "open"),
    ("closed", Override(forced="open", forced_until=PAST), True, True, None),
    ("open", None, False, False, None),
    ("open", Override(forced="closed"), True, True, "closed"),
    ("open", Override(forced="closed", drained=True), True, False, "closed"),
    ("open", Override(forced="closed", forced_until=PAST), False, False, None),
]


@pytest.mark.parametrize(("breaker", "override", "through", "welcome", "shown"), DECIDED)
async def test_an_operators_decision_counts_before_the_breakers(
    breaker: str, override: Override | None, through: bool, welcome: bool, shown: str | None
) -> None:
    script = Script([UNKNOWN] if breaker == "open" else ["done"])
    around = script.around(provider_tries=1, provider_breaker_failures=1)
    await around.call(script.ask, None, deduplicates=True)
    around.direct(override)
    script.answers = ["done"]
    told = figures(around)
    assert (told.breaker, told.forced, told.drained) == (breaker, shown, override is not None and override.drained)
    assert (around.available(), around.welcomes()) == (through, welcome)
    answer = await around.call(script.ask, None, deduplicates=True)
    assert answer == ("done" if through else answer) and script.asked == 1 + through
    if not through:
        assert isinstance(answer, Unresolved) and answer.kind == "retry", "nothing happened there"
        assert ("operator" in answer.detail) == (shown == "open")


# The breaker, seconds since it opened, the decision: what keeps new payments away; nothing else does
WHY: list[tuple[str, float, Override | None, str | None]] = [
    ("closed", 0, None, None),
    ("closed", 0, Override(drained=True), "an operator drains it"),
    ("closed", 0, Override(forced="open"), "an operator holds its breaker open until somebody ends it"),
    ("closed", 0, Override(forced="open", drained=True, forced_until=UNTIL), f"breaker open until {rfc3339(UNTIL)}"),
    ("closed", 0, Override(forced="open", forced_until=PAST), None),
    ("open", 0, None, "its breaker is open until 2"),
    ("open", 0, Override(forced="closed"), None),
    ("open", 0, Override(forced="closed", drained=True), "an operator drains it"),
    ("open", 6, None, None),
    ("probed", 6, None, "its breaker is half open"),
]


@pytest.mark.parametrize(("breaker", "later_s", "override", "why"), WHY, ids=map(str, range(len(WHY))))
async def test_what_keeps_new_payments_away_is_said(
    breaker: str, later_s: float, override: Override | None, why: str | None
) -> None:
    script = Script(["done"] if breaker == "closed" else [UNKNOWN])
    around = script.around(provider_tries=1, provider_breaker_failures=1, provider_breaker_open_s=5.0)
    await around.call(script.ask, None, deduplicates=True)
    around.direct(override)
    script.now_s += later_s
    told: list[str | None] = []

    async def probe(_: float) -> str:
        told.append(around.why_unwelcome())
        return "done"

    if breaker == "probed":
        await around.call(probe, None, deduplicates=True)
    else:
        told.append(around.why_unwelcome())
        assert around.welcomes() == (told[0] is None)
    [found] = told
    assert found is None if why is None else why in (found or "")


async def test_the_breaker_goes_on_counting_behind_a_decision() -> None:
    script = Script([UNKNOWN])
    around = script.around(provider_tries=1, provider_breaker_failures=2)
    around.direct(Override(forced="closed"))
    for _ in range(3):
        await around.call(script.ask, None, deduplicates=True)
    assert script.asked == 3 and figures(around).breaker == "open"
    around.direct(None)
    await around.call(script.ask, None, deduplicates=True)
    assert script.asked == 3
