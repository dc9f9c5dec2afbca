"""The provider's nouns as they go over the wire. Pure."""

from typing import Any

from caudal_sandbox.provider import boleto, emv
from caudal_sandbox.provider.model import Dispute, Operation, Payment
from caudal_sandbox.wire import rfc3339


def payment(shown: Payment, url: str) -> dict[str, Any]:
    """Show a payment; `url` is where the provider answers."""
    return {
        "id": "pp_" + shown.key[8:],
        "key": shown.key,
        "method": shown.method,
        "account": shown.account,
        "status": shown.status,
        "amount": shown.amount_minor,
        "currency": shown.currency,
        "authorized": shown.authorized_minor,
        "captured": shown.captured_minor,
        "refunded": shown.refunded_minor,
        "code": shown.code,
        "action": action(shown, url) if shown.status == "pending" else None,
        "payer_page": f"{url}/pay/{shown.key}",
        "sequence": shown.sequence,
        "updated_at": rfc3339(shown.updated_ms),
    }


def action(shown: Payment, url: str) -> dict[str, Any]:
    """Say what the payer of a payment that waits is to do."""
    match shown.method:
        case "pix":
            return {"type": "qr", "payload": pix_code(shown, url)}
        case "boleto":
            due = boleto.due_on(shown.expires_ms)
            code = boleto.barcode(shown.key, shown.amount_minor, due)
            page = f"{url}/pay/{shown.key}"
            return {"type": "voucher", "line": boleto.line(code), "barcode": code, "due_on": str(due), "url": page}
        case "mpesa":
            return {"type": "push", "phone": shown.phone}
        case _:
            return {"type": "redirect", "url": f"{url}/pay/{shown.key}"}


def pix_code(shown: Payment, url: str) -> str:
    """Write the code of a Pix payment; what it points at is the payer's page."""
    return emv.pix_payload(f"{url.partition('://')[2]}/pay/{shown.key}", shown.amount_minor)


def operation(shown: Operation) -> dict[str, Any]:
    """Show an operation."""
    return {
        "id": "po_" + shown.key[8:],
        "key": shown.key,
        "payment_key": shown.payment_key,
        "account": shown.account,
        "kind": shown.kind,
        "status": shown.status,
        "amount": shown.amount_minor,
        "currency": shown.currency,
        "code": shown.code,
        "updated_at": rfc3339(shown.updated_ms),
    }


def dispute(shown: Dispute) -> dict[str, Any]:
    """Show a dispute."""
    return {
        "reference": shown.reference,
        "payment_key": shown.payment_key,
        "account": shown.account,
        "status": shown.status,
        "amount": shown.amount_minor,
        "currency": shown.currency,
        "code": shown.code,
        "respond_by": rfc3339(shown.respond_by_ms),
    }


def statement_line(provider: str, shown: Payment) -> dict[str, Any]:
    """Show a payment in a provider's statement. `held` is what of the authorization still holds the payer's money."""
    return {
        "provider": provider,
        "key": shown.key,
        "method": shown.method,
        "account": shown.account,
        "currency": shown.currency,
        "status": shown.status,
        "authorized": shown.authorized_minor,
        "held": 0 if shown.released else max(shown.authorized_minor - shown.captured_minor, 0),
        "captured": shown.captured_minor,
        "refunded": shown.refunded_minor,
        "disputed": shown.disputed_minor,
    }
