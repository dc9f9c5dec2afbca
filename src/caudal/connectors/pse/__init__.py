"""PSE, Colombia's payments by bank redirect: the payer chooses a bank, pays there and comes back."""

from typing import Final

from caudal.connectors.model import Capabilities

CAPABILITIES: Final = Capabilities(
    method="pse",
    deduplicates=True,
    late_until_s=30.0,
    manual_capture=False,
    partial_captures=False,
    void=False,  # once the payer is at the bank, only the bank or the time ends it
    refund="bank_account",  # PSE pushes money one way
    disputes=False,
    three_ds=False,
    card=False,
    bank="required",
    phone="no",
    name="optional",
    document="required",
)
