"""Payers' documents: those of Brazil, Colombia, Kenya and Mexico, with their check digits where they have one."""

from __future__ import annotations

import pytest

from caudal.catalogue import document_error

# The country, the document (a blank as ␣), and whether it is one
DOCUMENTS = """
MX  BOXW310820HNERXN09    right   CURP
MX  boxw310820hnerxn09    right   CURP in small letters
MX  BOXW310820HNERXN08    wrong   CURP, check digit
MX  BOXW310820HNESXN09    wrong   CURP, a consonant that changes the check digit
MX  BOXW311320HNERXN09    wrong   CURP, month 13
MX  BOXW310820HXXRXN09    wrong   CURP, a state that there is not
MX  BOXW310820HNERXN0     wrong   CURP, too short
MX  GODE561231GR8         right   RFC of a person
MX  MAB9307148T4          right   RFC of a company
MX  COMG600703MD2         right   RFC, as the SAT gave it out, with a wrong check digit
MX  XAXX010101000         right   RFC of the general public
MX  XEXX010101000         right   RFC of foreigners
MX  GODE561231!R8         wrong   RFC, a character that there is not
MX  GODE561331GR8         wrong   RFC, month 13
MX  GODE561231            wrong   RFC without homoclave
MX  X                     wrong   neither
BR  39053344705           right   CPF
BR  390.533.447-05        right   CPF as people write it
BR  39053344704           wrong   CPF, check digit
BR  11111111111           wrong   CPF, eleven times one digit: nobody's, and its check digits are right
BR  3905334470            wrong   CPF, too short
BR  16727230000197        right   CNPJ
BR  16.727.230/0001-97    right   CNPJ as people write it
BR  12.ABC.345/01DE-35    right   CNPJ with the letters of July 2026, the example of Receita Federal
BR  12abc34501de35        right   the same in small letters
BR  12.ABC.345/01DE-36    wrong   the same, check digit
BR  12ABC34501DEA5        wrong   a letter where the check digits are
BR  1672723000019         wrong   CNPJ, too short
BR  BOXW310820HNERXN09    wrong   a Mexican's
CO  1023456789            right   CC of ten digits
CO  79456123              right   CC of eight
CO  79.456.123            right   CC as people write it
CO  12345                 wrong   CC, too short
CO  0123456               wrong   CC, a zero first
CO  213123432-1           right   NIT
CO  213.123.432-1         right   NIT as people write it
CO  900123456-9           wrong   NIT, check digit
CO  8001972684            right   NIT without its dash
CO  800197268412345       wrong   NIT, too long
CO  39053344705           wrong   a Brazilian's
KE  12345678              right   national ID
KE  1234567               right   national ID of seven digits
KE  123456                right   an old one
KE  12345                 wrong   too short
KE  1234567890            wrong   too long
KE  00000000              wrong   nobody's
KE  1234567A              wrong   a letter
KE  A123456789B           wrong   a tax PIN is another document
"""
SPECIMENS = {"MX": "BOXW310820HNERXN09", "BR": "39053344705", "CO": "1023456789", "KE": "12345678"}


@pytest.mark.parametrize("line", DOCUMENTS.strip().splitlines())
def test_a_document_is_one_of_its_country(line: str) -> None:
    country, text, verdict, *_ = line.split()
    assert (document_error(country, text) is None) == (verdict == "right")


@pytest.mark.parametrize(("country", "kinds"), [("MX", "CURP RFC"), ("BR", "CPF CNPJ"), ("CO", "CC NIT"), ("KE", "ID")])
def test_a_wrong_document_is_told_what_it_could_have_been(country: str, kinds: str) -> None:
    reason = document_error(country, "X") or ""
    assert all(kind in reason for kind in kinds.split())


@pytest.mark.parametrize("country", SPECIMENS)
@pytest.mark.parametrize("text", ["", " ", "\x00", "é" * 18, "١" * 8, "١" * 14, "1" * 10_000, "twice", "²" * 8])
def test_no_text_breaks_the_check(country: str, text: str) -> None:
    given = f"{SPECIMENS[country]}\n" * 2 if text == "twice" else text
    assert document_error(country, given) is not None


def test_documents_of_a_country_that_is_not_known_are_taken_as_they_are() -> None:
    assert document_error("AR", "anything") is None
