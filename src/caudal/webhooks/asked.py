"""What a merchant may ask of webhooks, field by field. All errors are found at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.contracts import disputes, instruments, ledger, payins, webhooks
from caudal.kernel.errors import FieldError, Invalid
from caudal.webhooks import guard

OVERLAP_MAX_S: Final = 7 * 86_400
DESCRIPTION_MAX: Final = 200
# What a merchant's endpoint may hear of; a test goes to the endpoint that is tested, whatever it hears of.
TYPES: Final = tuple(
    name
    for name in (*payins.EVENTS, *disputes.EVENTS, *instruments.EVENTS, *webhooks.EVENTS, *ledger.EVENTS)
    if name != webhooks.TEST and not name.startswith("discrepancy.")  # those are the platform's
)

Url = Annotated[
    str,
    Meta(
        description="https://, in test mode http:// too; a public address, without user, password or fragment",
        examples=["https://shop.example.com/caudal"],
    ),
]
Types = Annotated[
    tuple[str, ...], Meta(description="types of events, e.g. `payin.paid`; none named: all", examples=[["payin.paid"]])
]


class CreateEndpointBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/webhook_endpoints`."""

    url: Url
    types: Types = ()
    description: Annotated[str | None, Meta(description=f"at most {DESCRIPTION_MAX} characters")] = None


class ChangeEndpointBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/webhook_endpoints/{id}`: what is named is changed."""

    url: Url | None = None
    types: Types | None = None
    description: Annotated[str | None, Meta(description="an empty one is removed")] = None
    status: Annotated[Literal["enabled", "disabled"] | None, Meta(description="enable or disable it")] = None


class RotateSecretBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST …/secret_rotations`."""

    overlap_s: Annotated[
        int, Meta(ge=0, le=OVERLAP_MAX_S, description="how long messages are signed with both secrets, seconds")
    ]


class RedeliverRangeBody(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"since": "from", "until": "to"}
):
    """`POST …/redeliveries`: events of a time, in their order; those that the endpoint never got are among them."""

    since: Annotated[datetime, Meta(tz=True, description="RFC 3339 with a zone")]
    until: Annotated[datetime, Meta(tz=True, description="RFC 3339 with a zone; not later than now counts")]
    types: Annotated[tuple[str, ...] | None, Meta(description="those that the endpoint hears of unless named")] = None
    only_failed: Annotated[bool, Meta(description="only what was not delivered and is not on its way")] = False


def check_endpoint(asked: CreateEndpointBody | ChangeEndpointBody, *, live: bool, loopback: bool) -> None:
    """Raises Invalid with every field that is wrong."""
    errors = list(_type_errors(asked.types or ()))
    if asked.url is not None:
        errors += [
            FieldError(field="/url", code=code, detail=detail)
            for code, detail in guard.refusals(asked.url, live=live, loopback=loopback)
        ]
    if asked.description is not None and len(asked.description) > DESCRIPTION_MAX:
        detail = f"at most {DESCRIPTION_MAX} characters"
        errors.append(FieldError(field="/description", code="invalid_length", detail=detail))
    _raise(errors)


def check_range(asked: RedeliverRangeBody) -> None:
    """Raises Invalid with every field that is wrong."""
    errors = list(_type_errors(asked.types or ()))
    if asked.until < asked.since:
        errors.append(FieldError(field="/to", code="contradiction", detail="it is before `from`"))
    _raise(errors)


def _raise(errors: list[FieldError]) -> None:
    if errors:
        raise Invalid("invalid_request", "the request has errors", errors=tuple(errors))


def _type_errors(types: tuple[str, ...]) -> Iterator[FieldError]:
    for place, name in enumerate(types):
        field = f"/types/{place}"
        if name not in TYPES:
            near = difflib.get_close_matches(name, TYPES, n=1, cutoff=0.5)
            detail = "there is no such type of event" + (f"; did you mean {near[0]}?" if near else "")
            yield FieldError(field=field, code="unknown_type", detail=detail)
        elif name in types[:place]:
            yield FieldError(field=field, code="repeated", detail="named more than once")
