"""A boleto's barcode and the line that people type (linha digitável), by FEBRABAN's rules. Pure.

The barcode has 44 digits: bank (3), currency (1), general check digit (1), due factor (4), centavos (10), free field
(25). The line repeats it in five groups, the first three with a check digit of their own, 47 digits in all. The due
factor counts days; it reached 9999 on 2025-02-21 and began again with 1000 on 2025-02-22.
"""

from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import sha256

BANK = "999"  # no bank in Brazil has this code
REAL = "9"
CYCLE_BEGAN = date(2025, 2, 22)
FACTOR_FIRST = 1000
FACTORS = 9000
AMOUNT_MAX_MINOR = 9_999_999_999
BRASILIA = timezone(timedelta(hours=-3))  # without summer time since 2019


def due_on(expires_ms: int) -> date:
    """Return the day in Brasília on which a boleto is due that expires at a moment."""
    return datetime.fromtimestamp(expires_ms / 1000, UTC).astimezone(BRASILIA).date()


def due_factor(day: date) -> int:
    """Return the due factor of a day in the cycle that began on 2025-02-22."""
    return FACTOR_FIRST + (day - CYCLE_BEGAN).days % FACTORS


def barcode(key: str, amount_minor: int, due: date) -> str:
    """Write the 44 digits for so many centavos; the free field is made of the payment's key, a later attempt's too."""
    free = int.from_bytes(sha256(key.encode()).digest()) % 10**25
    head, tail = BANK + REAL, f"{due_factor(due):04d}{amount_minor:010d}{free:025d}"
    return head + modulo_11(head + tail) + tail


def line(code: str) -> str:
    """Write the 47 digits that a person types for a barcode."""
    free = code[19:]
    groups = (code[:4] + free[:5], free[5:15], free[15:])
    return "".join(group + modulo_10(group) for group in groups) + code[4] + code[5:19]


def modulo_10(digits: str) -> str:
    """Return the check digit of a group: weights 2, 1 from the right, the digits of each product added."""
    total = sum(sum(divmod(int(digit) * (2 - place % 2), 10)) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def modulo_11(digits: str) -> str:
    """Return the general check digit: weights 2 to 9 from the right; 0, 10 and 11 become 1."""
    total = sum(int(digit) * (2 + place % 8) for place, digit in enumerate(reversed(digits)))
    left = 11 - total % 11
    return "1" if left in (10, 11) else str(left)


def printed(digits: str) -> str:
    """Write a line the way it stands on paper: AAAAA.AAAAA BBBBB.BBBBBB CCCCC.CCCCCC D EEEEEEEEEEEEEE."""
    return (
        f"{digits[:5]}.{digits[5:10]} {digits[10:15]}.{digits[15:21]} {digits[21:26]}.{digits[26:32]}"
        f" {digits[32]} {digits[33:]}"
    )
