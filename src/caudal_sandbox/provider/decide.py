"""How a payment goes on: what is, and what is asked, give what is then, or a refusal. Pure.

pending ──► authorized ──► paid         a card; automatic capture goes to paid at once
pending ──► paid                        all others
pending ──► declined | expired | cancelled      authorized ──► cancelled
expired ──► paid                        a boleto paid at the counter on its last day is settled a day later
"""

from msgspec.structs import replace

from caudal_sandbox.provider import magic
from caudal_sandbox.provider.model import Dispute, Operation, OperationAsk, Payment, PaymentAsk
from caudal_sandbox.provider.refusals import Refused, WrongMoment


def opened(ask: PaymentAsk, now_ms: int, *, declines: bool = False) -> Payment:
    """Make a payment, as far as it goes without the payer; `declines`: whatever it asks for, the issuer refuses."""
    card = ask.card
    payment = Payment(
        key=ask.key,
        method=ask.method,
        account=ask.account,
        amount_minor=ask.amount_minor,
        currency=ask.currency,
        country=ask.country,
        capture=ask.capture,
        payer_name=ask.payer_name,
        payer_document=ask.payer_document,
        phone=ask.phone,
        bank=ask.bank,
        return_url=ask.return_url,
        description=ask.description,
        brand=card.brand if card else None,
        last_four=card.last_four if card else None,
        issuer_code=card.code if card else None,
        disputes=bool(card and card.disputes) or magic.of_amount(ask.amount_minor, "later") == "disputed",
        fingerprint=ask.fingerprint,
        created_ms=now_ms,
        expires_ms=ask.expires_ms,
        status="pending",
        code=None,
        authorized_minor=0,
        captured_minor=0,
        refunded_minor=0,
        refunding_minor=0,
        disputed_minor=0,
        released=False,
        sequence=1,
        updated_ms=now_ms,
    )
    if outcome := "do_not_honor" if declines else magic.of_amount(ask.amount_minor, "outcome"):
        return replace(payment, status="declined", code=magic.code(ask.method, outcome))
    if card is None or card.challenge or ask.three_ds == "demanded":
        return payment
    return _answered_by_issuer(payment)


def paid(payment: Payment, amount_minor: int | None, now_ms: int) -> Payment:
    """The payer pays, or passes the challenge. Refuses unless the payment waits for that."""
    late = payment.status == "expired" and payment.method == "boleto"
    if payment.status != "pending" and not late:
        raise WrongMoment("not_payable", f"The payment is {payment.status}; there is nothing to pay.")
    amount_minor = payment.amount_minor if amount_minor is None else amount_minor
    if amount_minor != payment.amount_minor and payment.method != "boleto":
        raise WrongMoment("amount_fixed", "Only a boleto can be paid with another amount than was asked for.")
    moved = replace(payment, code=None, sequence=payment.sequence + 1, updated_ms=now_ms)
    if payment.method == "card":
        return _answered_by_issuer(moved)
    return replace(moved, status="paid", captured_minor=amount_minor)


def declined(payment: Payment, code: str | None, now_ms: int) -> Payment:
    """The payer or the bank declines. Refuses unless the payment waits."""
    _must_wait(payment)
    code = code or magic.DECLINED_BY_PAYER[payment.method]
    return replace(payment, status="declined", code=code, sequence=payment.sequence + 1, updated_ms=now_ms)


def expired(payment: Payment, now_ms: int) -> Payment:
    """Time is over. Refuses unless the payment waits."""
    _must_wait(payment)
    return replace(payment, status="expired", sequence=payment.sequence + 1, updated_ms=now_ms)


def operated(payment: Payment, ask: OperationAsk, now_ms: int) -> tuple[Payment, Operation]:
    """Carry out what caudal orders, or say why that is not possible."""
    match ask.kind:
        case "capture":
            moved, status, code = _captured(payment, ask)
            amount_minor = ask.amount_minor
        case "cancellation":
            moved, amount_minor = _cancelled(payment)
            status, code = "succeeded", None
        case _:
            moved, status, code = _refunded(payment, ask)
            amount_minor = ask.amount_minor
    if moved is not payment:
        moved = replace(moved, sequence=payment.sequence + 1, updated_ms=now_ms)
    operation = Operation(
        key=ask.key,
        payment_key=payment.key,
        account=payment.account,
        method=payment.method,
        kind=ask.kind,
        amount_minor=amount_minor,
        currency=payment.currency,
        fingerprint=ask.fingerprint,
        status=status,
        code=code,
        updated_ms=now_ms,
    )
    return moved, operation


def refund_ended(payment: Payment, refund: Operation, now_ms: int) -> tuple[Payment, Operation]:
    """A refund that was pending succeeds, or fails if its amount orders that."""
    amount_minor = refund.amount_minor
    fails = "refund_fails_late" in _ordered(payment, amount_minor)
    moved = replace(
        payment,
        refunding_minor=payment.refunding_minor - amount_minor,
        refunded_minor=payment.refunded_minor + (0 if fails else amount_minor),
        sequence=payment.sequence + 1,
        updated_ms=now_ms,
    )
    code = magic.code(payment.method, "processing_error") if fails else None
    return moved, replace(refund, status="failed" if fails else "succeeded", code=code, updated_ms=now_ms)


