"""Which methods have a connector, and the way to a provider through it. A wire is imported at its first use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Final, Protocol, cast

import msgspec

from caudal.connectors import boleto, card, mpesa, pix, pse
from caudal.connectors.links import METHODS, Links, links
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
from caudal.connectors.providers import FIRST, Provider
from caudal.connectors.signed import Secrets
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request

# The folder of each method's connector; `client.Client`, `inbound.receive` and `inbound.CALLBACK` stand in it.
CONNECTORS: Final[dict[str, str]] = {method: f"caudal.connectors.{method}" for method in METHODS}

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

    def available(self, mode: Mode) -> bool:
        """Whether there is such a provider for this mode, and a new payment is welcome there now."""


class _Inbound(Protocol):
    CALLBACK: type[msgspec.Struct]

    def receive(self, request: Request, secrets: Secrets, now_s: float) -> Notice: ...


@cache
def _client(provider: str, method: str) -> Callable[[Context], Connector]:
    made = cast("Callable[[Context, str], Connector]", import_module(f"{CONNECTORS[method]}.client").Client)
    return lambda context: made(context, provider)


def of(context: Context, provider: str, method: str) -> Connector:
    """The connector to a provider for a method, one a process. Raises KeyError for a method that has none.

    A provider that is not configured any more answers nothing: what it carries waits until it is back. Rows of the time
    when providers had no names hold the method instead.
    """
    return context.once(_client(FIRST if provider in CONNECTORS else provider, method))


def receive(links: Links, provider: str, method: str, request: Request, now_s: float) -> Notice:
    """What a callback tells. Raises Refused("not_found") where nobody is called so, NotGenuine, Invalid."""
    secrets = links.secrets(provider)
    if method not in CONNECTORS or secrets is None:
        raise Refused("not_found", "there is no such provider")
    return _inbound(method).receive(request, secrets, now_s)


def callback_of(method: str) -> type[msgspec.Struct]:
    """What a callback's body is read as. Raises KeyError for a method that has no connector."""
    return _inbound(method).CALLBACK


def _inbound(method: str) -> _Inbound:
    return cast("_Inbound", import_module(f"{CONNECTORS[method]}.inbound"))


def takers(context: Context, method: str, country: str, mode: Mode) -> list[Provider]:
    """The providers that may be asked for a payment, in the order of the configuration, available or not."""
    found = (link.provider for link in links(context))
    return [provider for provider in found if provider.mode == mode and provider.takes(method, country)]


def available(context: Context, provider: str, method: str, mode: Mode) -> bool:
    """Whether a new payment could be asked for there now; False while the breaker is open, or it is drained."""
    return of(context, provider, method).available(mode)


def why_unavailable(context: Context, provider: str, mode: Mode) -> str | None:
    """What keeps new payments from there now, and until when, for people; None where nothing does any more."""
    link = links(context).of(provider, mode)
    if link is None or link.provider.url is None:
        return "it has no address"
    return link.around.why_unwelcome()


def provider_of(context: Context, name: str, mode: Mode) -> Provider | None:
    """What the configuration says of a provider."""
    link = links(context).of(name, mode)
    return None if link is None else link.provider


def health(context: Context) -> list[ProviderHealth]:
    """The figures of every provider, in this process."""
    return [link.around.health() for link in links(context) if link.provider.url is not None]
