"""Merchants look disputes up, and answer them with files."""

from __future__ import annotations

import asyncio
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final
from uuid import UUID

import msgspec

from caudal.contracts.pages import cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel.commit import Key
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, ok, query_of
from caudal.kernel.idempotency import key_of
from caudal.merchants import Caller, authenticate
from caudal.payins import commands, decide, store
from caudal.payins.evidence import CHECKS, fault_of
from caudal.payins.http.answering import IDS, id_of
from caudal.payins.model import (
    FILE_BYTES_MAX,
    Dispute,
    DisputeBody,
    Evidence,
    EvidenceBody,
    EvidenceKind,
    dispute_body,
    evidence_body,
)
from caudal.payins.states import DisputeStatus

READ: Final = "disputes:read"
WRITE: Final = "disputes:write"


class DisputeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older ones")] = None
    payin: str | None = None
    status: DisputeStatus | None = None
    opened_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    opened_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class DisputeList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of disputes, newest first."""

    data: list[DisputeBody]
    has_more: bool
    next: str | None


class EvidenceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What the file shows."""

    kind: Annotated[EvidenceKind, msgspec.Meta(description="what the file shows")] = "other"


class EvidenceList(msgspec.Struct, frozen=True, kw_only=True):
    """Every file against a dispute, oldest first, without their contents."""

    data: list[EvidenceBody]


async def disputes(context: Context, request: Request) -> Response:
    """The merchant's disputes, newest first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, DisputeQuery, IDS)
    until = asked.opened_to or store.FAR_OFF
    before = min(cursor_of(asked.after) or (store.FAR_OFF, store.LAST), (until, store.FIRST))
    rows = await store.disputes_before(
        context,
        caller.shard,
        caller.book,
        before,
        since=asked.opened_from or store.LONG_AGO,
        payin=None if asked.payin is None else id_of("payin", asked.payin),
        status=asked.status,
        limit=asked.limit + 1,
    )
    page = page_of(rows, asked.limit, lambda row: (row.opened_at, row.id))
    return ok(DisputeList(data=[dispute_body(row) for row in page.rows], has_more=page.has_more, next=page.next))


async def get_dispute(context: Context, request: Request) -> Response:
    """One dispute."""
    return ok(dispute_body(await _dispute_of(context, request, await authenticate(context, request, READ))))


async def evidence(context: Context, request: Request) -> Response:
    """The files against a dispute, without their contents."""
    caller = await authenticate(context, request, READ)
    dispute = await _dispute_of(context, request, caller)
    rows = await store.evidence_of_dispute(context, caller.shard, dispute.id)
    return ok(EvidenceList(data=[evidence_body(row) for row in rows]))


async def add_evidence(context: Context, request: Request) -> Response:
    """Answer a dispute with a file: a PDF, a PNG or a JPEG of at most 5 MiB, as the body."""
    caller = await authenticate(context, request, WRITE)
    asked = query_of(request, EvidenceQuery)
    content_type = (request.header(b"content-type") or "").partition(";")[0].strip().lower()
    key = _key(context, request, caller, asked.kind, content_type)
    dispute = await _dispute_of(context, request, caller)
    id = decide.evidence_id(caller.book, key.digest, key.fingerprint)
    # Megabytes take milliseconds: other requests are answered meanwhile.
    digest, sealed = await asyncio.to_thread(_looked_at, context, content_type, request.body, id)
    new = Evidence(
        id=id,
        book=caller.book,
        dispute=dispute.id,
        version=1,
        kind=asked.kind,
        content_type=content_type,
        size_bytes=len(request.body),
        sha256=digest,
        status="pending",
        reason=None,
        created_at=store.LONG_AGO,
        sent_at=None,
    )
    await store.keep_file(context, caller.shard, new.id, sealed)
    command = commands.AddEvidence(evidence=new, key_digest=caller.key_digest, key=key, request_id=request.id)
    try:
        result = await context.commit(caller.shard, command, request.deadline)
    except Refused:  # the key is another request's
        await store.drop_file(context, caller.shard, new.id)
        raise
    assert result.answer is not None, "a command with a key has an answer"
    if result.answer.status >= 400:
        await store.drop_file(context, caller.shard, new.id)
    return respond(result.answer)


def _key(context: Context, request: Request, caller: Caller, kind: EvidenceKind, content_type: str) -> Key:
    """The request's key; what else than its body says what is asked is part of the fingerprint, too."""
    asked = msgspec.structs.replace(request, path=f"{request.path}?kind={kind}&type={content_type}")
    return key_of(asked, caller.book, context.sealer.fingerprint_keys)


def _looked_at(context: Context, content_type: str, content: bytes, id: UUID) -> tuple[bytes, bytes]:
    """A file's digest, and itself sealed. Raises Invalid for one that is empty, or not what its content type says."""
    if not content:
        raise _invalid("missing", "the body is the file")
    fault = fault_of(content_type, content)
    if fault is not None:
        raise _invalid("wrong_content", f"this is no {content_type.rpartition('/')[2].upper()}: {fault}")
    return sha256(content).digest(), context.sealer.seal(content, id.bytes)


def _invalid(code: str, detail: str) -> Invalid:
    error = FieldError(field="", code=code, detail=detail)
    return Invalid("invalid_request", "the file cannot be taken", errors=(error,))


async def _dispute_of(context: Context, request: Request, caller: Caller) -> Dispute:
    """The caller's dispute in the path. Raises Refused("not_found")."""
    found = await store.dispute(context, caller.shard, id_of("dispute", request.parameters[0]))
    if found is None or found.book != caller.book:
        raise Refused("not_found", "there is no such dispute")
    return found


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/disputes",
        handler=disputes,
        summary="List disputes",
        who="merchant",
        scope=READ,
        query=DisputeQuery,
        answer=DisputeList,
    ),
    Route(
        method="GET",
        path="/v1/disputes/{id}",
        handler=get_dispute,
        summary="Get a dispute",
        who="merchant",
        scope=READ,
        answer=DisputeBody,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/disputes/{id}/evidence",
        handler=add_evidence,
        summary="Answer a dispute with a file",
        who="merchant",
        scope=WRITE,
        query=EvidenceQuery,
        takes=tuple(CHECKS),
        body_limit_bytes=FILE_BYTES_MAX,
        answer=EvidenceBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="GET",
        path="/v1/disputes/{id}/evidence",
        handler=evidence,
        summary="List the files against a dispute",
        who="merchant",
        scope=READ,
        answer=EvidenceList,
        codes=("not_found",),
    ),
)
