"""Turns what came over the wire into asks, or names every field that is wrong. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from caudal_sandbox.bank import clabe
from caudal_sandbox.bank.model import AMOUNT_MAX_MINOR, CURRENCY, Delivery, Fault, PaymentAsk, ReturnAsk, TransferAsk
from caudal_sandbox.delivery import Status
from caudal_sandbox.fields import MISSING, Fields
from caudal_sandbox.problems import FieldError, invalid

COPIES_MAX = 100
DELAY_MAX_S = 86_400
PAYER_NAME_MAX = 40  # SPEI's "nombre del ordenante"
LIST_MAX = 100
TRACKING_KEY = re.compile(r"[A-Za-z0-9]{1,30}")  # CEP's "clave de rastreo"
RETURN_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def transfer_ask(given: Mapping[str, Any]) -> TransferAsk:
    """Parse `POST /v1/bank/transfers`."""
    fields = Fields(given, ("clabe", "amount", "currency", "payer_name", "tracking_key", "deliver"))
    number = fields.take("clabe", str, "the 18 digits of a CLABE")
    if number is not None and (complaint := clabe.complaint(number)):
        fields.wrong("clabe", "invalid_clabe", complaint)
    amount_minor = _amount(fields)
    _currency(fields)
    payer_name = fields.take("payer_name", str, f"a name of 1 to {PAYER_NAME_MAX} printable characters")
    if payer_name is not None and (complaint := payer_name_complaint(payer_name)):
        fields.wrong("payer_name", "malformed", complaint)
    tracking_key = _tracking_key(fields, required=False)
    delivery, wrong = _delivery(fields.take("deliver", dict, "an object", {}))
    if errors := fields.errors + wrong:
        raise invalid(errors)
    return TransferAsk(
        clabe=number,
        amount_minor=amount_minor,
        currency=CURRENCY,
        payer_name=payer_name,
        tracking_key=tracking_key or None,
        delivery=delivery,
    )


def payer_name_complaint(name: str) -> str | None:
    """Say what is wrong with a payer's name in a sentence for a person, or None."""
    if not name.strip():
        return "Please give a name."
    if len(name) > PAYER_NAME_MAX:
        return f"The name has more than {PAYER_NAME_MAX} characters."
    return None if name.isprintable() else "The name has characters that cannot be printed."


def redelivery_ask(given: Mapping[str, Any]) -> Delivery:
    """Parse `POST …/redeliver`: nothing, or how to deliver this time."""
    fields = Fields(given, ("deliver",))
    delivery, wrong = _delivery(fields.take("deliver", dict, "an object", {}))
    if errors := fields.errors + wrong:
        raise invalid(errors)
    return delivery


def return_ask(given: Mapping[str, Any]) -> ReturnAsk:
    """Parse `POST /v1/bank/returns`."""
    fields = Fields(given, ("return_key", "tracking_key", "amount", "currency"))
    return_key = fields.text("return_key", RETURN_KEY, "1 to 100 letters, digits, or one of _.:-")
    tracking_key = _tracking_key(fields, required=True)
    amount_minor = _amount(fields)
    _currency(fields)
    if fields.errors:
        raise invalid(fields.errors)
    return ReturnAsk(return_key=return_key, tracking_key=tracking_key, amount_minor=amount_minor, currency=CURRENCY)


def payment_ask(given: Mapping[str, Any]) -> PaymentAsk:
    """Parse `POST /v1/bank/payments`."""
    fields = Fields(given, ("payment_key", "clabe", "amount", "currency", "beneficiary_name"))
    payment_key = fields.text("payment_key", RETURN_KEY, "1 to 100 letters, digits, or one of _.:-")
    number = fields.take("clabe", str, "the 18 digits of a CLABE")
    if number is not None and (complaint := clabe.complaint(number)):
        fields.wrong("clabe", "invalid_clabe", complaint)
    amount_minor = _amount(fields)
    _currency(fields)
    name = fields.take("beneficiary_name", str, f"a name of 1 to {PAYER_NAME_MAX} printable characters")
    if name is not None and (complaint := payer_name_complaint(name)):
        fields.wrong("beneficiary_name", "malformed", complaint)
    if fields.errors:
        raise invalid(fields.errors)
    return PaymentAsk(
        payment_key=payment_key, clabe=number, amount_minor=amount_minor, currency=CURRENCY, beneficiary_name=name
    )


def list_query(given: Mapping[str, str]) -> tuple[str | None, Status | None, str | None, int]:
    """Parse the filters of the list: CLABE, status, the tracking key to go on after, limit."""
    fields = Fields(given, ("clabe", "status", "after", "limit"), pointer="")
    number = given.get("clabe")
    if number is not None and (complaint := clabe.complaint(number)):
        fields.wrong("clabe", "invalid_clabe", complaint)
    status = given.get("status")
    if status is not None and status not in set(Status):
        fields.wrong("status", "unknown_status", f"The statuses are: {', '.join(Status)}.")
    limit = given.get("limit", "20")
    if not re.fullmatch(r"[0-9]{1,3}", limit) or not 1 <= int(limit) <= LIST_MAX:
        fields.wrong("limit", "out_of_range", f"This must be a number from 1 to {LIST_MAX}.")
    if fields.errors:
        raise invalid(fields.errors)
    return number, None if status is None else Status(status), given.get("after"), int(limit)


def _amount(fields: Fields) -> int:
    what = f"an integer of centavos from 1 to {AMOUNT_MAX_MINOR}"
    return fields.whole("amount", 1, AMOUNT_MAX_MINOR, what)


def _currency(fields: Fields) -> None:
    currency = fields.take("currency", str, f'"{CURRENCY}"')
    if currency is not None and currency != CURRENCY:
        fields.wrong("currency", "unsupported_currency", f"SPEI moves {CURRENCY} only.")


def _tracking_key(fields: Fields, *, required: bool) -> str:
    default: Any = MISSING if required else ""
    return fields.text("tracking_key", TRACKING_KEY, "1 to 30 letters or digits", default)


def _delivery(given: Mapping[str, Any] | None) -> tuple[Delivery, list[FieldError]]:
    fields = Fields(given or {}, ("copies", "delay_s", "fault"), pointer="/deliver/")
    copies = fields.whole("copies", 1, COPIES_MAX, f"an integer from 1 to {COPIES_MAX}", 1)
    what = f"a number of seconds from 0 to {DELAY_MAX_S}"
    delay_s = fields.take("delay_s", (int, float), what, 0)
    if delay_s is not None and not 0 <= delay_s <= DELAY_MAX_S:
        fields.wrong("delay_s", "out_of_range", f"This must be {what}.")
        delay_s = 0
    fault = (given or {}).get("fault")
    if fault is not None and fault not in [kind.value for kind in Fault]:
        fields.wrong("fault", "unknown_fault", f"The faults are: {', '.join(Fault)}, or null.")
        fault = None
    delivery = Delivery(
        copies=copies, delay_ms=round((delay_s or 0) * 1000), fault=None if fault is None else Fault(fault)
    )
    return delivery, fields.errors
