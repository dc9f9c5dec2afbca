"""Cards: authorized at once or after 3-D Secure, captured whole, in parts, or by itself."""

from typing import Final

from caudal.connectors.model import Capabilities

CAPABILITIES: Final = Capabilities(
    method="card",
    deduplicates=True,
    late_until_s=30.0,
    manual_capture=True,
    partial_captures=True,
    void=True,
    refund="provider",
    disputes=True,
    three_ds=True,
    card=True,
    bank="no",
    phone="no",
    name="optional",
    document="optional",
)
