"""What is asked for beside new payins: captures, refunds, cancellations, the same request again, and reads.

Each needs a payin that was acknowledged before and is as it needs it. Candidates are remembered by what their creation
was answered; where there is none yet, a payin is created instead, and that is counted.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from caudal_load.histogram import Histogram
from caudal_load.tally import ID_DIGITS, Tally

_REMEMBERED = 10_000
"""Payins that later requests may be about; of more than that the oldest are forgotten."""
_STRIDE = 7_919
"""Reads go through what is remembered in steps of a prime, so that they hit the newest no more than others."""


class Deed(StrEnum):
    """What else a request may be."""

    CAPTURE = "capture"
    REFUND = "refund"
    CANCEL = "cancel"
    REPLAY = "replay"
    READ = "read"
    LIST = "list"
    SEARCH = "search"


@dataclass(frozen=True, slots=True)
class Known:
    """A payin that was acknowledged: its request's number, whose it is, its id's digits, its amount in minor units."""

    number: int
    merchant: int
    digits: bytes
    amount: int


_STATUS = {Deed.CAPTURE: 201, Deed.REFUND: 201, Deed.REPLAY: 201}
_OPERATIONS = {Deed.CAPTURE: b'"id":"capture_', Deed.REFUND: b'"id":"refund_'}
_PATHS = {Deed.CAPTURE: b"captures", Deed.REFUND: b"refunds", Deed.CANCEL: b"cancellations"}
_REFUNDS_A_HALF = 2
"""So that a merchant's fees leave enough for it: by default nothing is refunded beyond the balance."""


class Deeds:
    """The deeds of one side. `keys` are the merchants', `host` is the `Host` of the requests.

    `pending_are_cancelled` says that a payin which waits for its payer may be cancelled: where payers pay it may not,
    because who comes first would be a matter of luck.
    """

    def __init__(self, keys: Sequence[str], host: str, tally: Tally, pending_are_cancelled: bool) -> None:
        self.in_flight: dict[int, tuple[Deed, Known]] = {}
        self.instead: Counter[str] = Counter()
        """Created because nothing was there for the deed."""
        self.histograms: dict[Deed, Histogram] = {deed: Histogram() for deed in Deed}
        self._heads = [f" HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n".encode() for key in keys]
        self._tally = tally
        self._pending_are_cancelled = pending_are_cancelled
        self._authorized: deque[Known] = deque(maxlen=_REMEMBERED)
        self._paid: deque[Known] = deque(maxlen=_REMEMBERED)
        self._pending: deque[Known] = deque(maxlen=_REMEMBERED)
        self._recent: list[Known] = []
        self._count = 0

    def learn(self, known: Known, outcome: bytes | None) -> None:
        """A payin was acknowledged in this state."""
        if len(self._recent) < _REMEMBERED:
            self._recent.append(known)
        else:
            self._recent[self._count % _REMEMBERED] = known
        self._count += 1
        if outcome == b"authorized":
            self._authorized.append(known)
        elif outcome == b"paid":
            self._paid.append(known)
        elif outcome == b"pending" and self._pending_are_cancelled:
            self._pending.append(known)

    def ask(self, deed: Deed, number: int, token: str) -> tuple[bytes, Known] | None:
        """The request, and the payin that it is about; None if there is no such payin. A replay's bytes are empty."""
        known = self._candidate(deed, number)
        if known is None:
            self.instead[deed.value] += 1
            return None
        self.in_flight[number] = (deed, known)
        return self._request(deed, known, token), known

    def _candidate(self, deed: Deed, number: int) -> Known | None:
        match deed:
            case Deed.CAPTURE:
                return self._authorized.popleft() if self._authorized else None
            case Deed.REFUND:
                return self._paid.popleft() if self._paid else None
            case Deed.CANCEL:
                waiting = self._pending or self._authorized
                return waiting.popleft() if waiting else None
        return self._recent[number * _STRIDE % len(self._recent)] if self._recent else None

    def _request(self, deed: Deed, known: Known, token: str) -> bytes:
        head = self._heads[known.merchant]
        match deed:
            case Deed.REPLAY:
                return b""
            case Deed.READ:
                return b"GET /v1/payins/payin_%b%b\r\n" % (known.digits, head)
            case Deed.LIST:
                return b"GET /v1/payins?limit=20%b\r\n" % head
            case Deed.SEARCH:
                return b"GET /v1/payins?limit=20&reference=%b%b\r\n" % (token.encode(), head)
        body = b'{"amount":%d}' % (known.amount // _REFUNDS_A_HALF) if deed is Deed.REFUND else b"{}"
        return (
            b"POST /v1/payins/payin_%b/%b%bContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nIdempotency-Key: %b\r\n\r\n%b"
        ) % (known.digits, _PATHS[deed], head, len(body), token.encode(), body)

    def done(self, deed: Deed, known: Known, status: int, answer: bytes) -> bool | None:
        """Whether this answer is as it should be; None: it is a refusal, counted by whoever asked."""
        if status != _STATUS.get(deed, 200):
            return None
        operation = _OPERATIONS.get(deed)
        if operation is not None:
            start = answer.find(operation) + len(operation)
            digits = answer[start : start + ID_DIGITS]
            if start < len(operation) or len(digits) != ID_DIGITS:
                return False
            self._tally.operations += bytes.fromhex(digits.decode("ascii"))
            if deed is Deed.CAPTURE and b'"status":"succeeded"' in answer:
                self._paid.append(known)
            return True
        if deed is Deed.CANCEL:
            self._tally.cancelled += bytes.fromhex(known.digits.decode("ascii"))
        if deed is Deed.REPLAY and known.digits not in answer:
            self._tally.differing += 1
        return deed in (Deed.LIST, Deed.SEARCH, Deed.REPLAY) or known.digits in answer
