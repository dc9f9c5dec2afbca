"""Telephones: E.164 for all, and a mobile number of the country where a method rings it."""

from __future__ import annotations

import pytest

from caudal.catalogue import phone_error

# The number, the country that it must be a mobile one of (or -), and what is said
PHONES = """
+254712345678      KE  right
+254110345678      KE  right
+254202345678      KE  not a mobile number of Kenya
+255712345678      KE  not a number of Kenya
+5511912345678     KE  not a number of Kenya
+25471234567       KE  not a mobile number of Kenya
+2547123456789     KE  not a mobile number of Kenya
+254712345678901   KE  too short or too long
254712345678       KE  E.164
0712345678         KE  E.164
+254 712 345678    KE  E.164
+5511912345678     BR  right
+551131234567      BR  not a mobile number of Brazil
+525512345678      -   right
+999123456789      -   no country
+52551234          -   too short or too long
++52551234567      -   E.164
+٢٥٤٧١٢٣٤٥٦٧٨      -   E.164
"""


@pytest.mark.parametrize("line", PHONES.strip().splitlines())
def test_a_number_is_of_the_world_and_of_its_country(line: str) -> None:
    number, country, said = (part.strip() for part in line.split("  ") if part.strip())
    reason = phone_error(number, None if country == "-" else country)
    assert reason is None if said == "right" else said in (reason or "")


@pytest.mark.parametrize("text", ["", "+", "\x00", "+1" * 5000, "+254712345678\n"])
def test_no_text_breaks_the_check(text: str) -> None:
    assert phone_error(text) is not None
