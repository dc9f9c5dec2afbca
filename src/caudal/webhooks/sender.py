"""The wire: one POST, to an address that was looked at, with an answer of which no more than its beginning is read.

A name is resolved by us, in threads of our own, and the connection goes to one of the addresses that `guard` allowed;
the socket itself is made only for such an address, so that no way round the resolver is left. Redirects, cookies,
proxies and compressed answers are not for us.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from time import monotonic, time
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.webhooks import guard
from caudal.webhooks.model import ANSWER_MAX_BYTES, Attempt, Endpoint, headers_of
from caudal.webhooks.signing import key_of, signature

# Looking a name up may take seconds where its servers are dead; the living do not stand behind it.
_LOOKUPS_AT_ONCE: Final = 128
_DNS_KEPT_S: Final = 10
_IDLE_KEPT_S: Final = 30
_ERROR_MAX: Final = 200


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An endpoint as it is sent to: its address, the keys that sign, whether it is on this machine."""

    url: URL
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
    return Target(url=url, text=endpoint.url, keys=tuple(keys), here=here)


class Resolver(AbstractResolver):
    """Names to addresses that `guard` allows. Any other among them, and the name is not connected to at all."""

    def __init__(self, lookups: ThreadPoolExecutor, *, loopback: bool) -> None:
        self._lookups, self._loopback = lookups, loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._lookups, _look_up, host, port)
        except (OSError, UnicodeError):
            raise guard.Closed("the name cannot be resolved") from None
        for _, address in found:
            guard.public_address(address, loopback=self._loopback)
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=int(socket.AI_NUMERICHOST)
            )
            for kind, address in found
        ]

    async def close(self) -> None:
        """Nothing is kept."""


def _look_up(host: str, port: int) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(int(kind), str(address[0])) for kind, _, _, _, address in found]


class Sender:
    """What one process sends with: connections that are kept, one set for the internet and one for this machine."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        context.closing.append(self.close)
        self._lookups = ThreadPoolExecutor(_LOOKUPS_AT_ONCE, thread_name_prefix="dns")
        self._timeout = aiohttp.ClientTimeout(total=settings.webhook_timeout_s)
        trust = ssl.create_default_context()
        self._sessions = {here: self._session(trust, loopback=here) for here in (False, True)}

    def _session(self, trust: ssl.SSLContext, *, loopback: bool) -> aiohttp.ClientSession:
        def made(info: Any) -> socket.socket:
            family, kind, proto, _, address = info
            guard.public_address(address[0], loopback=loopback)
            return socket.socket(family=family, type=kind, proto=proto)

        connector = aiohttp.TCPConnector(
            limit=0,
            resolver=Resolver(self._lookups, loopback=loopback),
            ttl_dns_cache=_DNS_KEPT_S,
            keepalive_timeout=_IDLE_KEPT_S,
            socket_factory=made,
            ssl=trust,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            trust_env=False,
        )

    async def close(self) -> None:
        """Gives every connection up."""
        for session in self._sessions.values():
            await session.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def send(self, target: Target, event: str, body: bytes, number: int) -> Attempt:
        """One attempt, never an exception: what went wrong is in words that say nothing of our network."""
        wall = time()
        signed, started = signature(target.keys, event, int(wall), body), monotonic()
        status: int | None = None
        answer, error = None, None
        try:
            status, answer = await self._post(target, headers_of(event, int(wall), signed), body)
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
        session = self._sessions[target.here]
        async with session.post(target.url, data=body, headers=headers, allow_redirects=False) as response:
            read = await _beginning(response.content)
            if not response.content.at_eof():
                response.close()  # more than anybody wants: the connection goes rather than the rest comes
            return response.status, read


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    read = b""
    while len(read) < ANSWER_MAX_BYTES and (chunk := await content.read(ANSWER_MAX_BYTES - len(read))):
        read += chunk
    return read


def _words(failure: Exception) -> str:
    """What went wrong, for the merchant."""
    causes: Sequence[tuple[type[BaseException], str]] = (
        (guard.Closed, str(failure)),
        (asyncio.TimeoutError, "no whole answer in time"),
        (aiohttp.ClientConnectorCertificateError, "the certificate does not verify"),
        (aiohttp.ClientSSLError, "TLS could not be agreed on"),
        (aiohttp.ClientConnectorError, "the connection was refused or did not come about"),
        (aiohttp.ServerDisconnectedError, "the connection ended without an answer"),
        (aiohttp.ClientOSError, "the connection broke"),
        (aiohttp.ClientPayloadError, "the answer broke off"),
        (aiohttp.ClientResponseError, "the answer is not HTTP"),
    )
    return next((words for kind, words in causes if isinstance(failure, kind)), type(failure).__name__)
