"""HTTP in: requests, responses and routes as plain records. No framework stands between a socket and a handler.

A handler is `async (context, request) -> Response`; it raises an error of `errors.py` to refuse. Flows are lists: each
service's `http.py` has its `ROUTES`, from which the server, the OpenAPI document and the reference are made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec

from caudal.kernel.errors import FieldError, Invalid

if TYPE_CHECKING:
    from caudal.kernel.context import Context

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
    """An answer: JSON unless another content type is given."""

    status: int = 200
    body: bytes = b""
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


Handler = Callable[["Context", Request], Awaitable[Response]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the API, with what its documentation needs.

    `path` has parameters in braces. `body` and `answer` are typed records; `keyed` says whether an Idempotency-Key
    goes with it; `who` whose credentials; `codes` the problems beyond those that every operation has.
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
    keyed: Literal["required", "optional", "no"] = "no"
    scope: str | None = None
    codes: tuple[str, ...] = ()
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


def query_of(request: Request, kind: type[T]) -> T:
    """The query string as a typed record. Raises Invalid with every parameter's error."""
    names = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    try:
        pairs = parse_qsl(request.query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(request.query))
    except (UnicodeDecodeError, ValueError) as error:
        raise Invalid("invalid_request", "the query string cannot be read") from error
    for name, text in pairs:
        if name not in names:
            errors.append(FieldError(field=f"?{name}", code="unknown_field", detail="there is no such parameter"))
        elif name in values:
            errors.append(FieldError(field=f"?{name}", code="repeated", detail="given more than once"))
        elif "\x00" in text:
            errors.append(FieldError(field=f"?{name}", code="invalid_text", detail="U+0000 is not allowed"))
        else:
            try:
                values[name] = msgspec.convert(text, _given(names[name].type), strict=False)
            except msgspec.ValidationError as error:
                errors.append(FieldError(field=f"?{name}", code="invalid_value", detail=str(error)))
    if errors:
        raise Invalid("invalid_request", "the query has errors", errors=tuple(errors))
    return kind(**values)
