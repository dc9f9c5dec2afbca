"""Sealing personal data: AES-256-GCM under keys derived from the key-encryption key (HKDF-SHA256, one per purpose)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from caudal.kernel.ids import random_bytes

_FORMAT: Final = b"\x01"
_NONCE_BYTES: Final = 12
_SHORTEST: Final = 1 + _NONCE_BYTES + 16  # format, nonce, tag


class SealError(Exception):
    """A sealed value was changed, belongs elsewhere, or was sealed under another key."""


def derive(kek: bytes, purpose: str) -> bytes:
    """A 32-byte key for one purpose."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"caudal " + purpose.encode()).derive(kek)


class Sealer:
    """Seals small values; `place` (shard and id) is bound in, so that a value cannot be moved to another row.

    What was sealed under a `former` key still opens; everything new is under `kek`.
    """

    def __init__(self, kek: bytes, former: Sequence[bytes] = ()) -> None:
        self._cipher = AESGCM(derive(kek, "payer data"))
        self._former = [AESGCM(derive(key, "payer data")) for key in former]
        self.fingerprint_key = derive(kek, "fingerprints")
        self._search_key = derive(kek, "search")

    def seal(self, value: bytes, place: bytes) -> bytes:
        """The sealed value: format byte, nonce, ciphertext with tag."""
        nonce = random_bytes(_NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, value, place)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """The value again. Raises SealError."""
        if sealed[:1] != _FORMAT or len(sealed) < _SHORTEST:
            raise SealError("unknown format of a sealed value")
        for cipher in (self._cipher, *self._former):
            try:
                return cipher.decrypt(sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], place)
            except InvalidTag:
                continue
        raise SealError("a sealed value does not open")

    def search_term(self, book: int, field: str, value: str) -> bytes:
        """What a value is searched by: 16 bytes that say nothing of it to whoever has no key."""
        message = f"{book}\n{field}\n{value}".encode()
        return hmac.digest(self._search_key, message, "sha256")[:16]
