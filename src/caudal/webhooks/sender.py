"""The wire: one POST, to an address that was looked at, with an answer of which no more than its beginning is read.

A name is resolved by us, in threads of our own, and the connection goes to one of the addresses that `guard` allowed;
the socket itself is made only for such an address, so that no way round the resolver is left. Redirects, cookies,
proxies and compressed answers are not for us.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic, time
from typing import Final

import msgspec
from yarl import URL

from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.kernel.exchange import ExchangeBroken, Lines, NotConnected
from caudal.kernel.telemetry import Attributes, redact
from caudal.webhooks import guard
from caudal.webhooks.model import ANSWER_MAX_BYTES, Attempt, Endpoint, headers_of
from caudal.webhooks.signing import key_of, signature

# Looking a name up may take seconds where its servers are dead; the living do not stand behind it.
_LOOKUPS_AT_ONCE: Final = 128
_DNS_KEPT_S: Final = 10
_NAMES_KEPT: Final = 10_000
_IDLE_KEPT_S: Final = 30
_ERROR_MAX: Final = 200


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An endpoint as it is sent to: its address, how a request to it starts, the keys that sign, whether it is here."""

    url: URL
    start: str
    text: str
    keys: tuple[bytes, ...]
    here: bool


def target_of(context: Context, endpoint: Endpoint) -> Target:
    """An endpoint with the secrets that sign now. Raises SealError."""
    assert endpoint.sealed is not None, "only what is enabled is sent to"
    opened = [endpoint.sealed]
    former_until = endpoint.former_until
    if endpoint.former_sealed is not None and former_until is not None and former_until > wall_clock():
        opened.append(endpoint.former_sealed)
    keys = [key_of(context.sealer.open(sealed, endpoint.id.bytes).decode()) for sealed in opened]
    url = URL(endpoint.url)
    here = context.settings.webhook_loopback and not endpoint.live and guard.names_loopback(url.host or "")
    start = f"POST {url.raw_path_qs} HTTP/1.1\r\nhost: {url.host_port_subcomponent}\r\n"
    return Target(url=url, start=start, text=endpoint.url, keys=tuple(keys), here=here)


def told_of(target: Target, event: str, attempt: Attempt) -> Attributes:
    """What a span tells of an attempt. Of the address its host alone: the rest may be a secret."""
    told: Attributes = {
        "http.request.method": "POST",
        "url.full": redact.text(str(target.url.origin())),
        "server.address": redact.text(target.url.host or ""),
        "server.port": target.url.port or 0,
        "messaging.message.id": event,
        "caudal.webhook.attempt": attempt.number,
    }
    if attempt.status is not None:
        told["http.response.status_code"] = attempt.status
        if not attempt.accepted:
            told["error.type"] = str(attempt.status)
    return told


class Resolver:
    """Names to addresses that `guard` allows. Any other among them, and the name is not connected to at all."""

    def __init__(self, *, loopback: bool) -> None:
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="dns")
        self._loopback = loopback
        self._found: dict[tuple[str, int], tuple[float, list[str]]] = {}

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host. Raises Closed."""
        if _is_address(host):
            return [host]
        until, kept = self._found.get((host, port), (0.0, []))
        if monotonic() < until:
            return kept
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._lookups, _look_up, host, port)
        except (OSError, UnicodeError):
            raise guard.Closed("the name cannot be resolved") from None
        for address in found:
            guard.public_address(address, loopback=self._loopback)
        if len(self._found) > _NAMES_KEPT:
            self._found.clear()
        self._found[host, port] = monotonic() + _DNS_KEPT_S, found
        return found

    def close(self) -> None:
        """Waits for no name."""
        self._lookups.shutdown(wait=False, cancel_futures=True)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Sender:
    """What one process sends with: connections that are kept, each set of them to one endpoint's server."""

    def __init__(self, context: Context) -> None:
        context.closing.append(self.close)
        self._timeout_s = context.settings.webhook_timeout_s
        self._trust = ssl.create_default_context()
        self._resolvers = {here: Resolver(loopback=here) for here in (False, True)}
        self._lines: dict[tuple[str, bool], Lines] = {}
        self._look_at = 0.0

    def _lines_to(self, url: URL, here: bool) -> Lines:
        """The connections to an address. Now and then those are given up that were not used for long."""
        now = monotonic()
        if now > self._look_at:
            self._look_at = now + _IDLE_KEPT_S
            self._lines = {place: lines for place, lines in self._lines.items() if lines.give_up_idle()}
        place = (str(url.origin()), here)
        lines = self._lines.get(place)
        if lines is None:

            async def connect(protocol: Callable[[], asyncio.Protocol]) -> None:
                await self._connect(url, protocol, here=here)

            lines = self._lines[place] = Lines(
                place[0], kept_s=_IDLE_KEPT_S, largest=ANSWER_MAX_BYTES, connect=connect, beginning=True
            )
        return lines

    async def _connect(self, url: URL, protocol: Callable[[], asyncio.Protocol], *, here: bool) -> None:
        """To the first address of its name that answers. Raises Closed, OSError."""
        host, port = url.raw_host or "", url.port or 0
        addresses = await self._resolvers[here].resolve(host, port)
        trust, name = (self._trust, host) if url.scheme == "https" else (None, None)
        while addresses:
            address, *addresses = addresses
            guard.public_address(address, loopback=here)
            try:
                # The others have their time too.
                async with asyncio.timeout(self._timeout_s / 2 if addresses else None):
                    await asyncio.get_running_loop().create_connection(
                        protocol, address, port, ssl=trust, server_hostname=name
                    )
                return
            except (OSError, TimeoutError):
                if not addresses:
                    raise

    async def close(self) -> None:
        """Gives every connection up."""
        for lines in self._lines.values():
            await lines.close()
        for resolver in self._resolvers.values():
            resolver.close()

    async def send(self, target: Target, event: str, body: bytes, number: int, traceparent: str) -> Attempt:
        """One attempt, never an exception: what went wrong is in words that say nothing of our network."""
        wall = time()
        signed, started = signature(target.keys, event, int(wall), body), monotonic()
        status: int | None = None
        answer, error = None, None
        try:
            status, answer = await self._post(target, headers_of(event, int(wall), signed, traceparent), body)
        except Exception as failure:
            error = _words(failure)[:_ERROR_MAX]
        return Attempt(
            number=number,
            at=datetime.fromtimestamp(wall, UTC),
            url=target.text,
            signature=signed,
            duration_us=round((monotonic() - started) * 1_000_000),
            status=status,
            error=error,
            answer=answer,
        )

    async def _post(self, target: Target, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        lines = self._lines_to(target.url, target.here)
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"{target.start}{head}content-length: {len(body)}\r\n\r\n".encode() + body
        return await lines.exchange(request, within_s=self._timeout_s, connect_s=self._timeout_s)


def _words(failure: Exception) -> str:
    """What went wrong, for the merchant."""
    match failure:
        case guard.Closed() | ExchangeBroken():
            return str(failure)
        case TimeoutError():
            return "no whole answer in time"
        case NotConnected(__cause__=ssl.SSLCertVerificationError()):
            return "the certificate does not verify"
        case NotConnected(__cause__=ssl.SSLError()):
            return "TLS could not be agreed on"
        case NotConnected(__cause__=TimeoutError()):
            return "no whole answer in time"
        case NotConnected():
            return "the connection was refused or did not come about"
    return type(failure).__name__
