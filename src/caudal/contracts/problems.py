"""Every problem that the API answers with (RFC 9457): code, status, title, meaning. Codes are stable for ever.

docs/errors.md is made from this table; `type` of a problem is its place there.
"""

from __future__ import annotations

from typing import Final

import msgspec

from caudal.kernel.commit import Answer
from caudal.kernel.errors import CaudalError, FieldError, MethodNotAllowed, Retry
from caudal.kernel.http import PROBLEM_JSON, Response, encode

TYPE_PREFIX: Final = "/docs/errors#"


class Problem(msgspec.Struct, frozen=True):
    """A kind of problem."""

    code: str
    status: int
    title: str
    meaning: str


_TABLE: Final = (
    Problem(
        "malformed_http",
        400,
        "The request is not HTTP",
        "Its line, a header, or its framing cannot be read; the connection is closed.",
    ),
    Problem("malformed_json", 400, "The body is not JSON", "The body cannot be read; nothing was written."),
    Problem(
        "invalid_key", 400, "The Idempotency-Key cannot be used", "1 to 255 printable ASCII characters, bare or quoted."
    ),
    Problem("key_missing", 400, "An Idempotency-Key is needed", "Every request that moves money names one."),
    Problem(
        "unauthenticated",
        401,
        "The credentials are not valid",
        "No key, an unknown, ended or revoked one, or a signature that does not verify.",
    ),
    Problem("forbidden", 403, "The key may not do this", "The key's scopes do not cover the operation."),
    Problem("not_found", 404, "There is no such object", "Unknown, or of another merchant or mode."),
    Problem("no_such_route", 404, "There is no such address", "The path is not part of the API."),
    Problem("method_not_allowed", 405, "The method is not allowed here", "The path exists with another method."),
    Problem(
        "forbidden_transition", 409, "The object's state does not allow this", "E.g. cancelling a payin that is paid."
    ),
    Problem(
        "contradiction",
        409,
        "This contradicts what was reported before",
        "A callback with a known tracking key and other content.",
    ),
    Problem("already_exists", 409, "There is one already", "What must be unique is taken."),
    Problem(
        "key_in_progress",
        409,
        "The first request with this key has not ended",
        "Ask again after `Retry-After`; `object` is what it makes.",
    ),
    Problem(
        "request_timeout",
        408,
        "The request did not arrive in time",
        "Head and body have to arrive within 30 s; nothing was written, and the connection is closed.",
    ),
    Problem(
        "too_large",
        413,
        "The body is too large",
        "CAUDAL_BODY_LIMIT_BYTES bounds it; evidence, 5 MiB a file; many payins at once, 2 MiB.",
    ),
    Problem(
        "unsupported_media_type",
        415,
        "The content type is not taken here",
        "Send `Content-Type: application/json`; evidence says which of its types it is.",
    ),
    Problem(
        "invalid_request",
        422,
        "The request has errors",
        "`errors` names every field and what is wrong with it; nothing was written.",
    ),
    Problem(
        "key_reused",
        422,
        "The key was used for another request",
        "The same Idempotency-Key came with another method, path or body.",
    ),
    Problem("insufficient_funds", 422, "The balance does not cover this", "More was asked for than there is."),
    Problem("not_refundable", 422, "This method has no refunds", "Send the money back in another way."),
    Problem("amount_too_large", 422, "More than there is to act on", "E.g. returning more than is unapplied."),
    Problem(
        "head_too_large",
        431,
        "The request's head is too large",
        "At most 100 headers, and 32 KiB of them and the target; the connection is closed.",
    ),
    Problem(
        "too_many_requests",
        429,
        "Too many requests",
        "The merchant's share of the queue is full, or it asks more often than agreed; ask again after `Retry-After`.",
    ),
    Problem("internal_error", 500, "A defect of ours", "The request had no effect; an alarm was raised."),
    Problem(
        "unknown_outcome",
        500,
        "The outcome is not known yet",
        "The request may have had its effect, and no answer to it came. Ask again with the same key.",
    ),
    Problem("overloaded", 503, "Too much is waiting", "Nothing was written; ask again after `Retry-After`."),
    Problem("stopping", 503, "This process is stopping", "Nothing was written; ask again."),
    Problem("try_again", 503, "The shard was busy", "Nothing was written; ask again."),
    Problem(
        "provider_unavailable",
        503,
        "The provider is not available",
        "It does not answer, its breaker is open, or an operator has drained it, as the bank of transfers may be, too; "
        "nothing was written. Ask again after `Retry-After`, or offer another method.",
    ),
    Problem("database_unavailable", 503, "The database does not answer", "Nothing was written; ask again."),
)
_CODE: Final = b'"code":"'  # within a text of JSON its quotes would be escaped
PROBLEMS: Final[dict[str, Problem]] = {problem.code: problem for problem in _TABLE}


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem as it is sent. `object` is the id of what the first request with the same key is making."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] = ()
    retry: str
    object: str | None = None
    request_id: str


def answer_of(error: CaudalError, request_id: str) -> Answer:
    """An error's status and body. Raises KeyError for a code that is not in the table."""
    problem = PROBLEMS[error.code]
    body = ProblemBody(
        type=TYPE_PREFIX + problem.code,
        title=problem.title,
        status=problem.status,
        detail=error.detail,
        code=problem.code,
        errors=error.errors,
        retry=error.retry,
        object=error.object if isinstance(error, Retry) else None,
        request_id=request_id,
    )
    return Answer(problem.status, encode(body))


def code_of(body: bytes) -> str:
    """The code of a problem, by its bytes."""
    _, _, behind = body.partition(_CODE)
    return behind[: behind.find(b'"')].decode("ascii", "replace")


def retry_after_of(error: CaudalError) -> int | None:
    """In how many whole seconds it helps to ask again, or None."""
    return max(1, round(error.after_s + 0.5)) if isinstance(error, Retry) else None


def response_of(error: CaudalError, request_id: str) -> Response:
    """An error as an answer that is not stored, with `Retry-After` in whole seconds where it helps."""
    answer = answer_of(error, request_id)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    after_s = retry_after_of(error)
    if after_s is not None:
        headers = ((b"retry-after", str(after_s).encode()),)
    if isinstance(error, MethodNotAllowed):
        headers = ((b"allow", error.allowed.encode()),)
    if error.code == "unauthenticated":
        headers = ((b"www-authenticate", b'Bearer realm="caudal"'),)
    return Response(status=answer.status, body=answer.body, content_type=PROBLEM_JSON, headers=headers)


def respond(answer: Answer) -> Response:
    """A command's answer, stored or not, as it goes out."""
    return Response(
        status=answer.status,
        body=answer.body,
        content_type=PROBLEM_JSON if answer.status >= 400 else b"application/json",
        headers=((b"idempotent-replayed", b"true"),) if answer.replayed else (),
    )
