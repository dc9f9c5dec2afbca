"""CLABEs of the story: what a payin's deposit number looks like to its payer (docs/money.md, "CLABEs")."""

from typing import Final

PREFIX: Final = "646180"
_ACCOUNTS: Final = 10**11
_FACTOR: Final = 61_803_398_877
_SHIFT: Final = 27_182_818_284
# What three digits under the weights 3, 7 and 1 add to the sum: weights repeat every three digits, so tables do.
_SUMS: Final = [digits // 100 * 3 % 10 + digits // 10 % 10 * 7 % 10 + digits % 10 for digits in range(1000)]
_PREFIX_SUM: Final = _SUMS[int(PREFIX[:3])] + _SUMS[int(PREFIX[3:])]


def clabe_of(number: int) -> str:
    """The CLABE that carries a number: bank and plaza, the number spread over all accounts, the check digit."""
    account = (number * _FACTOR + _SHIFT) % _ACCOUNTS
    total = (
        _PREFIX_SUM
        + _SUMS[account // 100_000_000]
        + _SUMS[account // 100_000 % 1000]
        + _SUMS[account // 100 % 1000]
        + _SUMS[account % 100 * 10]
    )
    return f"{PREFIX}{account:011d}{-total % 10}"
