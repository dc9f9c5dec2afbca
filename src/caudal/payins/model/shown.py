"""How a payin is shown: to its merchant, in events, in stored answers. Only the first sees the payer."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from caudal.connectors import Action, AwaitPush, Redirect, ShowQr, ShowVoucher
from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.payins.model.payin import Capture, Detail, Payer, Payin
from caudal.payins.states import Status

BENEFICIARY: Final = "caudal"
_PHONE_SHOWN: Final = 3


class BankDetails(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_bank_details"):
    """The payer transfers exactly this amount to this CLABE."""

    clabe: str
    beneficiary: str
    amount: int
    currency: str
    expires_at: str
    payer_page: str | None


class RedirectTo(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="redirect"):
    """The payer goes to this page, and comes back to `return_url`."""

    url: str
    expires_at: str
    payer_page: str | None


class Qr(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_qr"):
    """The payer scans this code, or copies and pastes it."""

    payload: str
    expires_at: str
    payer_page: str | None


class Voucher(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="show_voucher"):
    """The payer pays at a counter, at a cash machine or in a bank's app, by the line or its barcode."""

    line: str
    barcode: str
    due_on: str
    url: str | None
    expires_at: str
    payer_page: str | None


class Push(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="await_push"):
    """The payer confirms on the phone; only its last digits are shown."""

    phone: str
    expires_at: str
    payer_page: str | None


NextAction = BankDetails | RedirectTo | Qr | Voucher | Push


class InstrumentUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What the payer pays with."""

    id: str | None
    brand: str | None
    last_four: str | None
    bank: str | None


class PayinBody(msgspec.Struct, frozen=True, kw_only=True):
    """A payin as the API and the events show it. Personal data is added where a merchant asks for the payin itself."""

    id: str
    object: Literal["payin"] = "payin"
    mode: Literal["test", "live"]
    status: Status
    status_reason: str | None
    amount: int
    currency: str
    country: str
    method: str
    provider: str | None = None
    instrument: InstrumentUsed | None = None
    capture: Capture = "automatic"
    amount_authorized: int = 0
    amount_captured: int = 0
    amount_received: int
    amount_refunded: int = 0
    amount_disputed: int = 0
    fees: int
    fee_plan: int
    reference: str | None
    description: str | None
    metadata: dict[str, str]
    return_url: str | None = None
    next_action: NextAction | None
    dispute: str | None = None
    created_at: str
    expires_at: str
    paid_at: str | None
    available_on: str | None = None


class PayinWithPayer(PayinBody, frozen=True, kw_only=True):
    """A payin with its payer, for whoever may see it."""

    payer: Payer | None


def body_of(payin: Payin, payer_page: str | None = None, detail: Detail | None = None) -> PayinBody:
    """The payin as it is shown. `payer_page` is the sandbox's address; `detail` where it need not be read again."""
    return PayinBody(**_fields(payin, payer_page, detail or payin.details()))


def body_with_payer(payin: Payin, payer: Payer | None, payer_page: str | None = None) -> PayinWithPayer:
    """The payin with its payer."""
    return PayinWithPayer(payer=payer, **_fields(payin, payer_page, payin.details()))


def _fields(payin: Payin, payer_page: str | None, detail: Detail) -> dict[str, Any]:
    return {
        "id": ids.public("payin", payin.id),
        "mode": "live" if payin.book & 1 else "test",
        "status": payin.status,
        "status_reason": payin.reason,
        "amount": payin.amount_minor,
        "currency": payin.currency,
        "country": payin.country,
        "method": payin.method,
        "provider": detail.attempts[-1].provider if detail.attempts else None,
        "instrument": _instrument(detail),
        "capture": detail.capture,
        "amount_authorized": payin.authorized_minor,
        "amount_captured": payin.captured_minor,
        "amount_received": payin.received_minor,
        "amount_refunded": payin.refunded_minor,
        "amount_disputed": payin.disputed_minor,
        "fees": payin.fee_minor,
        "fee_plan": payin.fee_plan,
        "reference": payin.reference,
        "description": detail.description,
        "metadata": detail.metadata,
        "return_url": detail.return_url,
        "next_action": next_action(payin, detail, payer_page),
        "dispute": None if detail.dispute is None else ids.public("dispute", detail.dispute),
        "created_at": rfc3339(payin.created_at),
        "expires_at": rfc3339(payin.expires_at),
        "paid_at": None if payin.paid_at is None else rfc3339(payin.paid_at),
        "available_on": None if payin.available_on is None else payin.available_on.isoformat(),
    }


def _instrument(detail: Detail) -> InstrumentUsed | None:
    chosen = detail.chosen
    if chosen is None:
        return None
    id = None if chosen.instrument is None else ids.public("instr", chosen.instrument)
    return InstrumentUsed(id=id, brand=chosen.brand, last_four=chosen.last_four, bank=chosen.bank)


def next_action(payin: Payin, detail: Detail, payer_page: str | None) -> NextAction | None:
    """What the payer has to do while the payin is pending; a transfer's amount is what is still missing."""
    if payin.status is not Status.PENDING:
        return None
    if detail.action is not None:
        return _of_provider(detail.action, rfc3339(payin.expires_at), detail.payer_page)
    if detail.clabe is None:
        return None
    left = payin.amount_minor - payin.received_minor
    page = f"{payer_page}/pay?clabe={detail.clabe}&amount={left}" if payer_page and not payin.book & 1 else None
    return BankDetails(
        clabe=detail.clabe,
        beneficiary=BENEFICIARY,
        amount=left,
        currency=payin.currency,
        expires_at=rfc3339(payin.expires_at),
        payer_page=page,
    )


def _of_provider(action: Action, expires_at: str, page: str | None) -> NextAction:
    match action:
        case Redirect(url=url):
            return RedirectTo(url=url, expires_at=expires_at, payer_page=page)
        case ShowQr(payload=payload):
            return Qr(payload=payload, expires_at=expires_at, payer_page=page)
        case ShowVoucher(line=line, barcode=barcode, due_on=due_on, url=url):
            return Voucher(line=line, barcode=barcode, due_on=due_on, url=url, expires_at=expires_at, payer_page=page)
        case AwaitPush(phone=phone):
            return Push(phone=phone, expires_at=expires_at, payer_page=page)


def without_personal_data(action: Action | None) -> Action | None:
    """An action as it may be kept beside a payin: of a phone number only the last digits."""
    if isinstance(action, AwaitPush):
        return AwaitPush(phone="…" + action.phone[-_PHONE_SHOWN:])
    return action
