"""How providers and the bank sign and answer, written down once more: nothing here is caudal's."""

from __future__ import annotations

import hmac
from typing import Any, Final

import msgspec

from caudal_simulation.network import Answer

BANK_SECRET: Final = "test secret"


def provider_signature(secret: str, at: int, path: str, body: bytes) -> str:
    """How a provider signs a callback."""
    signed = f"{at}.POST.{path}.".encode() + body
    return f"t={at},v1={hmac.digest(secret.encode(), signed, 'sha256').hex()}"


def bank_signature(at: int, body: bytes) -> str:
    """How the bank signs one."""
    return f"t={at},v1={hmac.digest(BANK_SECRET.encode(), str(at).encode() + b'.' + body, 'sha256').hex()}"


def found(known: dict[str, Any] | None) -> Answer:
    """What is asked for, or that it is not there."""
    return problem(404, "not_found") if known is None else (200, msgspec.json.encode(known))


def problem(status: int, code: str) -> Answer:
    """A refusal (RFC 9457)."""
    told = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": code}
    return status, msgspec.json.encode(told)
