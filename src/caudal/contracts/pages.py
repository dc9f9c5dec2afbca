"""Pages of lists: newest first, opaque cursors."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from caudal.kernel.errors import FieldError, Invalid

T = TypeVar("T")
Place = tuple[datetime, UUID]

LOOKED_AT: Final = 5_000  # so many rows a page looks at whose filters may leave few of them
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FORM: Final = struct.Struct("!q16s")


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """Rows of a page, whether there are more behind it, and the cursors to go on with."""

    rows: Sequence[T]
    has_more: bool
    next: str | None
    previous: str | None


class Looked(NamedTuple, Generic[T]):
    """Rows of a page, and the last place that was looked at when there may be more behind it."""

    rows: Sequence[T]
    looked: Place | None


def cursor(place: Place) -> str:
    """A place in a list, as text that says nothing."""
    micros = (place[0] - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_FORM.pack(micros, place[1].bytes)).decode()


def cursor_of(text: str | None, parameter: str = "after") -> Place | None:
    """The place that a cursor names. Raises Invalid, about the `parameter`, for a text that is none of ours."""
    if text is None:
        return None
    try:
        micros, id = _FORM.unpack(base64.urlsafe_b64decode(text.encode("ascii")))
        return _EPOCH + timedelta(microseconds=micros), UUID(bytes=id)
    except (ValueError, struct.error, binascii.Error, OverflowError) as error:
        detail = FieldError(field=f"?{parameter}", code="invalid_cursor", detail="take it from the list's answer")
        raise Invalid("invalid_request", "the cursor cannot be read", errors=(detail,)) from error


def page_of(
    rows: Sequence[T],
    limit: int,
    place: Callable[[T], Place],
    *,
    first: bool = False,
    backwards: bool = False,
    looked: Place | None = None,
) -> Page[T]:
    """A page of at most `limit`, from one row more. `backwards`: the extra row is the newest one.

    `looked` is the last place that was looked at when there may be more behind it: then the page may be short or empty.
    """
    more = len(rows) > limit
    shown = (rows[1:] if backwards else rows[:limit]) if more else rows
    older = bool(shown) and (more or backwards)
    newer = bool(shown) and (not first if not backwards else more)
    page = Page(
        rows=shown,
        has_more=older,
        next=cursor(place(shown[-1])) if older else None,
        previous=cursor(place(shown[0])) if newer else None,
    )
    if looked is None or more:
        return page
    if backwards:
        return msgspec.structs.replace(page, previous=cursor(looked))
    return msgspec.structs.replace(page, has_more=True, next=cursor(looked))
