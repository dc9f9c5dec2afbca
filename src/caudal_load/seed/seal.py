"""Payers' data as caudal seals it, so that it can be opened and searched: AES-256-GCM and HMAC-SHA256 under keys that
HKDF derives from the key-encryption key.
"""

import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Seal:
    """Seals small values; `place`, the id of the row's object, is bound in."""

    def __init__(self, kek: bytes) -> None:
        self._cipher = AESGCM(_derived(kek, b"caudal payer data"))
        self._search_key = _derived(kek, b"caudal search")

    def seal(self, value: bytes, place: bytes) -> bytes:
        """Format byte, nonce, ciphertext with tag."""
        nonce = os.urandom(12)
        return b"\x01" + nonce + self._cipher.encrypt(nonce, value, place)

    def search_term(self, book: int, field: str, value: str) -> bytes:
        """The 16 bytes by which a value is found."""
        return hmac.digest(self._search_key, f"{book}\n{field}\n{value}".encode(), "sha256")[:16]


def _derived(kek: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(kek)
