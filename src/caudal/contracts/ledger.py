"""Events of the ledger: a balance that a fact took below zero."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta


class BalanceWentNegative(msgspec.Struct, frozen=True, kw_only=True):
    """What has already happened took more than a balance had: it is below zero, or further below than before.

    What is asked of the balance is refused until it is covered again.
    """

    id: Annotated[str, Meta(description="the balance's id; the same for ever", pattern="^bal_[0-9a-f]{32}$")]
    object: Annotated[Literal["balance"], Meta(description="what this is")] = "balance"
    mode: Annotated[Literal["test", "live"], Meta(description="which of the merchant's two sets of books it stands in")]
    name: Annotated[
        Literal["pending", "available", "reserved", "disputed", "unapplied"],
        Meta(description="which of the merchant's balances"),
    ]
    currency: Annotated[str, Meta(description="ISO 4217", pattern="^[A-Z]{3}$", examples=["MXN"])]
    amount: Annotated[int, Meta(description="what it is now, without what is held, minor units", lt=0)]
    cause: Annotated[str, Meta(description="what took it there, as the ledger names it", examples=["payin.fee"])]


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {"balance.went_negative": BalanceWentNegative}
