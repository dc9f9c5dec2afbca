"""`tracestate` (W3C Trace Context, 3.3): what the systems that a trace came through say to those of their own kind.

- It goes on with the caller's trace as it came, in its order; we have no word of our own in it.
- Members are `key=value`, at most 32, no key twice. Where one is not, or is there twice, the whole of it means nothing.
- What is longer than 512 characters loses members of more than 128 from its end, then its last ones.
- A member with what may be a card's number is left out, for it goes to collectors and providers.
"""

from __future__ import annotations

import re
from typing import Final

from caudal.kernel.telemetry.redact import without_cards

MEMBERS_MAX: Final = 32
LENGTH_MAX: Final = 512
_LONG: Final = 128
_KEY: Final = r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}"
_MEMBER: Final = re.compile(rf"(?:{_KEY})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


def carried(given: bytes) -> str:
    """What goes on of a header's value; nothing of one that is no `tracestate`."""
    members = [member for part in given.decode("latin-1").split(",") if (member := part.strip(" \t"))]
    if len(members) > MEMBERS_MAX or not all(map(_MEMBER.fullmatch, members)):
        return ""
    if len({member.partition("=")[0] for member in members}) < len(members):
        return ""
    state = ",".join(members)
    if without_cards(state) != state:
        members = [member for member in members if without_cards(member) == member]
    while len(state := ",".join(members)) > LENGTH_MAX:
        long = [place for place, member in enumerate(members) if len(member) > _LONG]
        del members[long[-1] if long else -1]
    return state
