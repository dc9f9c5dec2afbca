"""Refusals as RFC 9457 problems: `code` is stable, `errors[]` names every wrong field by JSON pointer (RFC 6901)."""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from caudal_sandbox.http import HungUp, Request, Response, Route
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

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: list[FieldError] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors or []
        self.headers = headers or {}

    def response(self) -> Response:
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
        return Response(
            status=self.status, body=text.encode(), content_type="application/problem+json", headers=self.headers
        )


def invalid(errors: list[FieldError]) -> Problem:
    """Refuse a request for its fields, all of them at once."""
    return Problem(422, "invalid_request", "Some fields are not as they must be.", errors)


def answering(refusals: Refusals) -> Callable[[Request], Awaitable[Response]]:
    """Have requests answered; everything that goes wrong becomes a problem; no stack or SQL ever leaves."""
    kinds = tuple(refusals)

    async def answer(request: Request) -> Response:
        try:
            return await _route_of(request).handler(request)
        except HungUp:
            raise
        except Problem as problem:
            return problem.response()
        except kinds as refusal:
            say = next(say for kind, say in refusals.items() if isinstance(refusal, kind))
            return say(refusal).response()
        except SignatureRefused as refusal:
            return Problem(401, refusal.code, refusal.detail).response()
        except sqlite3.Error:
            log.exception("the books failed")
            detail = "The sandbox cannot say whether it booked this; ask again with the same key."
            return Problem(503, "books_unavailable", detail).response()
        except Exception:
            log.exception("a request failed")
            detail = "The sandbox made a mistake; ask again with the same key."
            return Problem(500, "internal_error", detail).response()

    return answer


def _route_of(request: Request) -> Route:
    """Who answers. Raises Problem where nobody does, and for a body that is too large for whoever does."""
    routes = request.found.routes
    if not routes:
        raise Problem(404, "not_found", f"There is nothing at {request.path}.")
    route = routes.get(request.method)
    if route is None:
        detail = f"{request.path} does not know {request.method}."
        raise Problem(405, "method_not_allowed", detail, headers={"Allow": ", ".join(sorted(routes))})
    if request.too_large:
        raise Problem(413, "body_too_large", f"A body has at most {route.body_max} bytes here.")
    return route
