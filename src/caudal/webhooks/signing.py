"""Signatures of the Standard Webhooks specification: `v1`, HMAC-SHA256 over id, time and body, in base64.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "whsec_"
TOLERANCE_S: Final = 300
_SECRET_BYTES: Final = 32


class BadSignature(Exception):
    """The message is not what its sender signed, or not of now."""


def new_secret() -> str:
    """A secret's text: `whsec_` and 256 random bits in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The bytes that a secret stands for. Raises ValueError for a text that is none."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret is `whsec_` and base64") from error


def signature(keys: Sequence[bytes], message_id: str, time_s: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature a key, so that a receiver may know the old or the new secret."""
    content = f"{message_id}.{time_s}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)


def verify(secret: str, headers: Mapping[str, str], body: bytes, now_s: float) -> None:
    """Raises BadSignature unless one of the signatures is the secret's and the time is at most five minutes off.

    `headers` has lower-case names.
    """
    message_id, time, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not message_id or not time.isascii() or not time.isdigit() or not given:
        raise BadSignature("webhook-id, webhook-timestamp and webhook-signature are needed")
    if abs(now_s - int(time)) > TOLERANCE_S:
        raise BadSignature("the time is more than five minutes off")
    expected = signature([key_of(secret)], message_id, int(time), body).encode()
    if not any(hmac.compare_digest(expected, one.encode()) for one in given.split(" ")):
        raise BadSignature("no signature is of this secret")
