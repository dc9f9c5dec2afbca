"""CLABE, the 18 digits of a Mexican account: bank (3), place (3), account (11), check digit (1).

The rule is Banco de México's: weights 3, 7, 1 repeated over the first 17 digits, each product modulo 10, the sum
modulo 10, and that subtracted from 10, modulo 10. Written here again on purpose: two sides that shared one
implementation would share its mistakes.
"""

WEIGHTS = (3, 7, 1)


def check_digit(first_17: str) -> str:
    """Return the 18th digit for the first 17."""
    total = sum(int(digit) * WEIGHTS[place % 3] % 10 for place, digit in enumerate(first_17))
    return str((10 - total % 10) % 10)


def complaint(text: str) -> str | None:
    """Say what is wrong with a CLABE in a sentence for a person, or None if it is valid."""
    if not (text.isascii() and text.isdigit()):
        return "A CLABE consists of digits only."
    if len(text) != 18:
        return f"A CLABE has 18 digits; this one has {len(text)}."
    if check_digit(text[:17]) != text[17]:
        return "The check digit is wrong: one of the digits is mistyped."
    return None
