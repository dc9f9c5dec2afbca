"""CLABEs of the story: what a payin's deposit number looks like to its payer (docs/money.md, "CLABEs")."""

from typing import Final

PREFIX: Final = "646180"
_ACCOUNTS: Final = 10**11
_FACTOR: Final = 61_803_398_877
_SHIFT: Final = 27_182_818_284
_WEIGHTS: Final = (3, 7, 1) * 6


def clabe_of(number: int) -> str:
    """The CLABE that carries a number: bank and plaza, the number spread over all accounts, the check digit."""
    digits = f"{PREFIX}{(number * _FACTOR + _SHIFT) % _ACCOUNTS:011d}"
    total = sum([int(digit) * weight % 10 for digit, weight in zip(digits, _WEIGHTS, strict=False)])
    return f"{digits}{-total % 10}"
