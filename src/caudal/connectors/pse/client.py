"""The wire to PSE."""

from __future__ import annotations

from caudal.connectors.model import Notice
from caudal.connectors.pse import CAPABILITIES, translate
from caudal.connectors.pse.inbound import receive
from caudal.connectors.sandbox_protocol.client import ProviderClient
from caudal.kernel.context import Context
from caudal.kernel.http import Request


class Client(ProviderClient):
    """Talks to PSE. One per process."""

    def __init__(self, context: Context) -> None:
        super().__init__(context, CAPABILITIES, translate)

    def receive(self, request: Request, now_s: float) -> Notice:
        """What a callback tells. Raises NotGenuine or Invalid."""
        return receive(request, self._settings, now_s)
