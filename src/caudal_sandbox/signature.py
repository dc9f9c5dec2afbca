"""The header `Spei-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + body)>`, both ways.

Pure: the time is a parameter. The same header and secret protect callbacks to caudal and returns from it.
"""

import hashlib
import hmac
import re

HEADER = "Spei-Signature"
WINDOW_S = 300
_FORM = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class SignatureRefused(Exception):
    """The request does not prove that it comes from the holder of the secret, now."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def sign(secret: bytes, body: bytes, at_s: int) -> str:
    """Return the header's value for a body signed at a unix time in seconds."""
    return f"t={at_s},v1={_digest(secret, body, str(at_s))}"


def verify(secret: bytes, header: str | None, body: bytes, now_s: float) -> None:
    """Accept a signature not older and not newer than five minutes, else raise `SignatureRefused`."""
    if header is None:
        raise SignatureRefused("signature_missing", f"The header {HEADER} is missing.")
    form = _FORM.fullmatch(header.strip())
    if form is None:
        raise SignatureRefused("signature_malformed", f"{HEADER} must read t=<unix seconds>,v1=<64 hex digits>.")
    at, claimed = form.groups()
    # The digest comes first, so that only a holder of the secret learns anything about the bank's clock.
    if not hmac.compare_digest(_digest(secret, body, at), claimed):
        raise SignatureRefused("signature_invalid", "The signature does not fit the body.")
    if abs(now_s - int(at)) > WINDOW_S:
        raise SignatureRefused(
            "signature_expired", f"The signature is more than {WINDOW_S} seconds from the bank's time."
        )


def _digest(secret: bytes, body: bytes, at: str) -> str:
    return hmac.new(secret, at.encode() + b"." + body, hashlib.sha256).hexdigest()
