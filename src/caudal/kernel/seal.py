"""Sealing personal data: AES-256-GCM under keys derived from the key-encryption key (HKDF-SHA256, one per purpose)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from caudal.kernel.ids import random_bytes
from caudal.kernel.settings import SettingError

_FORMAT: Final = b"\x01"
_NONCE_BYTES: Final = 12
_CHECK_BYTES: Final = 16
_SHORTEST: Final = 1 + _NONCE_BYTES + 16  # format, nonce, tag


class SealError(Exception):
    """A sealed value was changed, belongs elsewhere, or was sealed under another key."""


class WrongKek(SettingError):
    """The database is sealed under a key-encryption key that this process does not have."""

    def __init__(self) -> None:
        super().__init__(
            "this database is sealed under another key-encryption key: neither CAUDAL_KEK nor CAUDAL_KEK_FORMER is it "
            "(`caudal up` keeps the one that it made in secrets.json of its directory)"
        )


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA256. What is derived of a key is kept, which saves a third of the work on a message of 500 bytes."""
    state = _keyed(key).copy()
    state.update(message)
    return state.digest()


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


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
        self.fingerprint_keys = tuple(derive(key, "fingerprints") for key in (kek, *former))
        self._checks = [derive(key, "check")[:_CHECK_BYTES] for key in (kek, *former)]
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
        return hmac_sha256(self._search_key, message)[:16]

    async def verify(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Compare the key with the one that the database remembers, by a value that says nothing of it.

        The first process leaves its own there; one that knows the remembered key as a former one puts its newer one in
        its place. Raises WrongKek.
        """
        newest = self._checks[0]
        insert = "insert into sealing_key (only_one, check_value) values (true, %s) on conflict (only_one) do nothing"
        await connection.execute(insert, (newest,))
        row = await (await connection.execute("select check_value from sealing_key")).fetchone()
        assert row is not None, "it was there or has just been written"
        if row[0] not in self._checks:
            raise WrongKek
        if row[0] != newest:
            await connection.execute("update sealing_key set check_value = %s where check_value = %s", (newest, row[0]))
