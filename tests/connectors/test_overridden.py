"""An operator's decision about a provider counts before what its breaker says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from caudal.connectors import Override, Unresolved
from caudal.kernel.clock import wall_clock
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
