"""The nouns: what a payer asks of the bank, what the bank has booked, and how it tells caudal.

Amounts are integer centavos (`amount_minor`), times unix milliseconds (`_ms`); JSON shows RFC 3339 with `Z`.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from caudal_sandbox.delivery import Status

CURRENCY = "MXN"
PAYER_BANK = "Sandbox bank"
AMOUNT_MAX_MINOR = 99_999_999_999


class Fault(StrEnum):
    """How a callback may be wrong on purpose."""

    UNSIGNED = "unsigned"
    TAMPERED = "tampered"
    FORGED = "forged"
    STALE = "stale"
    HOLD = "hold"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """How the callback is to be delivered: how often, how late, and how wrong."""

    copies: int = 1
    delay_ms: int = 0
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferAsk:
    """A payer's order: take this from me and put it on that CLABE."""

    clabe: str
    amount_minor: int
    currency: str
    payer_name: str
    tracking_key: str | None = None
    delivery: Delivery = field(default_factory=Delivery)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReturnAsk:
    """caudal's order: give this back to the payer of that transfer."""

    return_key: str
    tracking_key: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Transfer:
    """A booked transfer and the state of its callback.

    `asked` is the delivery of the payer's order; `round` counts how often delivery was ordered since, and `copies`
    and `fault` are the current round's. `failures` counts the attempts since the last success, for the backoff.
    """

    seq: int
    tracking_key: str
    clabe: str
    amount_minor: int
    currency: str
    payer_name: str
    paid_ms: int
    returned_minor: int
    asked: Delivery
    status: Status
    round: int
    copies: int
    fault: Fault | None
    copies_delivered: int
    attempts: int
    failures: int
    next_attempt_ms: int | None
    delivered_ms: int | None
    answer_status: int | None
    answer_detail: str | None
    answered_ms: int | None

    @property
    def lane(self) -> int:
        """The callbacks of one transfer follow each other."""
        return self.seq


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """Money that went back to a payer."""

    seq: int
    return_key: str
    tracking_key: str
    amount_minor: int
    currency: str
    returned_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PaymentAsk:
    """caudal's order: send this to that CLABE."""

    payment_key: str
    clabe: str
    amount_minor: int
    currency: str
    beneficiary_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Payment:
    """Money that caudal sent to a CLABE."""

    seq: int
    payment_key: str
    clabe: str
    amount_minor: int
    currency: str
    beneficiary_name: str
    sent_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """The bank's books in figures: amounts in centavos, the rest counts."""

    received_minor: int
    returned_minor: int
    sent_minor: int
    transfers: int
    returns: int
    payments: int
    clabes: int
    undelivered: int
    deliveries: dict[Status, int]


def pesos(amount_minor: int) -> str:
    """Write centavos as a person reads them: 1,234.50."""
    return f"{amount_minor // 100:,}.{amount_minor % 100:02d}"
