"""Who calls? `Authorization: Bearer …` to a caller, in about two microseconds when the key was seen within a second.

A key is remembered by the digest of the header, at most `CAUDAL_KEY_CACHE_S`, counted from before it was read; an
unknown one likewise, apart, so that a flood of wrong keys pushes no right one out. From half of that time on the entry
is read again beside the request that notices, so that a busy key never waits for the database. Keys are read together:
what is asked while one query is under way goes with the next. Whatever is remembered: what is decided looks at the
key's row in the batch (`refuse_ended`).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from hashlib import sha256
from itertools import islice
from time import monotonic
from typing import Final

import msgspec

from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Key
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request
from caudal.kernel.idempotency import digest, header_of, key_of
from caudal.kernel.telemetry import apart
from caudal.merchants import store
from caudal.merchants.model import HOUSE_BOOK, Caller, Operator, digest_of, prefix_of

log = logging.getLogger(__name__)

_KNOWN_MAX: Final = 20_000
_UNKNOWN_MAX: Final = 4_096
_READ_MAX: Final = 256  # keys in one query
_BEARER: Final = re.compile(rb"bearer +([\x21-\x7e]+) *", re.IGNORECASE)
_TIME: Final = re.compile(r"\d{1,12}")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A caller, when to read it again, and from when on it does not count (monotonic seconds)."""

    caller: Caller
    again_at: float
    ends_at: float


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """A key that is being read: the digest of its text, the mode that its prefix claims, and who waits for it."""

    key: bytes
    live: bool
    future: asyncio.Future[Caller | None]


class KeyCache:
    """The keys that one process has seen within a second."""

    def __init__(self, context: Context) -> None:
        self._context, self._keep_s = context, context.settings.key_cache_s
        self._known: dict[bytes, Entry] = {}
        self._unknown: dict[bytes, float] = {}
        self._asking: dict[bytes, asyncio.Future[Caller | None]] = {}
        self._wanted: dict[bytes, Wanted] = {}
        self._reader: asyncio.Task[None] | None = None
        self.now = monotonic

    def hit(self, header: bytes) -> Caller | None:
        """The caller, if the header was seen lately."""
        digest = sha256(header).digest()
        entry = self._known.get(digest)
        if entry is None:
            return None
        now = self.now()
        if now >= entry.again_at:
            if now >= entry.ends_at:
                return None
            if digest not in self._asking:
                self._ask(header, digest)
        return entry.caller

    def seen(self, header: bytes) -> Caller | None:
        """The caller of a header that was seen lately: for counting, not for trusting."""
        entry = self._known.get(sha256(header).digest())
        return None if entry is None else entry.caller

    async def ask(self, header: bytes, deadline: float) -> Caller | None:
        """The caller as the database has it, or None. Requests with the same header wait for one answer.

        Raises Retry when the database does not answer by the deadline (monotonic seconds).
        """
        digest = sha256(header).digest()
        if self._unknown.get(digest, 0.0) > self.now():
            return None
        asked = self._asking.get(digest) or self._ask(header, digest)
        return await answered(asyncio.shield(asked), deadline)

    def _ask(self, header: bytes, digest: bytes) -> asyncio.Future[Caller | None]:
        future: asyncio.Future[Caller | None] = asyncio.get_running_loop().create_future()
        text = bearer_of(header)
        prefix = None if text is None else prefix_of(text)
        if text is None or prefix not in ("sk_test_", "sk_live_"):
            self._note(digest, None, self.now())
            future.set_result(None)
            return future
        self._asking[digest] = future
        self._wanted[digest] = Wanted(digest_of(text), prefix == "sk_live_", future)
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), name="key", context=apart())
        return future

    async def _read(self) -> None:
        """Reads what is wanted, together, until nothing is."""
        while self._wanted:
            batch = dict(islice(self._wanted.items(), _READ_MAX))
            for header in batch:
                del self._wanted[header]
            started = self.now()
            try:
                found = await store.callers(self._context, [wanted.key for wanted in batch.values()])
            except Exception as error:
                log.warning("API keys could not be read: %s", error)
                for header, wanted in batch.items():
                    del self._asking[header]
                    wanted.future.set_exception(error)
                    wanted.future.exception()  # whoever waits hears it; perhaps nobody does
                continue
            for header, wanted in batch.items():
                caller = found.get(wanted.key)
                if caller is not None and caller.live != wanted.live:
                    caller = None
                self._note(header, caller, started)
                del self._asking[header]
                wanted.future.set_result(caller)
        self._reader = None

    def _note(self, digest: bytes, caller: Caller | None, started: float) -> None:
        if caller is None:
            self._known.pop(digest, None)
            if len(self._unknown) >= _UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[digest] = started + self._keep_s
            return
        if len(self._known) >= _KNOWN_MAX:
            self._forget(started)
        self._known[digest] = Entry(caller, started + self._keep_s / 2, started + self._keep_s)

    def _forget(self, now: float) -> None:
        self._known = {digest: entry for digest, entry in self._known.items() if entry.ends_at > now}
        if len(self._known) >= _KNOWN_MAX:
            self._known.clear()


