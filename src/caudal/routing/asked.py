"""What a merchant may ask of routing, field by field. All errors are found at once, of types and of values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from caudal.catalogue import COUNTRIES, METHODS
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.money import AMOUNT_MAX_MINOR, CURRENCIES
from caudal.kernel.parse import Unread, all_errors, near, partial_parser
from caudal.routing.model import ATTEMPTS, ATTEMPTS_MAX, DEFAULT_RULE, RISK_MAX, Rule, Way

RULES_MAX: Final = 50
LIST_MAX: Final = 100
NAME_MAX: Final = 100
_METHODS: Final = {name for _, name in METHODS}
_BIN: Final = re.compile(r"\d{2,8}")
_ALL: Final = 100


class WhenAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Conditions, all of which have to hold; without any, it is for every payin."""

    countries: Annotated[tuple[str, ...], Meta(description="ISO 3166-1 alpha-2")] = ()
    methods: Annotated[tuple[str, ...], Meta(description="these methods alone")] = ()
    currencies: Annotated[tuple[str, ...], Meta(description="ISO 4217")] = ()
    amount_from: Annotated[int | None, Meta(description="this amount or more, minor units; needs one currency")] = None
    amount_to: Annotated[int | None, Meta(description="this amount or less, minor units; needs one currency")] = None
    bins: Annotated[tuple[str, ...], Meta(description="a card's first digits, 2 to 8 of them")] = ()
    metadata: Annotated[
        dict[str, tuple[str, ...]], Meta(description="a payin's metadata: the key has one of these values")
    ] = {}
    risk_from: Annotated[int | None, Meta(description="this risk score or more; without a score it does not hold")] = (
        None
    )
    risk_to: Annotated[int | None, Meta(description="this risk score or less; without a score it does not hold")] = None


class ChooseAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How to choose: as listed; by shares; the cheapest first; what succeeded lately.

    The last two look at all providers unless some are named.
    """

    by: Way
    providers: Annotated[tuple[str, ...], Meta(description="names of providers")] = ()
    shares: Annotated[dict[str, int], Meta(description="percent by provider, 100 together")] = {}


class RuleAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """For which payins which providers are asked, in which order."""

    name: Annotated[str, Meta(description=f"1 to {NAME_MAX} characters, another in each rule")]
    when: WhenAsked = WhenAsked()
    choose: ChooseAsked


class ProfileAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/routing/profiles`: the whole of the rules; profiles that exist stay as they are."""

    name: Annotated[str, Meta(description=f"1 to {NAME_MAX} characters", examples=["cards by cost"])]
    max_attempts: Annotated[
        int, Meta(description=f"how many providers a payin is tried at, 1 to {ATTEMPTS_MAX}; 1: never another one")
    ] = ATTEMPTS
    rules: Annotated[tuple[RuleAsked, ...], Meta(description=f"in their order, 1 to {RULES_MAX}")]

    def kept(self) -> tuple[Rule, ...]:
        """The rules as they are kept."""
        return msgspec.convert(msgspec.to_builtins(self.rules), tuple[Rule, ...])


_read = partial_parser(ProfileAsked)


def profile_asked(body: bytes, providers: Sequence[str]) -> ProfileAsked:
    """What a body asks for; `providers` are the names that rules may have. Raises Invalid with every wrong field."""
    asked, told = _read(body)
    errors = all_errors(told, profile_rules(asked, providers))
    if errors:
        raise Invalid("invalid_request", "the request has errors", errors=tuple(errors))
    return asked


def profile_rules(asked: ProfileAsked, providers: Sequence[str], at: str = "") -> Iterator[Iterator[FieldError]]:
    """What the values of a profile have to keep to, one by one; it stands `at` a place of the body."""
    yield _whole_name(asked, at)
    yield _attempts(asked, at)
    yield _number(asked, at)
    number = _number_of(asked)
    for place in range(number if number <= RULES_MAX else 0):
        here = f"{at}/rules/{place}"
        yield _name(asked, place, here)
        yield _when(asked, place, f"{here}/when")
        yield _choose(asked, place, f"{here}/choose", providers)
        yield _once(asked, place, here)


def _number_of(asked: ProfileAsked) -> int:
    try:
        return len(asked.rules)
    except Unread:
        return 0


def _whole_name(asked: ProfileAsked, at: str) -> Iterator[FieldError]:
    if not 1 <= len(asked.name.strip()) <= NAME_MAX:
        yield _error(f"{at}/name", "invalid_length", f"1 to {NAME_MAX} characters")


def _attempts(asked: ProfileAsked, at: str) -> Iterator[FieldError]:
    if not 1 <= asked.max_attempts <= ATTEMPTS_MAX:
        yield _error(f"{at}/max_attempts", "out_of_range", f"1 to {ATTEMPTS_MAX}")


def _number(asked: ProfileAsked, at: str) -> Iterator[FieldError]:
    if not asked.rules:
        yield _error(f"{at}/rules", "missing", "a profile has a rule at least; without one no profile is needed")
    if len(asked.rules) > RULES_MAX:
        yield _error(f"{at}/rules", "too_many", f"at most {RULES_MAX} rules")


def _name(asked: ProfileAsked, place: int, here: str) -> Iterator[FieldError]:
    name = asked.rules[place].name
    if not 1 <= len(name.strip()) <= NAME_MAX:
        yield _error(f"{here}/name", "invalid_length", f"1 to {NAME_MAX} characters")
    elif name == DEFAULT_RULE:
        yield _error(f"{here}/name", "invalid_value", f"{DEFAULT_RULE} is what stands behind all rules")
    elif name in (other.name for other in asked.rules[:place]):
        yield _error(f"{here}/name", "repeated", "a rule before has this name")


