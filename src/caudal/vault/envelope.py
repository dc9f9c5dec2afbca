"""Envelopes: AES-256-GCM under a random data key for each instrument, which is wrapped under the key-encryption key.

What is bound as associated data is the purpose of a value (number, code, data key) and the instrument's place, so that
none opens as another's. A wrapped key carries the name of what it was wrapped under: CAUDAL_KEK may change while
CAUDAL_KEK_FORMER still names the keys before it, until `caudal vault rewrap` has been over every row. Rewrapping leaves
the data key and the sealed number as they are. The fingerprint is an HMAC under the newest key, and so changes with it:
with a lost key, the first digits and the last four it would soon give the number away.
"""

from __future__ import annotations

import hmac
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caudal.kernel.context import Context
from caudal.kernel.ids import random_bytes
from caudal.kernel.seal import SealError, derive

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FINGERPRINT_BYTES: Final = 16
_NUMBER: Final = b"number "
_CODE: Final = b"code "
_DATA_KEY: Final = b"data key "


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """What a card's envelope holds. Its repr says nothing."""

    number: str
    holder_name: str

    def __repr__(self) -> str:
        return "Secret()"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A card as it is stored."""

    fingerprint: bytes
    key_id: str
    wrapped: bytes
    sealed: bytes
    code: bytes | None


class Envelopes:
    """Seals and opens with the keys of one process; `context.once(Envelopes)`."""

    def __init__(self, context: Context) -> None:
        kek, former = context.settings.kek_bytes(), context.settings.former_keks()
        self.key_id = _key_id(kek)
        self._wrapping = {_key_id(key): AESGCM(derive(key, "vault keys")) for key in (*former, kek)}
        self._fingerprints = derive(kek, "card fingerprints")

    def seal(self, secret: Secret, code: str | None, *, book: int, place: bytes) -> Envelope:
        """An envelope with a data key of its own."""
        data_key = random_bytes(_KEY_BYTES)
        cipher = AESGCM(data_key)
        return Envelope(
            fingerprint=self._fingerprint(book, secret.number),
            key_id=self.key_id,
            wrapped=_encrypt(self._wrapping[self.key_id], data_key, _DATA_KEY + place),
            sealed=_encrypt(cipher, msgspec.json.encode(secret), _NUMBER + place),
            code=None if code is None else _encrypt(cipher, code.encode(), _CODE + place),
        )

    def open(self, key_id: str, wrapped: bytes, sealed: bytes, place: bytes) -> Secret:
        """Number and holder again. Raises SealError."""
        data_key = self._unwrap(key_id, wrapped, place)
        return msgspec.json.decode(_decrypt(AESGCM(data_key), sealed, _NUMBER + place), type=Secret)

    def open_code(self, key_id: str, wrapped: bytes, code: bytes, place: bytes) -> str:
        """The security code again. Raises SealError."""
        data_key = self._unwrap(key_id, wrapped, place)
        return _decrypt(AESGCM(data_key), code, _CODE + place).decode()

    def rewrap(self, key_id: str, wrapped: bytes, sealed: bytes, *, book: int, place: bytes) -> tuple[bytes, bytes]:
        """The same data key under the newest key-encryption key, and the newest fingerprint. Raises SealError."""
        data_key = self._unwrap(key_id, wrapped, place)
        secret = self.open(key_id, wrapped, sealed, place)
        fresh = _encrypt(self._wrapping[self.key_id], data_key, _DATA_KEY + place)
        return fresh, self._fingerprint(book, secret.number)

    def _unwrap(self, key_id: str, wrapped: bytes, place: bytes) -> bytes:
        wrapping = self._wrapping.get(key_id)
        if wrapping is None:
            raise SealError(f"sealed under the key {key_id}, which neither CAUDAL_KEK nor CAUDAL_KEK_FORMER is")
        return _decrypt(wrapping, wrapped, _DATA_KEY + place)

    def _fingerprint(self, book: int, number: str) -> bytes:
        return hmac.digest(self._fingerprints, f"{book}\n{number}".encode(), "sha256")[:_FINGERPRINT_BYTES]


def _key_id(kek: bytes) -> str:
    """A name for a key that says nothing of it."""
    return derive(kek, "vault key id")[:8].hex()


def _encrypt(cipher: AESGCM, value: bytes, bound: bytes) -> bytes:
    nonce = random_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, value, bound)


def _decrypt(cipher: AESGCM, sealed: bytes, bound: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise SealError("a sealed card does not open") from error
