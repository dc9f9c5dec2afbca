"""What operators may ask for, field by field. All errors are found at once: those of types and those of values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from caudal.catalogue import COUNTRIES, METHODS
from caudal.contracts.merchants import FeeLine, LatePayments, Mode, RefundsBeyondBalance
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.money import AMOUNT_MAX_MINOR, BASIS_POINTS, CURRENCIES
from caudal.kernel.parse import parser
from caudal.merchants.model import OVERLAP_MAX_S, SCOPES

T = TypeVar("T")

NAME_MAX: Final = 100
_LINES_MAX: Final = 200
DAYS_MAX: Final = 90
_BOUNDS: Final = {
    "fixed_minor": (AMOUNT_MAX_MINOR, " minor units"),
    "basis_points": (BASIS_POINTS, ""),
    "refund_fixed_minor": (AMOUNT_MAX_MINOR, " minor units"),
    "dispute_fixed_minor": (AMOUNT_MAX_MINOR, " minor units"),
    "settlement_days": (DAYS_MAX, " days"),
}
_FAMILIES: Final = sorted({method.family for method in METHODS.values()})

Name = Annotated[str, Meta(description=f"1 to {NAME_MAX} characters")]
FeeLines = Annotated[
    tuple["FeeLineAsked", ...], Meta(description="one line a method family and currency; what has no line is not sold")
]


class FeeLineAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of one method family in one currency; minor units, and hundredths of a percent."""

    family: Annotated[str, Meta(examples=["instant_transfer"])]
    currency: Annotated[str, Meta(description="ISO 4217", examples=["MXN"])]
    fixed_minor: Annotated[int, Meta(description="charged once a payment", examples=[300])] = 0
    basis_points: Annotated[int, Meta(description="of the amount, rounded half up", examples=[100])] = 0
    refund_fixed_minor: Annotated[int, Meta(description="charged once a refund", examples=[0])] = 0
    dispute_fixed_minor: Annotated[int, Meta(description="charged once a dispute", examples=[0])] = 0
    settlement_days: Annotated[
        int, Meta(description=f"from the day of the payment (UTC) until its money is available, 0 to {DAYS_MAX}")
    ] = 1

    def line(self) -> FeeLine:
        """As it is decided on."""
        return FeeLine(**msgspec.structs.asdict(self))


class CreateMerchantAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/operator/merchants`."""

    name: Name
    country: Annotated[str, Meta(description="ISO 3166-1 alpha-2", examples=["MX"])]
    late_payments: Annotated[
        LatePayments, Meta(description="money after a payin's expiry: pays it, or is kept for its payer")
    ] = "accept"
    refunds_beyond_balance: Annotated[
        RefundsBeyondBalance, Meta(description="refunds that the balance does not cover: refused, or it goes negative")
    ] = "refuse"
    fee_plan: FeeLines = ()
    shard: Annotated[
        Annotated[int, Meta(ge=0, le=63)] | None,
        Meta(description="where its books are; the shard with fewest merchants unless given"),
    ] = None


class FeePlanAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/fee_plans`: the whole plan; payins that exist keep theirs."""

    fee_plan: FeeLines


class SettingsAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/settings`: what is named changes, at least one of them."""

    late_payments: LatePayments | msgspec.UnsetType = msgspec.UNSET
    refunds_beyond_balance: RefundsBeyondBalance | msgspec.UnsetType = msgspec.UNSET

    def changes(self) -> dict[str, Any]:
        """What is named, by its name."""
        named = msgspec.structs.asdict(self)
        return {name: value for name, value in named.items() if value is not msgspec.UNSET}


class CreateKeyAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/keys`."""

    mode: Mode
    name: Name = "API key"
    scopes: Annotated[tuple[str, ...], Meta(description=f"some of {', '.join(SCOPES)}; all unless given")] = SCOPES


class NameAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name alone: an operator's, at the command line."""

    name: Name


class RotateKeyAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/operator/keys/{id}/rotations`."""

    overlap_s: Annotated[int, Meta(description=f"how long the old key still counts, 0 to {OVERLAP_MAX_S} seconds")]


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a list, newest first."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, Meta(description="cursor: the next page, older rows")] = None
    before: Annotated[str | None, Meta(description="cursor: the page before, newer rows")] = None


class AuditQuery(ListQuery, frozen=True, kw_only=True):
    """Which entries of the audit trail, newest first."""

    actor: Annotated[str | None, Meta(description="an operator's id, or `cli:` and a user of the machine")] = None
    action: Annotated[str | None, Meta(examples=["api_key.revoked"])] = None
    subject: Annotated[str | None, Meta(description="the id of what was changed")] = None
    since: Annotated[datetime, Meta(tz=True)] | None = None


# Values, looked at in the raw body, so that a wrong type elsewhere hides none of them


def reader(kind: type[T]) -> Callable[[bytes], T]:
    """A function from a body to a record whose values are right. It raises Invalid with every field's error."""
    parse = parser(kind)

    def read(body: bytes) -> T:
        try:
            value = parse(body)
        except Invalid as error:
            if error.code != "invalid_request":
                raise
            told = {found.field for found in error.errors}
            more = [found for found in value_errors(msgspec.json.decode(body)) if found.field not in told]
            raise Invalid(error.code, error.detail, errors=(*error.errors, *more)) from None
        errors = tuple(value_errors(msgspec.json.decode(body)))
        if errors:
            raise Invalid("invalid_request", "the request has errors", errors=errors)
        return value

    return read


def value_errors(raw: Any) -> Iterator[FieldError]:
    """What is wrong with the values of a body; what is not of its type is passed over."""
    if not isinstance(raw, dict):
        return
    name, country, overlap_s = raw.get("name"), raw.get("country"), raw.get("overlap_s")
    if isinstance(name, str) and not 1 <= len(name.strip()) <= NAME_MAX:
        yield _error("/name", "invalid_length", f"1 to {NAME_MAX} characters")
    if isinstance(country, str) and country not in COUNTRIES:
        yield _error("/country", "unknown_country", "not a country of ISO 3166-1 that caudal serves, like MX")
    if _beyond(overlap_s, OVERLAP_MAX_S):
        yield _error("/overlap_s", "out_of_range", f"0 to {OVERLAP_MAX_S} seconds")
    if isinstance(raw.get("scopes"), list):
        yield from _scope_errors(raw["scopes"])
    if isinstance(raw.get("fee_plan"), list):
        yield from line_errors(raw["fee_plan"])


def _scope_errors(scopes: list[Any]) -> Iterator[FieldError]:
    if not scopes:
        yield _error("/scopes", "missing", "a key without scopes may do nothing")
    for place, scope in enumerate(scopes):
        if isinstance(scope, str) and scope not in SCOPES:
            yield _error(f"/scopes/{place}", "unknown_scope", _near(scope, SCOPES))
        elif scope in scopes[:place]:
            yield _error(f"/scopes/{place}", "repeated", "named more than once")


def line_errors(lines: list[Any]) -> Iterator[FieldError]:
    """What is wrong with the lines of a fee plan, given as decoded JSON."""
    if len(lines) > _LINES_MAX:
        yield _error("/fee_plan", "too_many", f"at most {_LINES_MAX} lines")
        return
    seen: set[tuple[str, str]] = set()
    for place, line in enumerate(lines):
        if not isinstance(line, dict):
            continue
        family, currency = line.get("family"), line.get("currency")
        if isinstance(family, str) and family not in _FAMILIES:
            yield _error(f"/fee_plan/{place}/family", "unknown_family", _near(family, _FAMILIES))
        if isinstance(currency, str) and currency not in CURRENCIES:
            yield _error(f"/fee_plan/{place}/currency", "unknown_currency", "not a currency of ISO 4217 that we know")
        for name, (most, unit) in _BOUNDS.items():
            if _beyond(line.get(name), most):
                yield _error(f"/fee_plan/{place}/{name}", "out_of_range", f"0 to {most}{unit}")
        if isinstance(family, str) and isinstance(currency, str):
            if (family, currency) in seen:
                yield _error(f"/fee_plan/{place}", "repeated", f"{family} in {currency} has a line already")
            seen.add((family, currency))


def _beyond(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and not 0 <= value <= most


def _near(name: str, names: Iterable[str]) -> str:
    known = list(names)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"one of {', '.join(known)}"


def _error(field: str, code: str, detail: str) -> FieldError:
    return FieldError(field=field, code=code, detail=detail)
