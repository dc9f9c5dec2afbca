"""Which methods have a connector, and the way to it. A connector's wire is imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final, Protocol, cast

import msgspec

from caudal.connectors import boleto, card, mpesa, pix, pse
from caudal.connectors.model import (
    Capabilities,
    CaptureOrder,
    Declined,
    Evidence,
    EvidenceTaken,
    Mode,
    NotFound,
    Notice,
    OperationQuery,
    OperationState,
    PaymentOrder,
    PaymentQuery,
    PaymentState,
    ProviderHealth,
    RefundOrder,
    Unresolved,
    VoidOrder,
)
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request
from caudal.kernel.settings import Settings

# The folder of each method's connector; `client.Client`, `inbound.receive` and `inbound.CALLBACK` stand in it.
CONNECTORS: Final[dict[str, str]] = {
    "boleto": "caudal.connectors.boleto",
    "card": "caudal.connectors.card",
    "mpesa": "caudal.connectors.mpesa",
    "pix": "caudal.connectors.pix",
    "pse": "caudal.connectors.pse",
}

CAPABILITIES: Final[dict[str, Capabilities]] = {
    folder.CAPABILITIES.method: folder.CAPABILITIES for folder in (boleto, card, mpesa, pix, pse)
}


class Connector(Protocol):
    """A provider as services see it. Nothing here raises; `deadline` is monotonic seconds, the request's."""

    capabilities: Capabilities

    async def submit(self, order: PaymentOrder, deadline: float | None = None) -> PaymentState | Declined | Unresolved:
        """Makes the payment, or finds the one that was made with this key."""

    async def payment(self, query: PaymentQuery, deadline: float | None = None) -> PaymentState | NotFound | Unresolved:
        """How a payment stands."""

    async def capture(
        self, order: CaptureOrder, deadline: float | None = None
    ) -> OperationState | Declined | Unresolved:
        """Takes a part of what is authorized."""

    async def void(self, order: VoidOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        """Gives up a payment that waits, or what is authorized and not captured."""

    async def refund(self, order: RefundOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        """Gives money back."""

    async def operation(
        self, query: OperationQuery, deadline: float | None = None
    ) -> OperationState | NotFound | Unresolved:
        """How a capture, a void or a refund stands."""

    async def send_evidence(
        self, evidence: Evidence, deadline: float | None = None
    ) -> EvidenceTaken | Declined | Unresolved:
        """Sends a file against a dispute."""

    def receive(self, request: Request, now_s: float) -> Notice:
        """What a callback tells. Raises NotGenuine or Invalid: it is the provider's request."""

    def available(self, mode: Mode) -> bool:
        """Whether there is a provider for this mode, and it is worth asking now."""

    def health(self) -> list[ProviderHealth]:
        """The figures of each mode that has a provider."""


class _Inbound(Protocol):
    CALLBACK: type[msgspec.Struct]

    def receive(self, request: Request, settings: Settings, now_s: float) -> Notice: ...


@cache
def _client(method: str) -> Callable[[Context], Connector]:
    return cast("Callable[[Context], Connector]", import_module(f"{CONNECTORS[method]}.client").Client)


def of(context: Context, method: str) -> Connector:
    """The connector of a method, one a process. Raises KeyError for a method that has none."""
    return context.once(_client(method))


def receive(method: str, request: Request, settings: Settings, now_s: float) -> Notice:
    """What a callback tells. Raises Refused("not_found") for an unknown method, Refused("unauthenticated"), Invalid."""
    if method not in CONNECTORS:
        raise Refused("not_found", "there is no such provider")
    return _inbound(method).receive(request, settings, now_s)


def callback_of(method: str) -> type[msgspec.Struct]:
    """What a callback's body is read as. Raises KeyError for a method that has no connector."""
    return _inbound(method).CALLBACK


def _inbound(method: str) -> _Inbound:
    return cast("_Inbound", import_module(f"{CONNECTORS[method]}.inbound"))


def available(context: Context, method: str, mode: Mode) -> bool:
    """Whether a payment by this method could be asked for now; False while its provider's breaker is open."""
    return of(context, method).available(mode)


def health(context: Context) -> list[ProviderHealth]:
    """The figures of every provider, in this process."""
    return [figures for method in CONNECTORS for figures in of(context, method).health()]
