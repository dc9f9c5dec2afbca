"""What may stand in a scenario's file: every field, with its limits. Unknown fields are refused."""

from typing import Annotated, Any, Literal

import msgspec

Rate = Annotated[float, msgspec.Meta(ge=0, le=100_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Share = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
Milliseconds = Annotated[float, msgspec.Meta(gt=0)]


class Create(msgspec.Struct, tag_field="ask", tag="create", forbid_unknown_fields=True, kw_only=True):
    """A new payin. `body` are further fields of the request, which go before the method's own.

    A share of 0 is for the stock alone.
    """

    share: Annotated[int, msgspec.Meta(ge=0, le=1_000)]
    method: Literal["boleto", "card", "mpesa", "pix", "pse", "spei"]
    country: Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$")] | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    amounts: Annotated[list[Amount], msgspec.Meta(min_length=1, max_length=64)] | None = None
    capture: Literal["automatic", "manual"] = "automatic"
    body: dict[str, Any] = {}


class Other(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, tag_field="ask"):
    """What is asked for beside new payins."""

    share: Share


class Capture(Other, tag="capture"):
    """Of an authorized card payin, all of it."""


class Refund(Other, tag="refund"):
    """Of a paid payin, half of it, once."""


class Cancel(Other, tag="cancel"):
    """Of a payin that waits for its payer or its capture."""


class Replay(Other, tag="replay"):
    """A request that was sent before, with its key, again."""


class Read(Other, tag="read"):
    """`GET /v1/payins/{id}`."""


class List(Other, tag="list"):
    """`GET /v1/payins`, 20 of them."""


class Search(Other, tag="search"):
    """`GET /v1/payins?reference=…`."""


class Constant(msgspec.Struct, tag_field="shape", tag="constant", forbid_unknown_fields=True, kw_only=True):
    """Always the same rate."""

    seconds: Seconds
    rate: Rate
    name: str | None = None
    arrivals: Literal["even", "poisson"] = "even"


class Ramp(msgspec.Struct, tag_field="shape", tag="ramp", forbid_unknown_fields=True, kw_only=True):
    """Evenly from one rate to another."""

    seconds: Seconds
    first: Rate
    last: Rate
    name: str | None = None
    arrivals: Literal["even", "poisson"] = "even"


class Staircase(msgspec.Struct, tag_field="shape", tag="staircase", forbid_unknown_fields=True, kw_only=True):
    """From one rate to another in equally long steps; `seconds` are those of all steps."""

    seconds: Seconds
    first: Rate
    last: Rate
    steps: Annotated[int, msgspec.Meta(ge=2, le=100)]
    name: str | None = None
    arrivals: Literal["even", "poisson"] = "even"


class Spike(msgspec.Struct, tag_field="shape", tag="spike", forbid_unknown_fields=True, kw_only=True):
    """At once up to `peak` in the middle, for `peak_seconds`, and at once down again."""

    seconds: Seconds
    rate: Rate
    peak: Rate
    peak_seconds: Seconds
    name: str | None = None
    arrivals: Literal["even", "poisson"] = "even"


class Diurnal(msgspec.Struct, tag_field="shape", tag="diurnal", forbid_unknown_fields=True, kw_only=True):
    """A recorded course of rates, `file` with the columns `time,rate`, compressed to `seconds`.

    Its rates are multiplied so that the highest one is `peak`; without it they are taken as they are.
    """

    seconds: Seconds
    file: str
    peak: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    name: str | None = None
    arrivals: Literal["even", "poisson"] = "poisson"


class Slo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True):
    """What the run has to keep; latencies are milliseconds from the scheduled arrival."""

    p50_ms: Milliseconds | None = None
    p95_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    p999_ms: Milliseconds | None = None
    max_ms: Milliseconds | None = None
    error_share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    """Of all answers and requests without an answer."""
    rate: Rate | None = None
    """Acknowledged per second, at least."""
    webhook_lag_ms: Milliseconds | None = None
    """The 99th percentile of the way of an event to its receiver."""


Phases = Constant | Ramp | Staircase | Spike | Diurnal
Requests = Create | Capture | Refund | Cancel | Replay | Read | List | Search


class File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A whole scenario."""

    about: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    requests: Annotated[list[Requests], msgspec.Meta(min_length=1, max_length=100)]
    whole_flows: bool = False
    merchants: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1
    skew: Annotated[float, msgspec.Meta(ge=0, le=3)] = 0.0
    stock: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    processes: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    warm_up_s: Annotated[float, msgspec.Meta(ge=0, le=3_600)] = 1.0
    connections: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    seconds: Seconds | None = None
    phases: Annotated[list[Phases], msgspec.Meta(max_length=100)] = []
    slo: Slo = Slo()
