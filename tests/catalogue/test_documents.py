"""Payers' documents: Mexico's CURP and RFC with their check digits."""

from __future__ import annotations

import pytest

from caudal.catalogue import document_error

# The document, and whether it is one
MEXICO = """
BOXW310820HNERXN09    right   CURP
boxw310820hnerxn09    right   CURP in small letters
BOXW310820HNERXN08    wrong   CURP, check digit
BOXW310820HNESXN09    wrong   CURP, a consonant that changes the check digit
BOXW311320HNERXN09    wrong   CURP, month 13
BOXW310820HXXRXN09    wrong   CURP, a state that there is not
BOXW310820HNERXN0     wrong   CURP, too short
GODE561231GR8         right   RFC of a person
MAB9307148T4          right   RFC of a company
COMG600703MD2         wrong   RFC, check digit
GODE561331GR8         wrong   RFC, month 13
GODE561231            wrong   RFC without homoclave
X                     wrong   neither
"""


@pytest.mark.parametrize("line", MEXICO.strip().splitlines())
def test_a_mexican_document_is_a_curp_or_an_rfc(line: str) -> None:
    text, verdict, *_ = line.split()
    assert (document_error("MX", text) is None) == (verdict == "right")


def test_a_wrong_document_is_told_what_it_could_have_been() -> None:
    reason = document_error("MX", "X") or ""
    assert "CURP" in reason and "RFC" in reason


@pytest.mark.parametrize("text", ["", " ", "\x00", "é" * 18, "١" * 18, "A" * 10_000, "BOXW310820HNERXN09\n" * 2])
def test_no_text_breaks_the_check(text: str) -> None:
    assert document_error("MX", text) is not None


def test_documents_of_a_country_that_is_not_known_are_taken_as_they_are() -> None:
    assert document_error("BR", "anything") is None
