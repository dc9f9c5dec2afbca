"""Payers' identity documents by country, checked by python-stdnum where there is a check digit, else by rule.

Brazil: CPF (people, 11 digits) and CNPJ (companies, 14 places; letters in the first twelve since July 2026, Instrução
Normativa RFB 2.229/2024). Colombia: NIT (DIAN, with its check digit) and CC (cédula de ciudadanía, 6 to 10 digits
without a check digit: dLocal's country reference). Kenya: national ID, a serial number without a check digit (6 to 9
digits: Smile ID's and dLocal's country references). Mexico: CURP (18 characters, RENAPO, with birth date, state and
check digit) and RFC (12 for companies, 13 for people, SAT). An RFC's check digit is not held against it: the SAT has
given out wrong ones, which are in use. So XAXX010101000 (the general public) and XEXX010101000 (foreigners) pass, as
they do on invoices.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from stdnum.br import cnpj, cpf
from stdnum.co import nit
from stdnum.exceptions import InvalidFormat, InvalidLength, ValidationError
from stdnum.mx import curp, rfc

_LONGEST: Final = 32
_RFC_LEAST: Final = 12
_NIT_LENGTHS: Final = range(9, 12)
_CC: Final = re.compile("[1-9][0-9]{5,9}")
_KENYAN: Final = re.compile("[0-9]{6,9}")


def _cpf(text: str) -> None:
    # Eleven times the same digit has right check digits and belongs to nobody.
    if len(set(cpf.validate(text))) == 1:
        raise InvalidFormat


def _cnpj(text: str) -> None:
    if not text.isascii():  # the library takes digits of other scripts
        raise InvalidFormat
    cnpj.validate(text)


def _nit(text: str) -> None:
    if len(nit.validate(text)) not in _NIT_LENGTHS:
        raise InvalidLength


def _cc(text: str) -> None:
    if not _CC.fullmatch(re.sub("[. ]", "", text)):
        raise InvalidFormat


def _national_id(text: str) -> None:
    if not _KENYAN.fullmatch(text.strip()) or not text.strip("0 "):
        raise InvalidFormat


def _curp(text: str) -> None:
    curp.validate(text)


def _rfc(text: str) -> None:
    # The library also takes the ten characters without homoclave and check digit, which anybody can make up.
    if len(rfc.validate(text)) < _RFC_LEAST:
        raise InvalidLength


DOCUMENT_KINDS: Final[dict[str, dict[str, Callable[[str], None]]]] = {
    "BR": {"CPF": _cpf, "CNPJ": _cnpj},
    "CO": {"CC": _cc, "NIT": _nit},
    "KE": {"national ID": _national_id},
    "MX": {"CURP": _curp, "RFC": _rfc},
}


def document_error(country: str, text: str) -> str | None:
    """Why a document is none of this country's kinds, or None when it is one, or when the country's are not known."""
    kinds = DOCUMENT_KINDS.get(country)
    if kinds is None:
        return None
    if len(text) > _LONGEST:
        return f"at most {_LONGEST} characters"
    reasons = []
    for name, check in kinds.items():
        try:
            check(text)
        except ValidationError as error:
            reasons.append(f"{name}: {str(error).rstrip('.').lower()}")
        else:
            return None
    return "not a valid " + " or ".join(kinds) + " (" + "; ".join(reasons) + ")"
