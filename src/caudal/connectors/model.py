"""What connectors and services tell each other, whatever the provider's protocol."""

from __future__ import annotations

from typing import Literal

import msgspec


class DepositReport(msgspec.Struct, frozen=True, kw_only=True):
    """Money that arrived on an account of ours. The provider's `tracking_key` names it once and for ever."""

    provider: str
    tracking_key: str
    account: str
    amount_minor: int
    currency: str
    payer_name: str
    payer_bank: str
    paid_at: str


class ReturnOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Money to send back to whoever sent it."""

    return_key: str
    tracking_key: str
    amount_minor: int
    currency: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's answer means: done; permanent (never); retry (not yet); unknown (ask again, same key)."""

    status: Literal["done", "permanent", "retry", "unknown"]
    detail: str
