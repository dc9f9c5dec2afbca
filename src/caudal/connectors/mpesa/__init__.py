"""M-Pesa, Kenya's mobile money: the payer's phone asks, the payer answers with a PIN."""

from typing import Final

from caudal.connectors.model import Capabilities

CAPABILITIES: Final = Capabilities(
    method="mpesa",
    deduplicates=True,
    late_until_s=30.0,
    manual_capture=False,
    partial_captures=False,
    void=False,  # a question that is on the phone cannot be taken back
    refund="provider",  # a reversal
    disputes=False,
    three_ds=False,
    card=False,
    bank="no",
    phone="required",
    name="optional",
    document="optional",
)
