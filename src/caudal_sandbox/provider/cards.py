"""What a card's number says: its brand, its check digit (Luhn, ISO/IEC 7812-1), and what its issuer will answer. Pure.

The ranges are the brands' published ones, as far as the sandbox needs to tell them apart.
"""

import re

from caudal_sandbox.provider import magic
from caudal_sandbox.provider.model import Card

_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
BRANDS = (
    ("elo", re.compile(r"(?:4011|4312|4389|4514|4573|4576|5041|5066|5067|509\d|6277|6362|6363|650|6516|6550)\d*")),
    ("hipercard", re.compile(r"(?:6062|384\d|637\d)\d*")),
    ("amex", re.compile(r"3[47]\d{13}")),
    ("diners", re.compile(r"3(?:0[0-5]|[68])\d*")),
    ("mastercard", re.compile(r"(?:5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12})")),
    ("visa", re.compile(r"4\d*")),
)


def judge(number: str, year: int, month: int, today: tuple[int, int]) -> Card:
    """Say what the issuer will answer to a card; `today` is this year and month. The number ends here."""
    brand = next((name for name, form in BRANDS if form.fullmatch(number)), "unknown")
    ordered = magic.of_card(number)
    if not luhn(number):
        code: str | None = magic.code("card", "invalid_card")
    elif (year, month) < today:
        code = magic.code("card", "expired_card")
    else:
        said = ordered.removeprefix("challenge_")
        code = said if magic.is_code("card", said) else None
    return Card(
        brand=brand,
        last_four=number[-4:],
        code=code,
        challenge=ordered.startswith("challenge"),
        disputes=ordered == "disputed",
    )


def luhn(number: str) -> bool:
    """Check the last digit of a card's number."""
    digits = number.encode()[::-1]
    single, doubled = digits[::2], digits[1::2].translate(_DOUBLED)
    return (sum(single) - 48 * len(single) + sum(doubled)) % 10 == 0
