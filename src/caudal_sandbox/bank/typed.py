"""What a person typed on the page, and the order to the bank that it makes. Pure.

"Pay less" pays half of the amount and "pay more" a tenth above it: enough to see what caudal does with either.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from caudal_sandbox.bank import clabe
from caudal_sandbox.bank.books import new_tracking_key
from caudal_sandbox.bank.model import AMOUNT_MAX_MINOR, CURRENCY, Delivery, Fault, TransferAsk, pesos
from caudal_sandbox.bank.parse import COPIES_MAX, DELAY_MAX_S, TRACKING_KEY, payer_name_complaint

PESOS = re.compile(r"\$?\s*([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12})(?:\.([0-9]{1,2}))?")
DEFAULT_PAYER = "Ana Pérez"
LIKE_THIS = "Please write pesos and centavos, like 120.50."
TOO_MUCH = f"The most that can be sent at once is {pesos(AMOUNT_MAX_MINOR)}."


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """The form's fields as text; `requested_minor` is what the link that led here asked for, in centavos."""

    clabe: str = ""
    pesos: str = ""
    payer_name: str = DEFAULT_PAYER
    copies: str = "1"
    delay_s: str = "0"
    fault: str = ""
    pay: str = "exact"
    tracking_key: str = ""
    requested_minor: int | None = None

    @property
    def clabe_digits(self) -> str:
        """The CLABE without the blanks that people write."""
        return re.sub(r"[\s-]", "", self.clabe)


def from_address(query: Mapping[str, str]) -> tuple[Form, dict[str, str]]:
    """Fill the form from `?clabe=&amount=` (centavos)."""
    errors: dict[str, str] = {}
    amount = query.get("amount", "")
    requested = int(amount) if re.fullmatch(r"[0-9]{1,11}", amount) else 0
    if amount and not requested:
        errors["pesos"] = "The link that led here has an amount that is not a number of centavos."
    form = Form(
        clabe=query.get("clabe", ""),
        pesos=pesos(requested) if requested else "",
        tracking_key=new_tracking_key(),
        requested_minor=requested or None,
    )
    if form.clabe and (complaint := clabe.complaint(form.clabe_digits)):
        errors["clabe"] = complaint
    return form, errors


def from_form(posted: Mapping[str, str]) -> Form:
    """Read the form back, judging nothing yet."""
    requested = posted.get("requested", "")
    return Form(
        clabe=posted.get("clabe", ""),
        pesos=posted.get("pesos", ""),
        payer_name=posted.get("payer_name", ""),
        copies=posted.get("copies", "1"),
        delay_s=posted.get("delay_s", "0"),
        fault=posted.get("fault", ""),
        pay=posted.get("pay", "exact"),
        tracking_key=posted.get("tracking_key", "") or new_tracking_key(),
        requested_minor=int(requested) if re.fullmatch(r"[0-9]{1,11}", requested) else None,
    )


def order(form: Form) -> tuple[TransferAsk | None, dict[str, str]]:
    """Make the order, or say what is wrong beside which field."""
    errors: dict[str, str] = {}
    number = form.clabe_digits
    complaint = clabe.complaint(number) if number else "Please give the CLABE to pay to."
    if complaint:
        errors["clabe"] = complaint
    amount_minor, complaint = _amount(form)
    if complaint:
        errors["pesos"] = complaint
    name = form.payer_name.strip()
    if complaint := payer_name_complaint(name):
        errors["payer_name"] = complaint
    delivery, wrong = _delivery(form)
    errors |= wrong
    if not TRACKING_KEY.fullmatch(form.tracking_key):
        errors["form"] = "This form is damaged; please load the page again."
    if errors:
        return None, errors
    ask = TransferAsk(
        clabe=number,
        amount_minor=amount_minor,
        currency=CURRENCY,
        payer_name=name,
        tracking_key=form.tracking_key,
        delivery=delivery,
    )
    return ask, {}


def _amount(form: Form) -> tuple[int, str | None]:
    """Return the centavos to pay by the button that was pressed, or a complaint."""
    form_of = PESOS.fullmatch(form.pesos.strip())
    if form_of is None:
        return 0, LIKE_THIS
    whole, cents = form_of.groups()
    amount_minor = int(whole.replace(",", "")) * 100 + int((cents or "").ljust(2, "0"))
    if amount_minor == 0:
        return 0, "Please give an amount above zero."
    match form.pay:
        case "less":
            amount_minor //= 2
        case "more":
            amount_minor += max(1, amount_minor // 10)
        case "exact":
            pass
        case _:
            return 0, "Please use one of the three buttons."
    if amount_minor == 0:
        return 0, "There is no less than one centavo."
    return (0, TOO_MUCH) if amount_minor > AMOUNT_MAX_MINOR else (amount_minor, None)


def _delivery(form: Form) -> tuple[Delivery, dict[str, str]]:
    errors: dict[str, str] = {}
    copies = int(form.copies) if re.fullmatch(r"[0-9]{1,3}", form.copies) else 0
    if not 1 <= copies <= COPIES_MAX:
        errors["copies"] = f"Please give a number from 1 to {COPIES_MAX}."
    delay_s = int(form.delay_s) if re.fullmatch(r"[0-9]{1,5}", form.delay_s) else -1
    if not 0 <= delay_s <= DELAY_MAX_S:
        errors["delay_s"] = f"Please give a number of seconds from 0 to {DELAY_MAX_S}."
    fault = None
    if form.fault and form.fault not in list(Fault):
        errors["fault"] = "Please choose one of the list."
    elif form.fault:
        fault = Fault(form.fault)
    return Delivery(copies=copies, delay_ms=delay_s * 1000, fault=fault), errors
