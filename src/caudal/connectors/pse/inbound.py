"""What PSE tells us: verify, parse."""

from __future__ import annotations

from typing import Final

from caudal.connectors.model import Notice
from caudal.connectors.pse import CAPABILITIES, translate
from caudal.connectors.sandbox_protocol import inbound
from caudal.connectors.signed import Secrets
from caudal.kernel.http import Request

CALLBACK: Final = inbound.ProviderCallback


def receive(request: Request, secrets: Secrets, now_s: float) -> Notice:
    """What a callback tells. Raises NotGenuine or Invalid."""
    return inbound.receive(request, secrets, now_s, CAPABILITIES.method, translate)
