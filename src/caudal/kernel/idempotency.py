"""Idempotency keys as they come in: the header, the scope, the digest, and the fingerprint of what was asked.

The header is a Structured Field String in the IETF's draft (quoted) and bare in most clients; both are taken. Only a
digest is stored, because merchants put personal data into keys; the fingerprint is an HMAC for the same reason.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from caudal.kernel.commit import Key
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.http import Request
from caudal.kernel.seal import hmac_sha256

_HEADER: Final = b"idempotency-key"
LENGTH_MAX: Final = 255
_DIGEST_BYTES: Final = 16
_IS_KNOWN: Final = "select 1 from key where shard = %s and book = %s and digest = %s limit 1"


def digest(scope: str, text: str) -> bytes:
    """The 16 bytes under which a key is stored."""
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES, person=scope.encode()).digest()


def fingerprint(secret: bytes, method: str, path: str, body: bytes) -> bytes:
    """What was asked: HMAC-SHA256 of method, path and raw body, 16 bytes of it."""
    message = b"\n".join((method.encode(), path.encode(), body))
    return hmac_sha256(secret, message)[:_DIGEST_BYTES]


def header_of(request: Request) -> str | None:
    """The key that a request names, or None. Raises Invalid when it is malformed."""
    raw = request.headers.get(_HEADER)
    if raw is None:
        return None
    text = raw.decode("latin-1").strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 1 <= len(text) <= LENGTH_MAX or not text.isascii() or not text.isprintable():
        error = FieldError(
            field="Idempotency-Key", code="invalid_value", detail=f"1 to {LENGTH_MAX} printable ASCII characters"
        )
        raise Invalid("invalid_key", "the Idempotency-Key cannot be used", errors=(error,))
    return text


def key_of(request: Request, book: int, secrets: Sequence[bytes], prefix: str = "") -> Key:
    """The key of a request that must have one; `prefix` is its object's. Raises Invalid without."""
    key = optional_key_of(request, book, secrets, prefix)
    if key is None:
        error = FieldError(field="Idempotency-Key", code="missing", detail="this header is needed")
        raise Invalid("key_missing", "a request that moves money needs an Idempotency-Key", errors=(error,))
    return key


def optional_key_of(request: Request, book: int, secrets: Sequence[bytes], prefix: str = "") -> Key | None:
    """The key of a request that may have one; `secrets` are today's and former ones. Raises Invalid when malformed."""
    text = header_of(request)
    if text is None:
        return None
    return named(text, request.method, request.path, request.body, book, secrets, prefix)


def named(text: str, method: str, path: str, body: bytes, book: int, secrets: Sequence[bytes], prefix: str = "") -> Key:
    """The key of this text, of what is asked by this method, path and body."""
    newest, *former = (fingerprint(secret, method, path, body) for secret in secrets)
    return Key(book=book, digest=digest("api", text), fingerprint=newest, former=tuple(former), prefix=prefix)


async def is_known(context: Context, shard: int, key: Key) -> bool:
    """Whether this key was used before: what a request would be refused for now does not refuse its repetition."""
    return await context.row(_IS_KNOWN, (shard, key.book, key.digest)) is not None


def following(key: Key, step: str) -> Key:
    """The key of a later step of what a key began."""
    return Key(book=key.book, digest=digest(step, key.digest.hex()), fingerprint=key.fingerprint, former=key.former)
