"""The service level objectives: what users can count on, as a share of 30 days. docs/slos.md says it to people.

`bad` is a PromQL expression: the share of requests or calls that was bad within `{window}`, or, of time, 1 while it is.
"""

from __future__ import annotations

from typing import Final, NamedTuple

WINDOW_DAYS: Final = 30
_REQUESTS: Final = "http_server_request_duration_seconds"
_API: Final = 'http_route=~"/v1/.*"'
_PAYINS: Final = 'http_request_method="POST",http_route="/v1/payins"'
_BROKEN_OF_MANY: Final = 'http_response_status_code=~"5.."'
_BROKEN: Final = f"{_API},{_BROKEN_OF_MANY}"
_BULK: Final = "caudal_bulk_payins_total"  # each payin of many has an answer of its own, and counts as a request
_IN_TIME: Final = f'{_PAYINS},le="1.0"'


class Slo(NamedTuple):
    """An objective: `target` is the share that must be good. `pages` says whether its alerts wake somebody."""

    name: str
    title: str
    target: float
    bad: str
    promise: str
    why: str
    pages: bool = True
    of_time: bool = False


def _share(bad: str, all: str) -> str:
    """Of what was counted; without anything counted there is nothing bad."""
    return f"({bad}) / ({all} > 0) or 0 * ({all})"


def _rate(name: str, matchers: str = "") -> str:
    return f"sum(rate({name}{{{matchers}}}[{{window}}]))" if matchers else f"sum(rate({name}[{{window}}]))"


def _if_any(rate: str) -> str:
    """As a part of a sum: of what was never counted there is nothing."""
    return f"({rate} or vector(0))"


SLOS: Final[tuple[Slo, ...]] = (
    Slo(
        name="availability",
        title="Requests are answered",
        target=0.999,
        bad=_share(
            f"{_if_any(_rate(f'{_REQUESTS}_count', _BROKEN))} + {_if_any(_rate(_BULK, _BROKEN_OF_MANY))}",
            f"({_rate(f'{_REQUESTS}_count', _API)} + {_if_any(_rate(_BULK))})",
        ),
        promise="99.9 % of the API's requests are answered, and not with 5xx; each payin of `POST /v1/payins/bulk` "
        "counts as a request of its own.",
        why="A refusal because too much waits (503) is safe to repeat, and still a request that was not done.",
    ),
    Slo(
        name="latency",
        title="Payins are created within a second",
        target=0.99,
        bad=_share(
            f"{_rate(f'{_REQUESTS}_count', _PAYINS)} - {_rate(f'{_REQUESTS}_bucket', _IN_TIME)}",
            _rate(f"{_REQUESTS}_count", _PAYINS),
        ),
        promise="99 % of `POST /v1/payins` are answered within 1 s, the provider's time included.",
        why="A payer waits for it. A provider that is slow costs this objective; its breaker bounds for how long.",
    ),
    Slo(
        name="webhooks",
        title="Events are on their way within ten seconds",
        target=0.995,
        bad='max(caudal_webhook_lag_seconds{caudal_state=~"unmade|first"}) > bool 10',
        of_time=True,
        promise="During 99.5 % of the time no event waits longer than 10 s for the first try of its delivery.",
        why="Merchants ship goods when they hear of a payment. What an endpoint refuses is its own, and not counted.",
    ),
    Slo(
        name="sweeps",
        title="What is due is done within two minutes",
        target=0.995,
        bad="max(caudal_due_oldest_age_seconds) > bool {120:age}",
        of_time=True,
        promise="During 99.5 % of the time nothing is due for longer than 2 min: expiries, unknown outcomes, releases.",
        why="An outcome that nobody asks about is a payer who waits; a release that is late is a merchant's money.",
    ),
    Slo(
        name="providers",
        title="Providers answer",
        target=0.99,
        bad=_share(
            _if_any(_rate("caudal_provider_failed_total")),
            _rate("caudal_provider_calls_total"),
        ),
        promise="99 % of the calls to providers come to an outcome at once.",
        why="The others are asked about until they do; each is a payer who waits. Routing goes around it.",
        pages=False,
    ),
)
