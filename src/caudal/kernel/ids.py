"""Ids: a prefix that says the kind, and a UUIDv7 (RFC 9562) that orders by time and carries the merchant's slot.

The 62 bits of `rand_b` are 22 bits of the slot and 40 random ones; with the millisecond and the 12 random bits of
`rand_a` two ids of one merchant collide in one millisecond with a chance of 2^-52.
"""

from __future__ import annotations

import os
import re
import time
from hashlib import blake2b
from typing import Final
from uuid import UUID

SLOT_MAX: Final = (1 << 22) - 1
_POOL_BYTES: Final = 4096
_DIGITS: Final = re.compile("[0-9a-f]{32}")


class _Pool:
    """Random bytes bought from the system by the block: one call for hundreds of ids and nonces."""

    def __init__(self) -> None:
        self._block = b""
        self._offset = 0

    def take(self, size: int) -> bytes:
        start = self._offset
        if start + size > len(self._block):
            self._block, start = os.urandom(_POOL_BYTES), 0
        self._offset = start + size
        return self._block[start : start + size]

    def forget(self) -> None:
        """A child process must not use its parent's bytes."""
        self._block, self._offset = b"", 0


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.forget)


def random_bytes(size: int) -> bytes:
    """Random bytes of the system's generator, each given out once; at most 4,096."""
    return _pool.take(size)


def uuid7(slot: int = 0) -> UUID:
    """A new UUIDv7 of the merchant in this slot (0 is the house)."""
    assert 0 <= slot <= SLOT_MAX, slot
    bits = int.from_bytes(_pool.take(7), "big")  # 56, of which 52 are used
    value = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | (bits >> 40 & 0xFFF) << 64
    return UUID(int=value | 0b10 << 62 | slot << 40 | bits & 0xFF_FFFF_FFFF)


def uuid8(data: bytes, kind: str = "") -> UUID:
    """A UUIDv8 made of bytes, so that the same thing said twice has one id. `kind` (16 bytes at most) keeps ids of
    different things apart.
    """
    value = int.from_bytes(blake2b(data, digest_size=16, person=kind.encode()).digest(), "big")
    return UUID(int=value & ~(0xF << 76 | 0b11 << 62) | 0x8 << 76 | 0b10 << 62)


def slot_of(id: UUID) -> int:
    """The merchant's slot that an id of ours carries."""
    return id.int >> 40 & SLOT_MAX


def public(prefix: str, id: UUID) -> str:
    """The form that merchants see: `payin_` and 32 hexadecimal digits."""
    return f"{prefix}_{id.int:032x}"


def parse(prefix: str, text: str) -> UUID | None:
    """The id in a public form, or None when the text is not one of this prefix."""
    if len(text) != len(prefix) + 33 or not text.startswith(prefix + "_"):
        return None
    digits = text[len(prefix) + 1 :]
    return UUID(int=int(digits, 16)) if _DIGITS.fullmatch(digits) else None
