"""Boleto, Brazil's bank slip: a 47-digit line and a barcode, paid in any bank, agency or lottery shop."""

from typing import Final

from caudal.connectors.model import Capabilities

CAPABILITIES: Final = Capabilities(
    method="boleto",
    deduplicates=True,
    late_until_s=30.0,
    manual_capture=False,
    partial_captures=False,
    void=True,  # baixa
    refund="bank_account",  # money paid at a counter has no account to go back to
    disputes=False,
    three_ds=False,
    card=False,
    bank="no",
    phone="no",
    name="required",
    document="required",  # no registration without the payer's name and CPF or CNPJ
)
