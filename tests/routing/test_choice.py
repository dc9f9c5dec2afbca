"""Which providers a payin goes to: a table of profiles, states and payins, and what holds for all of them."""

from __future__ import annotations

from collections import Counter
from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caudal.connectors import Cost
from caudal.contracts.reasons import Reason
from caudal.kernel import ids
from caudal.routing import Facts, choose
from caudal.routing.asked import profile_asked
from caudal.routing.declines import DECLINES, is_soft
from caudal.routing.http import _NOT_YET
from caudal.routing.model import Choose, Offer, Profile, Rate, Rule, When
from caudal.routing.rates import HALF_LIFE_S, Rates

SOME = UUID(int=7)
PROVIDERS = ("acme", "bravo", "corto")

# Rules, one a word of the table: what has to hold, and how it chooses.
RULES = {
    "listed": Rule(name="listed", choose=Choose(by="order", providers=("corto", "acme"))),
    "only_b": Rule(name="only_b", choose=Choose(by="order", providers=("bravo",))),
    "brazil": Rule(name="brazil", when=When(countries=("BR",)), choose=Choose(by="order", providers=("bravo",))),
    "pesos": Rule(name="pesos", when=When(currencies=("COP",)), choose=Choose(by="order", providers=("bravo",))),
    "pix": Rule(name="pix", when=When(methods=("pix",)), choose=Choose(by="order", providers=("bravo",))),
    "large": Rule(
        name="large",
        when=When(currencies=("BRL",), amount_from=10_000, amount_to=20_000),
        choose=Choose(by="order", providers=("corto",)),
    ),
    "visa": Rule(name="visa", when=When(bins=("4111", "45")), choose=Choose(by="order", providers=("corto",))),
    "shop": Rule(
        name="shop", when=When(metadata={"shop": ("a", "b")}), choose=Choose(by="order", providers=("corto",))
    ),
    "risky": Rule(name="risky", when=When(risk_from=60, risk_to=90), choose=Choose(by="order", providers=("corto",))),
    "cheap": Rule(name="cheap", choose=Choose(by="least_cost")),
    "cheap_ab": Rule(name="cheap_ab", choose=Choose(by="least_cost", providers=("acme", "bravo"))),
    "all_c": Rule(name="all_c", choose=Choose(by="split", shares={"corto": 100})),
    "best": Rule(name="best", choose=Choose(by="success_rate")),
}
# acme takes 40 and 2.5 %, bravo 10 and 3 %, corto has no cost configured.
TABLE = """
    rules          state         payin                   candidates         by
    -              -             -                       acme bravo corto   default default default
    -              acme:open     -                       bravo corto        default default
    -              acme:none     -                       bravo corto        default default
    listed         -             -                       corto acme bravo   listed listed default
    listed         corto:open    -                       acme bravo         listed default
    only_b         bravo:open    -                       acme corto         default default
    only_b+listed  bravo:open    -                       corto acme         listed listed
    only_b+listed  -             -                       bravo corto acme   only_b listed listed
    brazil         -             -                       bravo acme corto   brazil default default
    brazil         -             country=MX              acme bravo corto   default default default
    pesos          -             -                       acme bravo corto   default default default
    pix            -             method=pix              bravo acme corto   pix default default
    large          -             amount=9999             acme bravo corto   default default default
    large          -             amount=10000            corto acme bravo   large default default
    large          -             amount=20000            corto acme bravo   large default default
    large          -             amount=20001            acme bravo corto   default default default
    visa           -             bin=411111              corto acme bravo   visa default default
    visa           -             bin=456789              corto acme bravo   visa default default
    visa           -             bin=545454              acme bravo corto   default default default
    visa           -             -                       acme bravo corto   default default default
    shop           -             shop=b                  corto acme bravo   shop default default
    shop           -             shop=c                  acme bravo corto   default default default
    shop           -             -                       acme bravo corto   default default default
    risky          -             risk=59                 acme bravo corto   default default default
    risky          -             risk=60                 corto acme bravo   risky default default
    risky          -             risk=90                 corto acme bravo   risky default default
    risky          -             risk=91                 acme bravo corto   default default default
    risky          -             risk=0                  acme bravo corto   default default default
    risky          -             -                       acme bravo corto   default default default
    cheap          -             amount=1000             bravo acme corto   cheap cheap cheap
    cheap          -             amount=100000           acme bravo corto   cheap cheap cheap
    cheap          bravo:open    amount=1000             acme corto         cheap cheap
    cheap_ab       -             amount=1000             bravo acme corto   cheap_ab cheap_ab default
    all_c          -             -                       corto acme bravo   all_c default default
    all_c          corto:none    -                       acme bravo         default default
    best           corto:good    -                       corto              best
    best           bravo:good    -                       bravo              best
    -              all:open      -                       -                  -
"""
ROWS = [tuple(part.strip() for part in row.split("  ") if part.strip()) for row in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize("row", ROWS, ids=[" ".join(row[:3]) for row in ROWS])
def test_the_table_of_choices(row: tuple[str, ...]) -> None:
    rules, state, payin, candidates, by = row
    found = choose(profile_of(rules), facts_of(payin), offers_in(state)).candidates
    shown = found[:1] if rules == "best" else found
    told = [" ".join(words) or "-" for words in zip(*((one.provider, one.rule) for one in shown), strict=True)]
    assert (told or ["-", "-"]) == [candidates, by]


def profile_of(words: str) -> Profile | None:
    if words == "-":
        return None
    return Profile(
        id=UUID(int=1),
        book=2,
        number=1,
        name="a table's",
        attempts_max=3,
        rules=tuple(RULES[word] for word in words.split("+")),
        created_at=_NOT_YET,
    )


def facts_of(words: str, id: UUID = SOME) -> Facts:
    said = {} if words == "-" else dict([words.split("=")])
    return Facts(
        payin=id,
        country=said.get("country", "BR"),
        method=said.get("method", "card"),
        currency="BRL",
        amount_minor=int(said.get("amount", 5_000)),
        bin=said.get("bin"),
        metadata={"shop": said["shop"]} if "shop" in said else {},
        risk_score=int(said["risk"]) if "risk" in said else None,
    )


def offers_in(state: str) -> dict[str, Offer]:
    about, _, what = state.partition(":")
    costs = {
        name: Cost(method="card", currency="BRL", fixed_minor=fixed, basis_points=points)
        for name, fixed, points in (("acme", 40, 250), ("bravo", 10, 300))
    }
    offers = {}
    for name in PROVIDERS:
        hit = about in (name, "all")
        good = Rate(9_000, 10) if hit else Rate(10, 9_000)
        offers[name] = Offer(
            provider=name,
            why_not="its breaker is open" if hit and what == "open" else None,
            cost=costs.get(name),
            rate=good if what == "good" else Rate(),
        )
    return {name: offer for name, offer in offers.items() if state != f"{name}:none"}


def test_every_rule_and_every_provider_has_a_reason() -> None:
    found = choose(profile_of("brazil+large+visa"), facts_of("-"), offers_in("acme:open"))
    told = [(one.rule, one.provider, one.place, one.reason) for one in found.considered]
    assert told == [
        ("brazil", "bravo", 1, "number 1 of the rule's list"),
        ("large", None, None, "the amount is lower"),
        ("visa", None, None, "no card is known"),
        ("default", "acme", None, "its breaker is open"),
        ("default", "bravo", None, "it is a candidate already"),
        ("default", "corto", 2, "in the order of configuration"),
    ]


def split_of(shares: dict[str, int]) -> Profile:
    rule = Rule(name="split", choose=Choose(by="split", shares=shares))
    return Profile(id=UUID(int=1), book=2, number=1, name="split", attempts_max=3, rules=(rule,), created_at=_NOT_YET)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(1, 98), second=st.integers(1, 98))
