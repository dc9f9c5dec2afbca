"""Envelopes: AES-256-GCM under a random data key for each instrument, which is wrapped under the key-encryption key.

What is bound as associated data is the purpose of a value (number, holder, code, data key) and the instrument's place,
so that none opens as another's, and each is opened alone. A wrapped key carries the name of what it was wrapped under:
CAUDAL_KEK may change while CAUDAL_KEK_FORMER still names the keys before it, until `caudal vault rewrap` has been over
every row. Rewrapping leaves the data key and what is sealed under it as they are, and opens nothing but the key.

There is no digest of a number, keyed or not: whoever may keep cards could try out the few digits that are not shown.
"""

from __future__ import annotations

from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from caudal.kernel.context import Context
from caudal.kernel.ids import random_bytes
from caudal.kernel.seal import SealError, derive

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_NUMBER: Final = b"number "
_HOLDER: Final = b"holder "
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

    holder: bytes
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

    def seal(self, secret: Secret, code: str | None, place: bytes) -> Envelope:
        """An envelope with a data key of its own."""
        data_key = random_bytes(_KEY_BYTES)
        cipher = AESGCM(data_key)
        return Envelope(
            holder=_encrypt(cipher, secret.holder_name.encode(), _HOLDER + place),
            key_id=self.key_id,
            wrapped=_encrypt(self._wrapping[self.key_id], data_key, _DATA_KEY + place),
            sealed=_encrypt(cipher, secret.number.encode(), _NUMBER + place),
            code=None if code is None else _encrypt(cipher, code.encode(), _CODE + place),
        )

    def opened(self, key_id: str, wrapped: bytes, place: bytes) -> Opened:
        """What opens the values of an instrument, each alone: its data key is unwrapped once. Raises SealError."""
        return Opened(self._unwrap(key_id, wrapped, place), place)

    def rewrap(self, key_id: str, wrapped: bytes, place: bytes) -> bytes:
        """The same data key under the newest key-encryption key. Raises SealError."""
        return _encrypt(self._wrapping[self.key_id], self._unwrap(key_id, wrapped, place), _DATA_KEY + place)

    def _unwrap(self, key_id: str, wrapped: bytes, place: bytes) -> bytes:
        wrapping = self._wrapping.get(key_id)
        if wrapping is None:
            raise SealError(f"sealed under the key {key_id}, which neither CAUDAL_KEK nor CAUDAL_KEK_FORMER is")
        return _decrypt(wrapping, wrapped, _DATA_KEY + place)


class Opened:
    """An instrument's data key, for as long as its values are looked at. Every method raises SealError."""

    def __init__(self, data_key: bytes, place: bytes) -> None:
        self._cipher, self._place = AESGCM(data_key), place

    def number(self, sealed: bytes) -> str:
        """The number again."""
        return _decrypt(self._cipher, sealed, _NUMBER + self._place).decode()

    def holder(self, holder: bytes) -> str:
        """The holder's name again."""
        return _decrypt(self._cipher, holder, _HOLDER + self._place).decode()

    def code(self, code: bytes) -> str:
        """The security code again."""
        return _decrypt(self._cipher, code, _CODE + self._place).decode()


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
