"""The refusals of the bank's books, said in HTTP."""

from caudal_sandbox.bank.books import (
    BookRefusal,
    PaymentKeyReused,
    ReturnKeyReused,
    ReturnTooLarge,
    TrackingKeyReused,
    TransferUnknown,
)
from caudal_sandbox.problems import FieldError, Problem


def of_refusal(refusal: BookRefusal) -> Problem:
    """Say a refusal of the books in HTTP."""
    match refusal:
        case TransferUnknown():
            return Problem(404, "transfer_unknown", "No transfer has this tracking key.")
        case TrackingKeyReused():
            detail = "A transfer with this tracking key exists and differs."
            return Problem(409, "tracking_key_reused", detail, _differing(refusal))
        case ReturnKeyReused():
            return Problem(409, "return_key_reused", "A return with this key exists and differs.", _differing(refusal))
        case PaymentKeyReused():
            return Problem(409, "payment_key_reused", "A payment with this key differs.", _differing(refusal))
        case ReturnTooLarge():
            left = refusal.args[0]
            detail = f"Only {left} centavos of this transfer are left to return."
            errors = [FieldError(field="/amount", code="too_large", detail=detail)]
            return Problem(409, "return_exceeds_transfer", detail, errors)
    raise AssertionError(f"a refusal without a problem: {refusal!r}")


def _differing(refusal: BookRefusal) -> list[FieldError]:
    names = [name.removesuffix("_minor") for name in refusal.args]
    return [FieldError(field=f"/{name}", code="differs", detail="Differs from what was booked.") for name in names]
