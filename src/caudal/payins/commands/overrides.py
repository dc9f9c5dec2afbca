"""An operator decides about a provider: through the API, or at the machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

import msgspec

from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import OPERATORS
from caudal.payins import decide
from caudal.payins.model import override_body
from caudal.payins.rows import OVERRIDES

Need = tuple[Table[Any, Any], Any]


class OverrideProvider(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Force a provider's breaker, or drain it. Refuses: a time that has passed.

    `digest` is that of the operator's key, None for who may open the database.
    """

    provider: str
    mode: Literal["test", "live"]
    said: decide.Forcing | decide.Draining
    actor: str
    digest: bytes | None
    entry: UUID
    key: Key | None = None
    request_id: str = ""
    book: int = 0
    lane: Lane = Lane.URGENT
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        if self.digest is not None:
            yield OPERATORS, self.digest
        yield OVERRIDES, (self.provider, self.mode)

    def decide(self, view: View) -> Decision | Refused:
        return decide.override(
            view,
            provider=self.provider,
            mode=self.mode,
            said=self.said,
            actor=self.actor,
            digest=self.digest,
            entry=self.entry,
        )

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, encode(override_body(outcome)))
