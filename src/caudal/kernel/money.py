"""Money: integers in minor units of an ISO 4217 currency; never a float, never a fraction.

`Currency.exponent` is the number of decimal digits of the minor unit (CLP 0, MXN 2, BHD 3), `numeric` the
three-digit code, which account ids carry.
"""

from __future__ import annotations

from typing import Final

import msgspec

BASIS_POINTS: Final = 10_000
AMOUNT_MAX_MINOR: Final = 10**15  # a thousand of these still fits a bigint counter


class Currency(msgspec.Struct, frozen=True, kw_only=True):
    """A currency of ISO 4217."""

    code: str
    numeric: int
    exponent: int


# code:numeric:exponent, from ISO 4217 (list one, 2025).
_LIST_ONE: Final = (
    "AED:784:2 AOA:973:2 ARS:032:2 AZN:944:2 BDT:050:2 BHD:048:3 BOB:068:2 BRL:986:2 CDF:976:2 CLP:152:0 "
    "CNY:156:2 COP:170:2 CRC:188:2 DOP:214:2 DZD:012:2 EGP:818:2 ETB:230:2 EUR:978:2 GBP:826:2 GEL:981:2 "
    "GHS:936:2 GNF:324:0 GTQ:320:2 HNL:340:2 IDR:360:2 INR:356:2 IQD:368:3 JOD:400:3 JPY:392:0 KES:404:2 "
    "KGS:417:2 KHR:116:2 KRW:410:0 KWD:414:3 KZT:398:2 LAK:418:2 LBP:422:2 LKR:144:2 LSL:426:2 MAD:504:2 "
    "MGA:969:2 MMK:104:2 MNT:496:2 MUR:480:2 MWK:454:2 MXN:484:2 MYR:458:2 MZN:943:2 NGN:566:2 NIO:558:2 "
    "NPR:524:2 OMR:512:3 PEN:604:2 PHP:608:2 PKR:586:2 PYG:600:0 QAR:634:2 RWF:646:0 SAR:682:2 SLE:925:2 "
    "THB:764:2 TND:788:3 TRY:949:2 TWD:901:2 TZS:834:2 UGX:800:0 USD:840:2 UYU:858:2 UZS:860:2 VES:928:2 "
    "VND:704:0 XAF:950:0 XOF:952:0 ZAR:710:2 ZMW:967:2 "
)


def _parse(row: str) -> Currency:
    code, numeric, exponent = row.split(":")
    return Currency(code=code, numeric=int(numeric), exponent=int(exponent))


CURRENCIES: Final[dict[str, Currency]] = {row[:3]: _parse(row) for row in _LIST_ONE.split()}
CURRENCY_BY_NUMERIC: Final[dict[int, Currency]] = {currency.numeric: currency for currency in CURRENCIES.values()}


def share_half_up(amount_minor: int, basis_points: int) -> int:
    """`basis_points` / 10,000 of an amount, in minor units, a half rounded away from zero."""
    assert basis_points >= 0, basis_points
    magnitude = (abs(amount_minor) * basis_points * 2 + BASIS_POINTS) // (2 * BASIS_POINTS)
    return magnitude if amount_minor >= 0 else -magnitude


def format_amount(amount_minor: int, currency: str) -> str:
    """An amount for people: `1,120.50 MXN`."""
    sign = "-" if amount_minor < 0 else ""
    whole, point, fraction = decimal_of(abs(amount_minor), currency).partition(".")
    return f"{sign}{int(whole):,}{point}{fraction} {currency}"


def decimal_of(amount_minor: int, currency: str) -> str:
    """An amount in the currency's own unit: `-1120.50`, exact, without separators of thousands."""
    exponent = CURRENCIES[currency].exponent
    sign, digits = ("-" if amount_minor < 0 else ""), str(abs(amount_minor)).rjust(exponent + 1, "0")
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}" if exponent else f"{sign}{digits}"
