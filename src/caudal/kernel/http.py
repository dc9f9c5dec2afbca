"""HTTP in: requests, responses and routes as plain records. No framework stands between a socket and a handler.

A handler is `async (context, request) -> Response`; it raises an error of `errors.py` to refuse. Flows are lists: each
service's `http.py` has its `ROUTES`, from which the server, the OpenAPI document and the reference are made.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from datetime import datetime
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from caudal.kernel import ids
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.parse import error_of, near

if TYPE_CHECKING:
    from caudal.kernel.context import Context
    from caudal.kernel.door import Door

T = TypeVar("T", bound=msgspec.Struct)

JSON: Final = b"application/json"
PROBLEM_JSON: Final = b"application/problem+json"

encode = msgspec.json.Encoder().encode


class Request(msgspec.Struct, kw_only=True):
    """One request. Header names are lower-case bytes; `deadline` is monotonic seconds."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    id: str
    deadline: float
    parameters: tuple[str, ...] = ()

    def header(self, name: bytes) -> str | None:
        """A header's value as text (ISO 8859-1, as HTTP has it), or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: JSON unless another content type is given. What is too long for one body is a `stream` of parts."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[["Context", Request], Awaitable[Response]]
Verify = Callable[["Context", Request], object]
"""Raises a CaudalError for a provider's request that is not signed by it."""
FindsDoor = Callable[["Context", bytes, bytes], "Door | None"]
"""Behind which door a request is going to wait, by its Authorization header and its body."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API, with what its documentation needs.

    `path` has parameters in braces. `body` and `answer` are typed records; `keyed` says whether an Idempotency-Key
    goes with it, or one in its body with `each` of the many that it asks for; `who` whose credentials, which `verify`
    looks at where they are a provider's; `codes` the problems beyond those that every operation has; `also` the content
    types that the answer can have instead of JSON; `takes` those of a body that is a file; a body is at most
    `body_limit_bytes` long where that is not the general limit. `door` finds out from a body, without reading it
    properly, behind which door the request is going to wait: who finds it closed is refused before anything is done.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    summary: str
    who: Literal["merchant", "operator", "provider", "anybody"]
    body: Any = None
    answer: Any = None
    answers: int = 200
    query: Any = None
    keyed: Literal["required", "optional", "each", "no"] = "no"
    scope: str | None = None
    codes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    body_limit_bytes: int | None = None
    door: FindsDoor | None = None
    verify: Verify | None = None
    hidden: bool = False


def ok(value: object, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(status=status, body=encode(value))


def _given(kind: Any) -> Any:
    """A parameter's type once it is given: `null` in a query is a text like any other."""
    if get_origin(kind) in (Union, UnionType):
        return Union[tuple(_given(part) for part in get_args(kind) if part is not type(None))]  # noqa: UP007
    if hasattr(kind, "__metadata__"):
        return Annotated[_given(get_args(kind)[0]), *kind.__metadata__]
    return kind


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """The values that a parameter may have, and the code of the error for others. `separated`: several, by commas."""

    values: Collection[str]
    code: str
    separated: bool = False

    def errors(self, field: str, text: str) -> Iterator[FieldError]:
        """What is not known of a parameter's text."""
        for value in text.split(",") if self.separated else (text,):
            if value.strip() not in self.values:
                detail = f"{value.strip()[:50]!r} is not known{near(value.strip()[:50], self.values)}"
                yield FieldError(field=field, code=self.code, detail=detail)


class IdOf(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter that is the id of an object: its prefix, and in words of what. Whether there is one is not asked."""

    prefix: str
    what: str

    def errors(self, field: str, text: str) -> Iterator[FieldError]:
        """What is wrong with a parameter's text."""
        if ids.parse(self.prefix, text) is None:
            detail = f"the id of {self.what} is needed: {self.prefix}_ and 32 of 0-9 and a-f"
            yield FieldError(field=field, code="invalid_value", detail=detail)


def query_of(request: Request, kind: type[T], known: Mapping[str, Known | IdOf] | None = None) -> T:
    """The query string as a typed record. Raises Invalid with every parameter's error.

    `known` has the parameters whose values are names in a table, or ids, which the record's types do not say.
    """
    names = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in _pairs(request.query):
        if name not in names:
            detail = f"there is no such parameter{near(name, names)}"
            errors.append(FieldError(field=f"?{name}", code="unknown_field", detail=detail))
        elif name in values:
            errors.append(FieldError(field=f"?{name}", code="repeated", detail="given more than once"))
        elif "\x00" in text:
            errors.append(FieldError(field=f"?{name}", code="invalid_text", detail="U+0000 is not allowed"))
        elif known is not None and name in known and (found := tuple(known[name].errors(f"?{name}", text))):
            errors += found
        else:
            given = _given(names[name].type)
            try:
                values[name] = _value(text, given)
            except msgspec.ValidationError as error:
                errors.append(msgspec.structs.replace(error_of(error, text, given, f"?{name}"), code="invalid_value"))
    if errors:
        raise Invalid("invalid_request", "the query has errors", errors=tuple(errors))
    return kind(**values)


def _value(text: str, kind: Any) -> Any:
    """A parameter's text as what it means. A date-time is one in RFC 3339, and no number of seconds."""
    return msgspec.convert(text, kind, strict=_is_instant(kind))


def _is_instant(kind: Any) -> bool:
    return kind is datetime or (get_origin(kind) is Annotated and _is_instant(get_args(kind)[0]))


def refuse_query(query: bytes) -> None:
    """For an operation without parameters. Raises Invalid when there are some."""
    errors = tuple(
        FieldError(field=f"?{name}", code="unknown_field", detail="this operation has no parameters")
        for name in dict(_pairs(query))
    )
    if errors:
        raise Invalid("invalid_request", "the query has errors", errors=errors)


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query))
    except (UnicodeDecodeError, ValueError) as error:
        found = FieldError(field="?", code="invalid_value", detail="not `name=value`, several joined by `&`")
        raise Invalid("invalid_request", "the query string cannot be read", errors=(found,)) from error


def no_body(request: Request) -> None:
    """For an operation without a body. Raises Invalid when there is one that says something."""
    if request.body.strip() not in (b"", b"{}"):
        error = FieldError(field="", code="unexpected", detail="this request takes no body")
        raise Invalid("invalid_request", "this request takes no body", errors=(error,))


def header_error(name: str, detail: str) -> Invalid:
    """The refusal of a header's value."""
    error = FieldError(field=name, code="invalid_value", detail=detail)
    return Invalid("invalid_request", f"{name} is {detail}", errors=(error,))
