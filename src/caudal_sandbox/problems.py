"""Refusals as RFC 9457 problems: `code` is stable, `errors[]` names every wrong field by JSON pointer (RFC 6901)."""

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from caudal_sandbox.signature import SignatureRefused

log = logging.getLogger(__name__)
Refusals = Mapping[type[Exception], Callable[[Any], "Problem"]]


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


def as_problems(refusals: Refusals) -> Middleware:
    """Turn everything that goes wrong in a handler into a problem; no stack or SQL ever leaves."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except tuple(refusals) as refusal:
            say = next(say for kind, say in refusals.items() if isinstance(refusal, kind))
            return say(refusal).response()
        except SignatureRefused as refusal:
            return Problem(401, refusal.code, refusal.detail).response()
        except web.HTTPException as wrong:
            return _of_http(request, wrong)
        except sqlite3.Error:
            log.exception("the books failed")
            detail = "The sandbox cannot say whether it booked this; ask again with the same key."
            return Problem(503, "books_unavailable", detail).response()
        except Exception:
            log.exception("a request failed")
            detail = "The sandbox made a mistake; ask again with the same key."
            return Problem(500, "internal_error", detail).response()

    return middleware


def _of_http(request: web.Request, wrong: web.HTTPException) -> web.StreamResponse:
    """Say what aiohttp refuses as a problem; let its redirects through."""
    match wrong:
        case web.HTTPNotFound():
            return Problem(404, "not_found", f"There is nothing at {request.path}.").response()
        case web.HTTPMethodNotAllowed():
            response = Problem(405, "method_not_allowed", f"{request.path} does not know {request.method}.").response()
            response.headers["Allow"] = ", ".join(sorted(wrong.allowed_methods))
            return response
        case web.HTTPRequestEntityTooLarge():
            return Problem(413, "body_too_large", "The body is too large.").response()
    raise wrong
