"""Envelopes: what is sealed opens in its own place alone, under its own key, and says nothing before."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from caudal.kernel.context import Context
from caudal.kernel.seal import SealError
from caudal.vault.envelope import Envelope, Envelopes, Secret
from caudal.vault.model import place_of
from tests.conftest import settings_of

OLD, NEW = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))
SECRET = Secret(number="4111111111111111", holder_name="ANA PEREZ")
PLACE, ELSEWHERE = place_of(2, UUID(int=1)), place_of(2, UUID(int=2))


def envelopes(kek: str, former: str | None = None) -> Envelopes:
    return Envelopes(Context(settings_of("postgresql://nowhere", kek=kek, kek_former=former), name="test"))


@pytest.fixture
async def old() -> Envelopes:
    return envelopes(OLD)


def opened(by: Envelopes, sealed: Envelope, place: bytes = PLACE) -> tuple[Secret, str | None]:
    code = None if sealed.code is None else by.opened(sealed.key_id, sealed.wrapped, place).code(sealed.code)
    number = by.opened(sealed.key_id, sealed.wrapped, place).number(sealed.sealed)
    holder = by.opened(sealed.key_id, sealed.wrapped, place).holder(sealed.holder)
    return Secret(number=number, holder_name=holder), code


async def test_what_is_sealed_opens_again(old: Envelopes) -> None:
    assert opened(old, old.seal(SECRET, "123", PLACE)) == (SECRET, "123")
    assert opened(old, old.seal(SECRET, None, PLACE)) == (SECRET, None)


async def test_nothing_sealed_is_the_same_twice(old: Envelopes) -> None:
    one, two = (old.seal(SECRET, "123", PLACE) for _ in range(2))
    assert one.wrapped != two.wrapped and one.sealed != two.sealed and one.code != two.code
    assert one.holder != two.holder


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


WRONG: list[tuple[str, Callable[[Envelopes, Envelope], Any]]] = [
    ("in another place", lambda by, e: by.opened(e.key_id, e.wrapped, ELSEWHERE).number(e.sealed)),
    ("in another book", lambda by, e: by.opened(e.key_id, e.wrapped, place_of(4, UUID(int=1))).number(e.sealed)),
    ("the code as a number", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).number(e.code or b"")),
    ("the number as a code", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).code(e.sealed)),
    ("the holder as a number", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).number(e.holder)),
    ("the number as a holder", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).holder(e.sealed)),
    (
        "a byte changed",
        lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).number(e.sealed[:-1] + bytes([e.sealed[-1] ^ 1])),
    ),
    (
        "a key changed",
        lambda by, e: by.opened(e.key_id, bytes([e.wrapped[0] ^ 1]) + e.wrapped[1:], PLACE).number(e.sealed),
    ),
    ("cut short", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).number(e.sealed[:12])),
    ("empty", lambda by, e: by.opened(e.key_id, e.wrapped, PLACE).number(b"")),
    ("under a key that nobody has", lambda by, e: by.opened("0" * 16, e.wrapped, PLACE).number(e.sealed)),
    (
        "under another card's key",
        lambda by, e: by.opened(e.key_id, by.seal(SECRET, None, PLACE).wrapped, PLACE).number(e.sealed),
    ),
]


@pytest.mark.parametrize(("how", "open"), WRONG, ids=[how for how, _ in WRONG])
async def test_what_does_not_belong_together_does_not_open(
    old: Envelopes, how: str, open: Callable[[Envelopes, Envelope], Any]
) -> None:
    sealed = old.seal(SECRET, "123", PLACE)
    with pytest.raises(SealError):
        open(old, sealed)


async def test_a_former_key_opens_and_a_forgotten_one_does_not(old: Envelopes) -> None:
    sealed = old.seal(SECRET, "123", PLACE)
    assert opened(envelopes(NEW, OLD), sealed) == (SECRET, "123")
    with pytest.raises(SealError, match="neither CAUDAL_KEK nor CAUDAL_KEK_FORMER"):
        opened(envelopes(NEW), sealed)


async def test_a_rewrapped_envelope_needs_the_new_key_alone(old: Envelopes) -> None:
    sealed = old.seal(SECRET, "123", PLACE)
    new = envelopes(NEW, OLD)
    wrapped, alone = new.rewrap(sealed.key_id, sealed.wrapped, PLACE), envelopes(NEW)
    assert alone.opened(alone.key_id, wrapped, PLACE).number(sealed.sealed) == SECRET.number
    assert alone.opened(alone.key_id, wrapped, PLACE).holder(sealed.holder) == SECRET.holder_name


async def test_a_secret_does_not_show_itself() -> None:
    assert "4111" not in repr(SECRET) and "ANA" not in str(SECRET)
