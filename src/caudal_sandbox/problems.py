"""Refusals as RFC 9457 problems: `code` is stable, `errors[]` names every wrong field by JSON pointer (RFC 6901)."""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from caudal_sandbox.books import (
    BookRefusal,
    ReturnKeyReused,
    ReturnTooLarge,
    TrackingKeyReused,
    TransferUnknown,
)
from caudal_sandbox.signature import SignatureRefused

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldError:
    """One wrong field: where (a JSON pointer, or a query parameter's name), a stable code, a sentence."""

    field: str
    code: str
    detail: str


class Problem(Exception):
    """The request is refused; the server answers with it."""

    def __init__(self, status: int, code: str, detail: str, errors: list[FieldError] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []

    def response(self) -> web.Response:
        """Write the problem."""
        body: dict[str, Any] = {
            "type": f"urn:caudal-sandbox:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            body["errors"] = [{"field": e.field, "code": e.code, "detail": e.detail} for e in self.errors]
        text = json.dumps(body, ensure_ascii=False)
        return web.Response(status=self.status, body=text.encode(), content_type="application/problem+json")


def invalid(errors: list[FieldError]) -> Problem:
    """Refuse a request for its fields, all of them at once."""
    return Problem(422, "invalid_request", "Some fields are not as they must be.", errors)


def of_refusal(refusal: BookRefusal) -> Problem:
    """Say a refusal of the books in HTTP."""
    match refusal:
        case TransferUnknown():
            return Problem(404, "transfer_unknown", "No transfer has this tracking key.")
        case TrackingKeyReused():
            detail = "A transfer with this tracking key exists and differs."
            return Problem(409, "tracking_key_reused", detail, _differing(refusal))
        case ReturnKeyReused():
            return Problem(409, "return_key_reused", "A return with this key exists and differs.", _differing(refusal))
        case ReturnTooLarge():
            left = refusal.args[0]
            detail = f"Only {left} centavos of this transfer are left to return."
            errors = [FieldError(field="/amount", code="too_large", detail=detail)]
            return Problem(409, "return_exceeds_transfer", detail, errors)
    raise AssertionError(f"a refusal without a problem: {refusal!r}")


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn everything that goes wrong in a handler into a problem; no stack or SQL ever leaves."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except BookRefusal as refusal:
        return of_refusal(refusal).response()
    except SignatureRefused as refusal:
        return Problem(401, refusal.code, refusal.detail).response()
    except web.HTTPNotFound:
        return Problem(404, "not_found", f"There is nothing at {request.path}.").response()
    except web.HTTPMethodNotAllowed as wrong:
        response = Problem(405, "method_not_allowed", f"{request.path} does not know {request.method}.").response()
        response.headers["Allow"] = ", ".join(sorted(wrong.allowed_methods))
        return response
    except web.HTTPRequestEntityTooLarge:
        return Problem(413, "body_too_large", "The body is too large.").response()
    except web.HTTPException:
        raise
    except sqlite3.Error:
        log.exception("the books failed")
        detail = "The bank cannot say whether it booked this; ask again with the same key."
        return Problem(503, "books_unavailable", detail).response()
    except Exception:
        log.exception("a request failed")
        return Problem(500, "internal_error", "The bank made a mistake; ask again with the same key.").response()


def _differing(refusal: BookRefusal) -> list[FieldError]:
    names = [name.removesuffix("_minor") for name in refusal.args]
    return [FieldError(field=f"/{name}", code="differs", detail="Differs from what was booked.") for name in names]
