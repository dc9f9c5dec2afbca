"""Many payins in one request: a key and an answer each, one failing alone.

What is wrong with the list itself refuses it whole, before anything of it is written. Everything else is one payin's
answer: the one that `POST /v1/payins` gives to the same body under the same key, which is the same key there and here.
Transfers go into the shard's queue at once, behind everybody's single requests; what asks a provider is a request like
any other, a few of them at a time.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

import msgspec

from caudal.connectors import CAPABILITIES
from caudal.contracts.problems import ProblemBody, answer_of, code_of, retry_after_of
from caudal.kernel import idempotency, ids
from caudal.kernel.commit import Lane, Result
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, FieldError, Invalid, Refused, Unknown
from caudal.kernel.http import Request, Response, Route, ok
from caudal.kernel.parse import partial_parser
from caudal.kernel.telemetry import Reading, failed
from caudal.merchants import Caller, authenticate
from caudal.payins.asked import CreatePayinBody, asked_of, has_price
from caudal.payins.http.merchants import WRITE, create
from caudal.payins.http.transfers import no_bank, transfer
from caudal.payins.model import PayinBody

log = logging.getLogger(__name__)

MOST: Final = 500
BODY_LIMIT_BYTES: Final = 2 << 20
_SINGLE: Final = "/v1/payins"
_SLICE: Final = 64  # payins that are begun at once: between two slices others have their turn
_PART: Final = 4  # the bulk forms of one process have this part of the calls to a provider that it has under way
_KEY: Final = re.compile(r"[!#-~](?:[ -~]{0,253}[!-~])?").fullmatch
_OF_PAYIN: Final = re.compile(r"/payins/\d+/payin/").match


class CreatePayinsItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the payins, under its own Idempotency-Key."""

    idempotency_key: str
    payin: CreatePayinBody


class CreatePayinsBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/payins/bulk`: at most 500 payins and 2 MiB."""

    payins: Annotated[list[CreatePayinsItem], msgspec.Meta(min_length=1, max_length=MOST)]


class PayinAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one of the payins: a payin, or a problem."""

    status: int
    idempotent_replayed: bool
    retry_after: int | None
    payin: PayinBody | None
    problem: ProblemBody | None


class PayinAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """An answer for each payin, in the order in which they were asked for."""

    data: list[PayinAnswer]


class _Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One of the payins as it came; its body is what its key's fingerprint is made of."""

    idempotency_key: str
    payin: msgspec.Raw


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payins: list[_Item]


class _ShapeItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    idempotency_key: str
    payin: Any


class _Shape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payins: Annotated[list[_ShapeItem], msgspec.Meta(min_length=1, max_length=MOST)]


class _Answered(msgspec.Struct, frozen=True, gc=False):
    """A `PayinAnswer` whose body stays as it is stored."""

    status: int
    idempotent_replayed: bool
    retry_after: int | None
    payin: msgspec.Raw | None
    problem: msgspec.Raw | None


Outcome = CaudalError | asyncio.Future[Result] | asyncio.Task[Response]

_decode: Final = msgspec.json.Decoder(_Asked).decode
_read_shape: Final = partial_parser(_Shape)


class _Turns:
    """How many bulk payins of a method may be under way at once in one process."""

    def __init__(self, context: Context) -> None:
        self._width = max(1, context.settings.provider_concurrency // _PART)
        self._turns: dict[str, asyncio.Semaphore] = {}

    def of(self, method: str) -> asyncio.Semaphore:
        return self._turns.setdefault(method, asyncio.Semaphore(self._width))


class _Counts:
    """What became of the payins of all requests to this process, which answer 200 whatever became of them."""

    def __init__(self, context: Context) -> None:
        self._payins = Counter[tuple[str, str]]()
        context.meter.add(self._readings)

    def count(self, answered: Sequence[_Answered]) -> None:
        """One request has all its answers; one that was not done makes an error of the whole in its trace."""
        for status, count in Counter(one.status for one in answered if one.problem is None).items():
            self._payins[str(status), ""] += count
        for one in answered:
            if one.problem is not None:
                code = code_of(bytes(one.problem))
                self._payins[str(one.status), code] += 1
                if one.status >= 500:
                    failed(code)

    def _readings(self) -> Iterator[Reading]:
        for of, count in self._payins.items():
            yield "caudal.bulk.payins", of, count


async def create_bulk(context: Context, request: Request) -> Response:
    """Take many payments."""
    caller = await authenticate(context, request, WRITE)
    items = _items_of(request.body)
    outcomes: list[Outcome] = []
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        if place and not place % _SLICE:
            await asyncio.sleep(0)
        earlier = places.get(item.idempotency_key)
        places[item.idempotency_key] = place
        outcomes.append(_begun(context, caller, request, item, None if earlier is None else outcomes[earlier]))
    answered = [await _answered(outcome, request) for outcome in outcomes]
    context.once(_Counts).count(answered)
    return ok({"data": answered})


def _begun(context: Context, caller: Caller, request: Request, item: _Item, earlier: Outcome | None) -> Outcome:
    """One payin on its way. With a key that this request has had before it waits for what became of that."""
    body = bytes(item.payin)
    try:
        if len(body) > context.settings.body_limit_bytes:
            raise Refused("too_large", f"a payin has at most {context.settings.body_limit_bytes} bytes")
        asked, method = asked_of(body, caller)
        direct = method.method not in CAPABILITIES and has_price(caller, method) and no_bank(context, caller) is None
        if earlier is not None or not direct:
            single = _single(request, item.idempotency_key, body)
            return asyncio.create_task(_singly(context, single, method.method, earlier), name="bulk-payin")
        secrets = context.sealer.fingerprint_keys
        key = idempotency.named(item.idempotency_key, "POST", _SINGLE, body, caller.book, secrets, "payin")
        id = ids.uuid7(caller.slot)
        command = transfer(context, caller, request.id, id, key, asked, method, Lane.BULK)
        return context.shard(caller.shard).submit(command, request.deadline)
    except CaudalError as error:
        return error


def _single(request: Request, key: str, body: bytes) -> Request:
    """The request that would have asked for this payin alone; the signature, if there is one, is of the whole."""
    headers = {b"authorization": request.headers[b"authorization"], b"idempotency-key": key.encode()}
    return Request(
        method="POST", path=_SINGLE, query=b"", headers=headers, body=body, id=request.id, deadline=request.deadline
    )


async def _singly(context: Context, single: Request, method: str, earlier: Outcome | None) -> Response:
    if isinstance(earlier, asyncio.Future):
        await asyncio.wait({earlier})
    async with context.once(_Turns).of(method):
        return await create(context, single)


async def _answered(outcome: Outcome, request: Request) -> _Answered:
    """What became of one payin."""
    try:
        if isinstance(outcome, CaudalError):
            return _refused(outcome, request)
        ended = await outcome
    except CaudalError as error:
        return _refused(error, request)
    except Exception:
        log.exception("a payin of many broke", extra={"request_id": request.id})
        return _refused(Unknown("unknown_outcome", "a defect of ours; the same key finds out"), request)
    if isinstance(ended, Response):
        replayed = any(name == b"idempotent-replayed" for name, _ in ended.headers)
        return _of(ended.status, ended.body, replayed=replayed)
    assert ended.answer is not None, "a command with a key has an answer"
    return _of(ended.answer.status, ended.answer.body, replayed=ended.answer.replayed)


def _refused(error: CaudalError, request: Request) -> _Answered:
    answer = answer_of(error, request.id)
    return _of(answer.status, answer.body, replayed=False, retry_after=retry_after_of(error))


def _of(status: int, body: bytes, *, replayed: bool, retry_after: int | None = None) -> _Answered:
    raw = msgspec.Raw(body)
    payin, problem = (raw, None) if status < 400 else (None, raw)
    return _Answered(status, replayed, retry_after, payin, problem)


# The list


def _items_of(body: bytes) -> Sequence[_Item]:
    """The payins that are asked for, unread. Raises Invalid with everything that is wrong with their list."""
    try:
        items = _decode(body).payins
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        items = []
    if not 1 <= len(items) <= MOST or not all(_KEY(item.idempotency_key) for item in items) or _may_hide(body, items):
        errors = _errors_of(body)
        if errors:
            raise Invalid("invalid_request", "the request has errors", errors=tuple(errors))
    return items


def _may_hide(body: bytes, items: Sequence[_Item]) -> bool:
    """Whether a name may be there twice. Each name is there as often as it has to be, unless a payin has it too."""
    count, wanted = len(items), ((b'"idempotency_key"', 1), (b'"payin"', 1))
    if body.count(b'"payins"') != 1 or any(body.count(name) != count * times for name, times in wanted):
        return True
    escapes = body.count(b"\\u")  # a name may be written so, too
    return escapes > 0 and escapes != sum(bytes(item.payin).count(b"\\u") for item in items)


def _errors_of(body: bytes) -> list[FieldError]:
    """What is wrong with the list, but for the payins in it, each of which is told its own."""
    shape, told = _read_shape(body)
    errors = [error for error in told if not _OF_PAYIN(error.field)]
    if errors:
        return errors
    detail = f"1 to {idempotency.LENGTH_MAX} printable ASCII characters, no space at either end"
    return [
        FieldError(field=f"/payins/{place}/idempotency_key", code="invalid_value", detail=detail)
        for place, item in enumerate(shape.payins)
        if not _KEY(item.idempotency_key)
    ]


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/payins/bulk",
        handler=create_bulk,
        summary="Create many payins",
        who="merchant",
        scope=WRITE,
        body=CreatePayinsBody,
        body_limit_bytes=BODY_LIMIT_BYTES,
        answer=PayinAnswers,
        keyed="each",
    ),
)
