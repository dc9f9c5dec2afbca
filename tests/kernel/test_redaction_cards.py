"""Cards' numbers in texts, whatever they are glued to: none comes out, and ids, accounts, amounts and times do."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from caudal.kernel.telemetry import redact

SHOWN_MAX = 8  # digits of a card that may stand anywhere (PCI DSS 3.4.1: the first six or eight, or the last four)
SPACES = ("\u00a0", "\u202f", "\u2009", "\u3000")
BETWEEN = ("", "", " ", ".", ",", ", ", "\n", "\r\n", "\t", "-", "_", "/", "+", " - ", "\u2011", "\u2013", *SPACES)
WORDS = st.text("abxyzABXYZ_", max_size=9)


def with_check_digit(digits: str, by: int = 0) -> str:
    """These digits and the one by which they are a card's number (ISO/IEC 7812-1, annex B), or one that is off it."""
    doubled = [sum(divmod(2 * int(char), 10)) for char in digits[::-2]]
    return digits + str((by - sum(doubled) - sum(int(char) for char in digits[-2::-2])) % 10)


@st.composite
def numbers(draw: st.DrawFn, *, off: bool = False) -> str:
    first = draw(st.sampled_from("23456789"))
    rest = draw(st.text("0123456789", min_size=10, max_size=17))
    return with_check_digit(first + rest, draw(st.integers(1, 9)) if off else 0)


def in_groups(number: str, between: str) -> str:
    """As it is embossed: fours, or four, six and five of American Express."""
    ends = (4, 10) if len(number) == 15 else range(4, len(number), 4)
    return between.join(number[at:end] for at, end in itertools.pairwise((0, *ends, len(number))))


def shown(text: str) -> int:
    return sum(char.isdigit() for char in re.sub("%[0-9A-F]{2}", "", text))


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ("pan4111111111111111x", "pan…x"),
        ("card_4111111111111111", "card_…"),
        ("ab4111111111111111", "ab…"),
        ("4111.1111.1111.1111", "…"),
        ("a4111,1111,1111,1111", "a…"),
        ("of 4111\n1111\n1111\n1111\nso", "of …\nso"),
        ("4111\u00a01111\u00a01111\u00a01111", "…"),
        ("+52\u00a055\u00a01234\u00a05678", "…"),
        ("x3782\u202f822463\u202f10005y", "x…y"),
        ("https://shop.example/cards_4111111111111111/x", "https://shop.example/cards_…/x"),
        ("/v1/pan4111%201111%201111%201111/x", "/v1/pan…/x"),
        ("/v1/pan4111%C2%A01111%C2%A01111%C2%A01111", "/v1/pan…"),
        ("order_12_4111111111111111_7", "order_12_…_7"),
        ("a4111111111111111b5555555555554444c", "a…b…c"),
        ("x٤١١١١١١١١١١١١١١١y", "x…y"),
    ],
)
def test_a_card_is_gone_and_what_it_is_glued_to_stays(told: str, left: str) -> None:
    assert redact.text(told) == left


@given(numbers(), st.sampled_from(BETWEEN), WORDS, WORDS)
@example(with_check_digit("3612345678901"), " ", "x", "")
@settings(max_examples=80)
def test_no_card_comes_out_whatever_it_is_glued_to(number: str, between: str, before: str, behind: str) -> None:
    for written in {in_groups(number, between), quote(in_groups(number, between))}:
        for told in (before + written + behind, f"https://host/{before}{written}{behind}/x?", f"12 {before}{written}"):
            left = redact.text(told)
            assert number not in re.sub(r"\D", "", left)
            assert shown(left) <= SHOWN_MAX + 2, f"{told!r}: {left!r}"


@given(numbers(), st.sampled_from(BETWEEN))
@settings(max_examples=25)
def test_nor_half_of_it_where_a_text_is_cut(number: str, between: str) -> None:
    written = in_groups(number, between)
    for length in range(1_999 - len(written), 2_001, 4):
        assert shown(redact.text("x" * length + written + "y" * 30)) <= SHOWN_MAX
        assert shown(redact.text("a " * (length // 2) + "x" + written + "y" * 30)) <= SHOWN_MAX


@given(
    st.binary(min_size=16, max_size=16),
    st.datetimes(datetime(2002, 1, 1), datetime(2033, 1, 1)),
    numbers(off=True),
    st.integers(0, 10**11 - 1),
)
@settings(max_examples=80)
def test_what_operators_need_stays(raw: bytes, at: datetime, digits: str, amount: int) -> None:
    id, at = UUID(bytes=raw), at.replace(tzinfo=UTC)
    ms, us = round(at.timestamp() * 1e3), round(at.timestamp() * 1e6)
    assume(any(char.isalpha() for char in id.hex))
    for told in (
        f"payin_{id.hex}",
        f"/v1/payins/payin_{id.hex}/captures",
        f"batch {id} of {at.isoformat()}",
        f"order_{digits}",
        f"T{digits}x",
        f"minor_{amount}",
        f"t{ms} t{us}us",
        at.strftime("run_%Y-%m-%d_%H-%M-%S"),
    ):
        assert redact.text(told) == told


def test_an_account_is_told_from_a_card_by_its_check_digit_where_it_is_glued() -> None:
    assert redact.text("clabe646180110400000007x") == "clabe646180110400000007x"
    assert redact.text("clabe 646180110400000007") == "clabe …", "where it stands alone it goes whatever it is"


def test_a_name_in_a_mapping_is_a_text_like_any_other() -> None:
    assert redact.value({"card_4111111111111111": 1}) == {"card_…": 1}
