"""The wire to M-Pesa."""

from __future__ import annotations

from caudal.connectors.mpesa import CAPABILITIES, translate
from caudal.connectors.sandbox_protocol.client import ProviderClient
from caudal.kernel.context import Context


class Client(ProviderClient):
    """Talks to M-Pesa. One per process and provider."""

    def __init__(self, context: Context, provider: str) -> None:
        super().__init__(context, provider, CAPABILITIES, translate)
