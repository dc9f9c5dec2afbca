"""Pix, Brazil's instant transfer: the payer scans an EMV QR code, or copies and pastes it."""

from typing import Final

from caudal.connectors.model import Capabilities

CAPABILITIES: Final = Capabilities(
    method="pix",
    deduplicates=True,
    late_until_s=30.0,
    manual_capture=False,
    partial_captures=False,
    void=True,
    refund="provider",  # devolução: back to the account that paid, in parts if need be
    disputes=True,  # MED, Banco Central's special refund mechanism
    three_ds=False,
    card=False,
    bank="no",
    phone="no",
    name="optional",
    document="optional",
)