def test_a_split_converges_to_its_shares(first: int, second: int) -> None:
    shares = {"acme": first, "bravo": max(1, min(second, 99 - first))}
    shares["corto"] = 100 - sum(shares.values())
    shares = {name: share for name, share in shares.items() if share}
    payins = [ids.uuid8(number.to_bytes(4, "big")) for number in range(2_000)]
    taken = Counter(choose(split_of(shares), facts_of("-", id), offers_in("-")).candidates[0].provider for id in payins)
    for name, share in shares.items():
        assert abs(taken[name] / len(payins) - share / 100) < 0.06, (shares, taken)


@given(st.uuids(), st.sampled_from(["cheap", "best", "all_c", "listed", "-"]), st.sampled_from(["acme:open", "-"]))
def test_the_same_facts_make_the_same_choice_of_usable_providers(id: UUID, rules: str, state: str) -> None:
    one, other = (choose(profile_of(rules), facts_of("-", id), offers_in(state)) for _ in range(2))
    assert one == other
    names = [candidate.provider for candidate in one.candidates]
    assert len(names) == len(set(names))
    assert set(names) == set(PROVIDERS) - ({"acme"} if state == "acme:open" else set())


def test_a_provider_of_which_little_is_known_is_tried_and_a_bad_one_hardly() -> None:
    known = {"acme": Rate(900, 100), "bravo": Rate(), "corto": Rate(100, 900)}
    offers = {name: Offer(provider=name, rate=rate) for name, rate in known.items()}
    firsts = Counter(
        choose(profile_of("best"), facts_of("-", ids.uuid8(n.to_bytes(4, "big"))), offers).candidates[0].provider
        for n in range(2_000)
    )
    assert firsts["acme"] > 1_500 and 50 < firsts["bravo"] < 500 and firsts["corto"] < 5, firsts


def test_rates_forget_by_halves() -> None:
    rates = Rates()
    for at_s in range(10):
        rates.note("acme", "card", "BR", live=False, succeeded=at_s < 8, at_s=0.0)
    assert rates.of("acme", "card", "BR", 0.0, live=False) == Rate(8.0, 2.0)
    assert rates.of("acme", "card", "BR", HALF_LIFE_S, live=False) == Rate(4.0, 1.0)
    assert rates.of("acme", "card", "BR", -5.0, live=False) == Rate(8.0, 2.0), "a clock that was set back adds nothing"
    for provider, country, live in (("acme", "MX", False), ("bravo", "BR", False), ("acme", "BR", True)):
        assert rates.of(provider, "card", country, 0.0, live=live) == Rate(), "it is another one's"


SOFT = "amount_not_allowed bank_unavailable do_not_honor processing_error"


def test_the_table_of_declines() -> None:
    assert set(DECLINES) == set(get_args(Reason)), "every reason is judged, and nothing else"
    assert sorted(reason for reason in DECLINES if is_soft(reason)) == SOFT.split()
    assert all(rule.next_provider in ("yes", "no") and rule.why and rule.source for rule in DECLINES.values())
    assert not is_soft(None) and not is_soft("something new")


def test_a_right_profile_is_read() -> None:
    body = b'{"name": "one", "rules": [{"name": "a", "choose": {"by": "order", "providers": ["acme"]}}]}'
    asked = profile_asked(body, PROVIDERS)
    assert (asked.name, asked.max_attempts) == ("one", 3)
    assert asked.kept() == (Rule(name="a", choose=Choose(by="order", providers=("acme",))),)
