"""Payers' identity documents by country, checked by python-stdnum.

Mexico: CURP (18 characters, RENAPO, with birth date, state and check digit) and RFC (12 for companies, 13 for people,
SAT, with its check digit).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stdnum.exceptions import InvalidLength, ValidationError
from stdnum.mx import curp, rfc

_RFC_LEAST: Final = 12


def _curp(text: str) -> None:
    curp.validate(text)


def _rfc(text: str) -> None:
    # The library also takes the ten characters without homoclave and check digit, which anybody can make up.
    if len(rfc.validate(text, validate_check_digits=True)) < _RFC_LEAST:
        raise InvalidLength


DOCUMENT_KINDS: Final[dict[str, dict[str, Callable[[str], None]]]] = {"MX": {"CURP": _curp, "RFC": _rfc}}


def document_error(country: str, text: str) -> str | None:
    """Why a document is none of this country's kinds, or None when it is one, or when the country's are not known."""
    kinds = DOCUMENT_KINDS.get(country)
    if kinds is None:
        return None
    reasons = []
    for name, check in kinds.items():
        try:
            check(text)
        except ValidationError as error:
            reasons.append(f"{name}: {str(error).rstrip('.').lower()}")
        else:
            return None
    return "not a valid " + " or ".join(kinds) + " (" + "; ".join(reasons) + ")"
