"""What can go wrong, as one small tree. Every error that crosses the API is one of three:

    CaudalError
    ├── Refused          final: nothing happened and nothing will; the same request is refused again
    │   ├── Invalid      refused at the edge, before anything was written, with every field's error
    │   └── MethodNotAllowed
    ├── Retry            nothing happened; ask again (Overloaded says when)
    │   └── Overloaded
    ├── Unknown          a commit was lost on the way: ask again with the same key and find out
    └── Fault            ours: a command that the database would not take, an invariant that broke; an alarm

Only `http.py` files know status codes.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

RetryClass = Literal["no", "after", "same_key"]


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One field's error: `field` is a JSON pointer (RFC 6901), `?` and a parameter's name, or a header's."""

    field: str
    code: str
    detail: str


class CaudalError(Exception):
    """Something that crosses the API."""

    retry: ClassVar[RetryClass] = "no"

    def __init__(self, code: str, detail: str, *, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(detail)
        self.code, self.detail, self.errors = code, detail, errors


class Refused(CaudalError):
    """Final. `code` is one of the codes in docs/errors.md."""


class Invalid(Refused):
    """The request itself is wrong; nothing was written, not even its key."""


class MethodNotAllowed(Refused):
    """The path exists with another method, which the answer names (RFC 9110, `Allow`)."""

    def __init__(self, path: str, allowed: str) -> None:
        super().__init__("method_not_allowed", f"{path} takes {allowed}")
        self.allowed = allowed


class Retry(CaudalError):
    """Nothing happened; the same request may be sent again after so many seconds. `object`: the id to look at."""

    retry = "after"

    def __init__(self, code: str, detail: str, *, after_s: float = 1.0, object: str | None = None) -> None:
        super().__init__(code, detail)
        self.after_s, self.object = after_s, object


class Overloaded(Retry):
    """The queue would outlast the request's deadline."""


class Unknown(CaudalError):
    """The commit was sent and its answer lost; the same key finds out."""

    retry = "same_key"


class Fault(CaudalError):
    """A defect of ours; the request had no effect."""
