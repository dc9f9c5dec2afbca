"""The wire to the Pix participant."""

from __future__ import annotations

from caudal.connectors.pix import CAPABILITIES, translate
from caudal.connectors.sandbox_protocol.client import ProviderClient
from caudal.kernel.context import Context


class Client(ProviderClient):
    """Talks to the Pix participant. One per process and provider."""

    def __init__(self, context: Context, provider: str) -> None:
        super().__init__(context, provider, CAPABILITIES, translate)