def caller_of(context: Context, header: bytes) -> Caller | None:
    """Whom an Authorization header meant a moment ago, without asking anybody."""
    return context.once(KeyCache).seen(header)


async def authenticate(context: Context, request: Request, scope: str | None) -> Caller:
    """The merchant's key behind a request. Refuses: unauthenticated; forbidden without the scope (None: any key).

    Raises Retry (database_unavailable).
    """
    header = request.headers.get(b"authorization")
    if header is None:
        raise Refused("unauthenticated", "send `Authorization: Bearer sk_…`")
    cache = context.once(KeyCache)
    caller = cache.hit(header) or await cache.ask(header, request.deadline)
    if caller is None:
        raise Refused("unauthenticated", "there is no such API key, or it has ended")
    if b"caudal-signature" in request.headers:
        _check_signature(context, request, header)
    if scope is not None and scope not in caller.scopes:
        raise Refused("forbidden", f"the API key does not have the scope {scope}")
    return caller


async def authenticate_operator(context: Context, request: Request) -> Operator:
    """The operator behind a request; read each time. Refuses: unauthenticated. Raises Retry (database_unavailable)."""
    header = request.headers.get(b"authorization", b"")
    text = bearer_of(header)
    operator = None
    if text is not None and prefix_of(text) == "op_":
        operator = await answered(store.operator(context, digest_of(text)), request.deadline)
    if operator is None:
        raise Refused("unauthenticated", "send `Authorization: Bearer op_…` with an operator's key that has not ended")
    if b"caudal-signature" in request.headers:
        _check_signature(context, request, header)
    return operator


def operator_key(context: Context, request: Request, operator: Operator) -> Key:
    """The Idempotency-Key of an operator's request; each operator has keys of its own. Raises Invalid without one."""
    key = key_of(request, HOUSE_BOOK, context.sealer.fingerprint_keys)
    own = digest("operator", f"{operator.id.hex} {header_of(request)}")
    return msgspec.structs.replace(key, digest=own)


def bearer_of(header: bytes) -> str | None:
    """The token of an Authorization header (RFC 6750), or None."""
    found = _BEARER.fullmatch(header)
    return None if found is None else found[1].decode("ascii")


# Signed requests


def signature_of(secret: str, time_s: int, request: Request) -> str:
    """`v1` of `Caudal-Signature: t=…,v1=…`: HMAC-SHA256 of time, method, path and body, under the key's own text.

    So it is checked with the key that the request presents, and needs no other secret at rest.
    """
    message = f"{time_s}.{request.method}.{request.path}.".encode() + request.body
    return hmac.digest(secret.encode(), message, "sha256").hex()


def _check_signature(context: Context, request: Request, header: bytes) -> None:
    secret = bearer_of(header)
    times, signatures = _parts(request.header(b"caudal-signature") or "")
    if secret is None or len(times) != 1 or not _TIME.fullmatch(times[0]) or not signatures:
        raise Refused("unauthenticated", "Caudal-Signature is not `t=<unix seconds>,v1=<hexadecimal>`")
    age_s = wall_clock().timestamp() - int(times[0])
    if abs(age_s) > context.settings.signature_window_s:
        raise Refused("unauthenticated", "the time of Caudal-Signature is outside of the window")
    expected = signature_of(secret, int(times[0]), request).encode()
    if not any(hmac.compare_digest(expected, given.encode()) for given in signatures):
        raise Refused("unauthenticated", "Caudal-Signature does not verify")


def _parts(header: str) -> tuple[list[str], list[str]]:
    """The times and the `v1` signatures of a header; other versions are passed over."""
    pairs = [part.strip().partition("=") for part in header.split(",")]
    return [v for k, _, v in pairs if k == "t"], [v for k, _, v in pairs if k == "v1"]
