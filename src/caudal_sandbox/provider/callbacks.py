"""Which callbacks a change makes, right ones and, where the amount orders it, wrong ones. Pure but for new ids.

What was told in an answer is not told again, unless the amount orders a fault of callbacks, or the answer got lost.
"""

import secrets
from typing import Any

from msgspec.structs import replace

from caudal_sandbox import wire
from caudal_sandbox.provider import magic, shown
from caudal_sandbox.provider.model import Callback, Dispute, Operation, Payment

LOST_ANSWERS = ("silence_after", "error_after", "reset_after", "drip")
AFTER_LOST_MS = 1_000
CONTRADICTION_MS = 300


def of_answer(payment: Payment, url: str) -> list[Callback]:
    """List the callbacks of a payment that has just been answered."""
    if magic.of_amount(payment.amount_minor, "answer") in LOST_ANSWERS:
        return [_about(payment, url, delay_ms=AFTER_LOST_MS)]
    fault = magic.of_amount(payment.amount_minor, "callback")
    if fault is None:
        return []
    if payment.status != "pending" or fault == "early":
        return of_change(payment, url)
    # A payment that waits for its payer: the others have their time when she has paid.
    return [_forged(payment, url)] if fault == "forged" else []


def of_change(payment: Payment, url: str) -> list[Callback]:
    """List the callbacks of a change that nobody has been told of."""
    right = _about(payment, url)
    match magic.of_amount(payment.amount_minor, "callback"):
        case "twice":
            return [replace(right, copies=2)]
        case "reordered":
            return [right, _about(_before(payment), url)]
        case "contradictory":
            return [right, _about(_contrary(payment), url, delay_ms=CONTRADICTION_MS)]
        case "forged":
            return [_forged(payment, url), right]
        case "other_account":
            return [_about(replace(payment, account=_other_account(payment.account)), url), right]
        case "unknown_key":
            return [_about(replace(payment, key=secrets.token_hex(16)), url), right]
    return [right]


def of_operation(operation: Operation, *, delay_ms: int = 0) -> Callback:
    """Tell how an operation ended."""
    return _callback(operation.method, "operation", shown.operation(operation), delay_ms=delay_ms)


def of_dispute(dispute: Dispute) -> Callback:
    """Tell how a dispute stands."""
    return _callback(dispute.method, "dispute", shown.dispute(dispute))


def _about(payment: Payment, url: str, *, delay_ms: int = 0, forged: bool = False) -> Callback:
    return _callback(payment.method, "payment", shown.payment(payment, url), delay_ms=delay_ms, forged=forged)


def _callback(method: str, about: str, told: dict[str, Any], *, delay_ms: int = 0, forged: bool = False) -> Callback:
    body = wire.text({"id": "cb_" + secrets.token_hex(12), "type": about, about: told})
    return Callback(method=method, body=body, delay_ms=delay_ms, forged=forged)


def _before(payment: Payment) -> Payment:
    return replace(
        payment, status="pending", code=None, authorized_minor=0, captured_minor=0, sequence=payment.sequence - 1
    )


def _contrary(payment: Payment) -> Payment:
    sequence = payment.sequence + 1
    if payment.status in ("paid", "authorized"):
        code = magic.code(payment.method, "do_not_honor")
        return replace(payment, status="declined", code=code, authorized_minor=0, captured_minor=0, sequence=sequence)
    return _paid(replace(payment, sequence=sequence))


def _forged(payment: Payment, url: str) -> Callback:
    return _about(_paid(payment), url, forged=True)


def _paid(payment: Payment) -> Payment:
    authorized_minor = payment.amount_minor if payment.method == "card" else 0
    return replace(
        payment, status="paid", code=None, authorized_minor=authorized_minor, captured_minor=payment.amount_minor
    )


def _other_account(account: str) -> str:
    return str(int(account) + 1) if account.isdecimal() else account + "1"
