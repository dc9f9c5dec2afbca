"""What stands around a provider: deadlines, slots, repetitions and figures, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from caudal.connectors import ProviderHealth, Unresolved
from caudal.connectors.around import Around
from tests.connectors import orders

RETRY = Unresolved(kind="retry", detail="busy")
UNKNOWN = Unresolved(kind="unknown", detail="silence")


@dataclass
class Script:
    """Answers in order, the last one for ever; each takes `takes_s`, and so do pauses what they are."""

    answers: list[str | Unresolved]
    takes_s: float = 0.0
    now_s: float = 1000.0
    allowed_s: list[float] = field(default_factory=list)
    paused_s: list[float] = field(default_factory=list)

    def around(self, **changed: object) -> Around:
        provider = orders.provider(**{"provider_timeout_ms": 4000, "provider_tries": 3, **changed})
        return Around(provider, now=lambda: self.now_s, sleep=self.sleep)

    async def ask(self, within_s: float) -> str | Unresolved:
        self.allowed_s.append(within_s)
        self.now_s += min(self.takes_s, within_s)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def sleep(self, seconds: float) -> None:
        self.paused_s.append(seconds)
        self.now_s += seconds

    @property
    def asked(self) -> int:
        return len(self.allowed_s)


def figures(around: Around) -> ProviderHealth:
    return around.health()


# deduplicates   answers in order           asked   result
TRIES = """
no               done                       1       done
no               retry done                 2       done
no               retry retry done           3       done
no               retry retry retry done     3       retry
no               unknown done               1       unknown
no               retry unknown done         2       unknown
yes              unknown done               2       done
yes              unknown retry done         3       done
yes              unknown retry retry        3       unknown
yes              retry unknown retry        3       unknown
yes              unknown unknown unknown    3       unknown
"""


@pytest.mark.parametrize("line", TRIES.strip().splitlines())
async def test_only_what_is_safe_is_asked_again_and_an_unknown_is_not_forgotten(line: str) -> None:
    deduplicates, *answers, asked, result = line.split()
    words: dict[str, str | Unresolved] = {"retry": RETRY, "unknown": UNKNOWN, "done": "done"}
    script = Script([words[word] for word in answers])
    answer = await script.around().call(script.ask, None, deduplicates=deduplicates == "yes")
    assert (answer, script.asked) == (words[result], int(asked))


async def test_a_try_gets_no_more_time_than_the_request_has_left() -> None:
    script = Script(["done"])
    await script.around().call(script.ask, script.now_s + 1.25, deduplicates=True)
    await script.around().call(script.ask, script.now_s + 100, deduplicates=True)
    assert script.allowed_s == pytest.approx([1.0, 4.0])


async def test_nothing_is_asked_when_no_time_is_left() -> None:
    script = Script(["done"])
    answer = await script.around().call(script.ask, script.now_s + 0.2, deduplicates=True)
    assert isinstance(answer, Unresolved) and answer.kind == "retry" and script.asked == 0


async def test_tries_end_with_the_deadline() -> None:
    script = Script([UNKNOWN], takes_s=4.0)
    assert await script.around().call(script.ask, script.now_s + 6.25, deduplicates=True) == UNKNOWN
    assert script.asked == 2 and script.now_s <= 1006.0
    assert script.allowed_s[0] == 4.0 and script.allowed_s[1] < 2.0


async def test_pauses_grow_and_differ() -> None:
    script = Script([RETRY])
    around = script.around(provider_tries=4)
    for _ in range(3):
        await around.call(script.ask, None, deduplicates=False)
    for place, longest_s in enumerate((0.1, 0.2, 0.4)):
        assert all(0 <= pause_s <= longest_s for pause_s in script.paused_s[place::3])
    assert len(set(script.paused_s)) == len(script.paused_s) == 9


async def test_a_provider_in_trouble_is_asked_a_fifth_more_often_at_most() -> None:
    script = Script([RETRY])
    around = script.around(provider_tries=10)
    for _ in range(200):
        await around.call(script.ask, None, deduplicates=True)
    assert script.asked <= 200 + 10 + 200 * 0.2 + 1


async def test_an_open_breaker_answers_at_once_and_says_so_at_the_door() -> None:
    script = Script([UNKNOWN])
    around = script.around(provider_breaker_failures=2, provider_tries=1)
    assert around.available()
    for _ in range(2):
        await around.call(script.ask, None, deduplicates=True)
    answer = await around.call(script.ask, None, deduplicates=True)
    assert isinstance(answer, Unresolved) and answer.kind == "retry" and script.asked == 2
    assert not around.available() and figures(around).breaker == "open"
    script.now_s += 5.0
    script.answers = ["done"]
    assert around.available() and figures(around).breaker == "half_open"
    for _ in range(2):
        assert await around.call(script.ask, None, deduplicates=True) == "done"
    assert figures(around).breaker == "closed"


async def test_an_unknown_stays_unknown_when_the_breaker_opens_behind_it() -> None:
    script = Script([UNKNOWN])
    around = script.around(provider_breaker_failures=1)
    assert await around.call(script.ask, None, deduplicates=True) == UNKNOWN
    assert script.asked == 1


async def test_callers_in_haste_do_not_open_the_breaker_for_all() -> None:
    script = Script([UNKNOWN], takes_s=4.0)
    around = script.around(provider_breaker_failures=2, provider_tries=1)
    for _ in range(50):
        await around.call(script.ask, script.now_s + 1.25, deduplicates=True)
    assert around.available() and figures(around).failure_share == 0
    script.takes_s = 0.1  # refused at once: that is the provider
    for _ in range(2):
        await around.call(script.ask, script.now_s + 1.25, deduplicates=True)
    assert not around.available()


async def test_nobody_waits_for_a_slot_behind_an_open_breaker() -> None:
    around = Around(orders.provider(provider_concurrency=1, provider_breaker_failures=1))
    free = asyncio.Event()

    async def ask(_: float) -> str | Unresolved:
        await free.wait()
        return UNKNOWN

    first, second = (asyncio.ensure_future(around.call(ask, None, deduplicates=False)) for _ in range(2))
    await asyncio.sleep(0)
    free.set()
    assert await first == UNKNOWN
    told = await second
    assert isinstance(told, Unresolved) and told.kind == "retry" and figures(around).turned_away == 1


async def test_as_many_calls_as_there_are_slots_are_under_way() -> None:
    around = Around(orders.provider(provider_concurrency=2))
    free, most = asyncio.Event(), 0

    async def ask(_: float) -> str:
        nonlocal most
        most = max(most, figures(around).in_flight)
        await free.wait()
        return "done"

    calls = [asyncio.ensure_future(around.call(ask, None, deduplicates=True)) for _ in range(5)]
    await asyncio.sleep(0)
    free.set()
    assert await asyncio.gather(*calls) == ["done"] * 5 and most == 2


async def test_who_gets_no_slot_in_time_is_turned_away() -> None:
    around = Around(orders.provider(provider_concurrency=1))
    free = asyncio.Event()

    async def ask(_: float) -> str:
        await free.wait()
        return "done"

    first = asyncio.ensure_future(around.call(ask, None, deduplicates=True))
    await asyncio.sleep(0)
    answer = await around.call(ask, asyncio.get_running_loop().time() + 0.27, deduplicates=True)
    assert isinstance(answer, Unresolved) and answer.kind == "retry"
    assert figures(around).turned_away == 1
    free.set()
    assert await first == "done"


async def test_a_caller_that_gives_up_leaves_no_slot_and_no_probe_taken() -> None:
    around = Around(orders.provider(provider_concurrency=1))

    async def ask(_: float) -> str:
        await asyncio.sleep(3600)
        return "never"

    async def answer(_: float) -> str:
        return "done"

    given_up = asyncio.ensure_future(around.call(ask, None, deduplicates=True))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert await around.call(answer, None, deduplicates=True) == "done"
    assert figures(around).in_flight == 0


async def test_the_figures_say_how_it_goes() -> None:
    script = Script(["done"])
    around = script.around(provider_tries=2)
    assert figures(around).p50_ms is None and figures(around).average_ms is None
    for took_ms in range(1, 101):
        script.takes_s = took_ms / 1000
        await around.call(script.ask, None, deduplicates=True)
    script.answers = [UNKNOWN]
    await around.call(script.ask, None, deduplicates=True)
    told = figures(around)
    assert (told.provider, told.mode, told.breaker) == ("sandbox", "test", "closed")
    assert (told.calls, told.failed, told.repeated, told.turned_away, told.in_flight) == (101, 1, 1, 0, 0)
    assert told.p50_ms == pytest.approx(51, abs=1) and told.p99_ms == pytest.approx(100, abs=1)
    assert told.average_ms is not None and 80 < told.average_ms < 100
    assert 0 < told.failure_share < 0.05


async def test_the_pause_is_any_part_of_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (0.0, 0.25, 1.0):
        monkeypatch.setattr("caudal.connectors.around.random.random", lambda part=part: part)
        script = Script([RETRY])
        await script.around(provider_tries=5).call(script.ask, None, deduplicates=True)
        assert script.paused_s == pytest.approx([part * bound for bound in (0.1, 0.2, 0.4, 0.8)])


async def test_a_provider_whose_answers_are_slow_is_left_alone() -> None:
    script = Script(["done"], takes_s=0.21)
    around = script.around(provider_timeout_ms=400)
    for _ in range(19):
        assert await around.call(script.ask, None, deduplicates=True) == "done"
    assert around.available() and figures(around).slow_share == 1
    await around.call(script.ask, None, deduplicates=True)
    assert not around.available() and figures(around).failure_share == 0
    quick = Script(["done"], takes_s=0.19)
    around = quick.around(provider_timeout_ms=400)
    for _ in range(30):
        await around.call(quick.ask, None, deduplicates=True)
    assert around.available() and figures(around).slow_share == 0, "190 ms are not slow where 200 are"