def left_to_return(payment: Payment) -> int:
    """Return what can still go back to the payer, by refund or dispute."""
    return payment.captured_minor - payment.refunded_minor - payment.refunding_minor - payment.disputed_minor


def disputed(payment: Payment, amount_minor: int | None) -> tuple[Payment, int]:
    """The payer wants money back through the bank: the payment then, and how much."""
    left_minor = left_to_return(payment)
    if not left_minor:
        raise WrongMoment("nothing_to_dispute", "There is no money of this payment to dispute.")
    amount_minor = left_minor if amount_minor is None else amount_minor
    if amount_minor > left_minor:
        raise WrongMoment("amount_too_large", f"Only {left_minor} of this payment can be disputed.")
    return replace(payment, disputed_minor=payment.disputed_minor + amount_minor), amount_minor


def dispute_ended(payment: Payment, dispute: Dispute, status: str, now_ms: int) -> tuple[Payment, Dispute]:
    """The bank decides: `won` by the merchant, or `lost`."""
    if dispute.status != "opened":
        raise WrongMoment("dispute_closed", f"The dispute was {dispute.status} before.")
    back_minor = dispute.amount_minor if status == "won" else 0
    moved = replace(payment, disputed_minor=payment.disputed_minor - back_minor)
    return moved, replace(dispute, status=status, updated_ms=now_ms)


def _answered_by_issuer(payment: Payment) -> Payment:
    if payment.issuer_code is not None:
        return replace(payment, status="declined", code=payment.issuer_code)
    if payment.capture == "manual":
        return replace(payment, status="authorized", authorized_minor=payment.amount_minor)
    amount_minor = payment.amount_minor
    return replace(payment, status="paid", authorized_minor=amount_minor, captured_minor=amount_minor, released=True)


def _must_wait(payment: Payment) -> None:
    if payment.status != "pending":
        raise WrongMoment("not_pending", f"The payment is {payment.status}; it waits for nobody.")


def _ordered(payment: Payment, amount_minor: int) -> set[str | None]:
    """What the payment's amount and the operation's own order for operations."""
    return {magic.of_amount(amount, "operation") for amount in (payment.amount_minor, amount_minor)}


def _captured(payment: Payment, ask: OperationAsk) -> tuple[Payment, str, str | None]:
    left_minor = payment.authorized_minor - payment.captured_minor
    if payment.method != "card" or payment.status not in ("authorized", "paid") or payment.released:
        raise Refused("not_capturable", f"Nothing of this payment can be captured; it is {payment.status}.")
    if ask.amount_minor > left_minor:
        raise Refused("amount_too_large", f"Only {left_minor} of this payment are left to capture.")
    if "capture_fails" in _ordered(payment, ask.amount_minor):
        return payment, "failed", magic.code("card", "processing_error")
    released = ask.final or ask.amount_minor == left_minor
    captured_minor = payment.captured_minor + ask.amount_minor
    return replace(payment, status="paid", captured_minor=captured_minor, released=released), "succeeded", None


def _cancelled(payment: Payment) -> tuple[Payment, int]:
    """Give up what waits or what is not captured: the payment then, and how much that was."""
    if payment.status == "pending":
        return replace(payment, status="cancelled", released=True), payment.amount_minor
    left_minor = payment.authorized_minor - payment.captured_minor
    if payment.released or left_minor <= 0:  # only a card is authorized before it is captured
        raise Refused("not_cancellable", f"Nothing of this payment can be cancelled; it is {payment.status}.")
    status = "cancelled" if payment.status == "authorized" else payment.status
    return replace(payment, status=status, released=True), left_minor


def _refunded(payment: Payment, ask: OperationAsk) -> tuple[Payment, str, str | None]:
    left_minor = left_to_return(payment)
    if payment.status != "paid" or not left_minor:
        raise Refused("not_refundable", f"Nothing of this payment can be refunded; it is {payment.status}.")
    if ask.amount_minor > left_minor:
        raise Refused("amount_too_large", f"Only {left_minor} of this payment are left to refund.")
    if payment.method == "boleto" and ask.destination is None:
        raise Refused("destination_required", "A boleto was paid in cash: name the account for the refund.")
    ordered = _ordered(payment, ask.amount_minor)
    if "refund_fails" in ordered:
        return payment, "failed", magic.code(payment.method, "processing_error")
    if ordered & {"refund_waits", "refund_fails_late"}:
        return replace(payment, refunding_minor=payment.refunding_minor + ask.amount_minor), "pending", None
    return replace(payment, refunded_minor=payment.refunded_minor + ask.amount_minor), "succeeded", None