def _once(asked: ProfileAsked, place: int, here: str) -> Iterator[FieldError]:
    rule = asked.rules[place]
    if any((other.when, other.choose) == (rule.when, rule.choose) for other in asked.rules[:place]):
        yield _error(here, "repeated", "a rule before says the same")


def _when(asked: ProfileAsked, place: int, here: str) -> Iterator[FieldError]:
    when = asked.rules[place].when
    yield from _listed(when.countries, f"{here}/countries", set(COUNTRIES), "unknown_country")
    yield from _listed(when.methods, f"{here}/methods", _METHODS, "unknown_method")
    yield from _listed(when.currencies, f"{here}/currencies", set(CURRENCIES), "unknown_currency")
    yield from _listed(when.bins, f"{here}/bins", None, "invalid_value")
    for number, digits in enumerate(when.bins):
        if not _BIN.fullmatch(digits):
            yield _error(f"{here}/bins/{number}", "invalid_value", "2 to 8 digits, the first of the card")
    if when.bins and when.methods and "card" not in when.methods:
        yield _error(f"{here}/bins", "contradiction", "no method of the rule has cards")
    yield from _amounts(when, here)
    yield from _risks(when, here)
    for key, values in when.metadata.items():
        if not values:
            yield _error(f"{here}/metadata/{key}", "missing", "a value at least")
        yield from _listed(values, f"{here}/metadata/{key}", None, "invalid_value")
    if not _exists(when):
        yield _error(here, "contradiction", "no method of the catalogue is of all of these")


def _amounts(when: WhenAsked, here: str) -> Iterator[FieldError]:
    for name, value in (("amount_from", when.amount_from), ("amount_to", when.amount_to)):
        if value is None:
            continue
        if not 0 < value <= AMOUNT_MAX_MINOR:
            yield _error(f"{here}/{name}", "out_of_range", f"1 to {AMOUNT_MAX_MINOR} minor units")
        elif len(when.currencies) != 1:
            yield _error(f"{here}/{name}", "needs_currency", "an amount is of one currency: name it in currencies")
    if when.amount_from is not None and when.amount_to is not None and when.amount_from > when.amount_to:
        yield _error(f"{here}/amount_to", "contradiction", "it is less than amount_from")


def _risks(when: WhenAsked, here: str) -> Iterator[FieldError]:
    for name, value in (("risk_from", when.risk_from), ("risk_to", when.risk_to)):
        if value is not None and not 0 <= value <= RISK_MAX:
            yield _error(f"{here}/{name}", "out_of_range", f"0 to {RISK_MAX}")
    if when.risk_from is not None and when.risk_to is not None and when.risk_from > when.risk_to:
        yield _error(f"{here}/risk_to", "contradiction", "it is less than risk_from")


def _exists(when: WhenAsked) -> bool:
    """Whether some method is of these countries, methods and currencies; unknown names are told of elsewhere."""
    known = (
        all(country in COUNTRIES for country in when.countries)
        and all(method in _METHODS for method in when.methods)
        and all(currency in CURRENCIES for currency in when.currencies)
    )
    return not known or any(
        (not when.countries or found.country in when.countries)
        and (not when.methods or found.method in when.methods)
        and (not when.currencies or found.currency in when.currencies)
        for found in METHODS.values()
    )


def _choose(asked: ProfileAsked, place: int, here: str, providers: Sequence[str]) -> Iterator[FieldError]:
    choose = asked.rules[place].choose
    if choose.by == "split":
        if choose.providers:
            yield _error(f"{here}/providers", "not_supported", "a split names its providers in shares")
        yield from _shares(choose.shares, f"{here}/shares", providers)
        return
    if choose.shares:
        yield _error(f"{here}/shares", "not_supported", f"only a split has shares, and this is by {choose.by}")
    if choose.by == "order" and not choose.providers:
        yield _error(f"{here}/providers", "missing", "an order names a provider at least")
    yield from _listed(choose.providers, f"{here}/providers", set(providers), "unknown_provider")


def _shares(shares: dict[str, int], here: str, providers: Sequence[str]) -> Iterator[FieldError]:
    for name, share in shares.items():
        if name not in providers:
            yield _error(f"{here}/{name}", "unknown_provider", _unknown(name, providers))
        if not 1 <= share <= _ALL:
            yield _error(f"{here}/{name}", "out_of_range", "1 to 100 percent")
    if sum(shares.values()) != _ALL:
        yield _error(here, "not_all", f"the shares are {sum(shares.values())} % together, not 100")


def _listed(values: Sequence[str], here: str, known: set[str] | None, code: str) -> Iterator[FieldError]:
    """What is wrong with a list of names: too long, twice the same, not known."""
    if len(values) > LIST_MAX:
        yield _error(here, "too_many", f"at most {LIST_MAX}")
        return
    for place, value in enumerate(values):
        if known is not None and value not in known:
            yield _error(f"{here}/{place}", code, _unknown(value, sorted(known)))
        elif value in values[:place]:
            yield _error(f"{here}/{place}", "repeated", "named more than once")


def _unknown(name: str, names: Sequence[str]) -> str:
    return f"{name[:50]!r} is not known{near(name[:50], names)}"


def _error(field: str, code: str, detail: str) -> FieldError:
    return FieldError(field=field, code=code, detail=detail)
