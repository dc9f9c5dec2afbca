"""CLABEs (Banco de México, Circular 1/2006): bank 3, plaza 3, account 11, check digit 1.

The account part carries a number of ours, one per payin, spread by a fixed permutation of the 10^11 accounts so that
neighbours do not look like neighbours. It is a bijection, so two open payins never share a CLABE.
"""

from __future__ import annotations

from operator import mul
from typing import Final

_ACCOUNTS: Final = 10**11
_FACTOR: Final = 61_803_398_877  # coprime with 10^11
_SHIFT: Final = 27_182_818_284
_INVERSE: Final = pow(_FACTOR, -1, _ACCOUNTS)
_WEIGHTS: Final = ((3, 7, 1) * 6)[:17]
_ZEROS: Final = ord("0") * sum(_WEIGHTS)


def check_digit(digits: str) -> str:
    """The eighteenth digit of these seventeen: their sum times 3, 7, 1 in turn, complemented modulo 10."""
    assert len(digits) == len(_WEIGHTS), digits
    total = sum(map(mul, digits.encode("ascii"), _WEIGHTS)) - _ZEROS
    return str(-total % 10)  # modulo 10 each or once at the end is the same


def of_number(prefix: str, number: int) -> str:
    """The CLABE that carries a number below 10^11 behind a bank and plaza."""
    assert 0 <= number < _ACCOUNTS, number
    digits = f"{prefix}{(number * _FACTOR + _SHIFT) % _ACCOUNTS:011d}"
    return digits + check_digit(digits)


def prefix_of(first: str, shard: int) -> str:
    """Bank and plaza of a shard's CLABEs: numbers are a shard's own, so what stands before them has to differ."""
    return f"{int(first) + shard:06d}"


def place_of(first: str, clabe: str) -> tuple[int, int] | None:
    """The shard and the number of a CLABE of ours, if there is such a shard; None for another bank's or a wrong one."""
    shard = int(clabe[:6]) - int(first) if clabe[:6].isascii() and clabe[:6].isdigit() else -1
    number = number_of(prefix_of(first, shard), clabe) if shard >= 0 else None
    return None if number is None else (shard, number)


def number_of(prefix: str, clabe: str) -> int | None:
    """The number that a CLABE of ours carries; None for another bank's or a wrong one."""
    if len(clabe) != 18 or not clabe.isascii() or not clabe.isdigit():
        return None
    if not clabe.startswith(prefix) or clabe[17] != check_digit(clabe[:17]):
        return None
    return (int(clabe[6:17]) - _SHIFT) * _INVERSE % _ACCOUNTS
