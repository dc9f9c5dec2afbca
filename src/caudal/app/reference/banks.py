"""Banks by the codes that requests name them by, for whoever lets a payer choose one: `/docs/banks`, docs/banks.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from caudal.catalogue import BANKS, COUNTRIES


class System(msgspec.Struct, frozen=True, kw_only=True):
    """A country's numbering of its banks, where its codes go, and (code, name) of each bank."""

    name: str
    country: str
    field: str
    banks: Sequence[tuple[str, str]]


_FIELDS: Final = {
    ("CO", "PSE"): "`instrument.bank` of a payin by `pse`: the bank that the payer pays from.",
    ("CO", "ACH"): "`destination.bank` of a refund or a return in Colombia. Every bank of PSE can be paid, too.",
    ("BR", "COMPE"): "`destination.bank` of a refund or a return in Brazil.",
    (
        "MX",
        "CLABE",
    ): "The first three digits of `destination.account`, a CLABE, in Mexico; `destination.bank` is left out.",
}
SYSTEMS: Final = tuple(
    System(
        name=system,
        country=COUNTRIES[country].name,
        field=field,
        banks=sorted((bank.code, bank.name) for bank in BANKS[country, system].values()),
    )
    for (country, system), field in _FIELDS.items()
)
