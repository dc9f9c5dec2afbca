"""What the provider tells us: verify the signature, then parse.

`Provider-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t + "." + METHOD + "." + path + "." + body)>`, the
path without host and with its query. Which of the two secrets verifies says whether it is about test or live money.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from caudal.connectors.model import Notice
from caudal.connectors.sandbox_protocol.translate import (
    Garbled,
    ProviderDispute,
    ProviderOperation,
    ProviderPayment,
    Words,
    dispute_of,
    operation_of,
    payment_of,
)
from caudal.connectors.signed import Secrets, verified_mode
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.http import Request
from caudal.kernel.parse import parser
from caudal.kernel.seal import hmac_sha256

HEADER: Final = "Provider-Signature"
_HEADER: Final = HEADER.lower().encode()


class ProviderCallback(msgspec.Struct, frozen=True, kw_only=True):
    """A callback: the object that has changed stands under the name of its type."""

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,100}$", description="the callback's own name")]
    type: Annotated[Literal["payment", "operation", "dispute"], Meta(description="which object has changed")]
    payment: Annotated[ProviderPayment | None, Meta(description="the payment as it stands now")] = None
    operation: Annotated[ProviderOperation | None, Meta(description="the operation as it stands now")] = None
    dispute: Annotated[ProviderDispute | None, Meta(description="the dispute as it stands now")] = None


_parse = parser(ProviderCallback)


def signature(secret: str, timestamp: int, method: str, path: str, body: bytes) -> str:
    """The header's value for a request."""
    signed = f"{timestamp}.{method}.{path}.".encode() + body
    return f"t={timestamp},v1={hmac_sha256(secret.encode(), signed).hex()}"


def receive(request: Request, secrets: Secrets, now_s: float, method: str, words: Words) -> Notice:
    """What a callback tells. Raises NotGenuine or Invalid."""
    path = request.path + (f"?{request.query.decode('latin-1')}" if request.query else "")
    mode = verified_mode(
        request.header(_HEADER),
        test=secrets.test,
        live=secrets.live,
        signature=lambda secret, timestamp: signature(secret, timestamp, request.method, path, request.body),
        now_s=now_s,
        window_s=secrets.window_s,
    )
    callback = _parse(request.body)
    told: Any = getattr(callback, callback.type)
    if told is None:
        raise _invalid(f"/{callback.type}", "missing", "the object that the type names is needed")
    try:
        if isinstance(told, ProviderPayment):
            return Notice(mode=mode, id=callback.id, about=payment_of(told, method, words))
        if isinstance(told, ProviderOperation):
            return Notice(mode=mode, id=callback.id, about=operation_of(told, words))
        return Notice(mode=mode, id=callback.id, about=dispute_of(told))
    except Garbled as garbled:
        raise _invalid(f"/{callback.type}", "invalid_value", str(garbled)) from garbled


def _invalid(field: str, code: str, detail: str) -> Invalid:
    error = FieldError(field=field, code=code, detail=detail)
    return Invalid("invalid_request", "the callback has errors", errors=(error,))
