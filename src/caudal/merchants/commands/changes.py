"""The story of every change: prepare what must be there before use, then one command, one commit.

Secrets: a key's text is made here, handed to whoever asked, and stored nowhere, not even in the answer that is kept
under the idempotency key. So a replayed request for a key is answered with `"secret": null`; whoever lost the first
answer rotates the key.
"""

from __future__ import annotations

import os
import pwd
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.contracts.merchants import FeeLine, LatePayments, Mode, RefundsBeyondBalance
from caudal.kernel import idempotency
from caudal.kernel.commit import Key, Result
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.ids import public, uuid7
from caudal.merchants import store
from caudal.merchants.decide import (
    ChangeFees,
    ChangeSettings,
    CreateKey,
    CreateMerchant,
    CreateOperator,
    RevokeKey,
    RevokeOperator,
    RotateKey,
)
from caudal.merchants.model import HOUSE_SHARD, SCOPES, Actor, MerchantBody, Operator, digest_of, hint_of, new_key

# One line for every kind of method that a merchant can try; hundredths of the currency.
FIRST_FEE_PLAN: Final = (
    FeeLine(family="instant_transfer", currency="MXN", fixed_minor=300, basis_points=100),
    FeeLine(
        family="card",
        currency="BRL",
        fixed_minor=40,
        basis_points=350,
        dispute_fixed_minor=5_000,
        settlement_days=2,
    ),
    FeeLine(family="instant_transfer", currency="BRL", fixed_minor=0, basis_points=99, refund_fixed_minor=50),
    FeeLine(family="cash_voucher", currency="BRL", fixed_minor=290, refund_fixed_minor=350, settlement_days=2),
    FeeLine(family="bank_redirect", currency="COP", fixed_minor=90_000, basis_points=150, refund_fixed_minor=250_000),
    FeeLine(family="mobile_money", currency="KES", basis_points=150, refund_fixed_minor=1_000),
)


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for a change: an operator through the API with a key and a deadline, or a person at the machine."""

    operator: Operator | None = None
    key: Key | None = None
    request_id: str = ""
    deadline: float | None = None


CLI: Final = Asking()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A commit's result, and the text of the key that it made. A result that is replayed has no text any more."""

    result: Result
    secret: str | None = None


# Merchants


async def create_merchant(
    context: Context,
    asking: Asking,
    *,
    name: str,
    country: str,
    fee_plan: tuple[FeeLine, ...] = (),
    late_payments: LatePayments = "accept",
    refunds_beyond_balance: RefundsBeyondBalance = "refuse",
    shard: int | None = None,
) -> Result:
    """A new merchant, on the shard with fewest unless one is named. The other fields were checked at the edge."""
    shard = await _shard_for(context, asking, shard)
    if await _is_replay(context, asking, shard):
        place = store.Place(uuid7(), 0, shard)  # the key answers; nothing is decided
    else:
        place = await answered(store.place_merchant(context, shard), asking.deadline)
    command = CreateMerchant(
        merchant=place.merchant,
        slot=place.slot,
        shard=shard,
        name=name,
        country=country,
        late_payments=late_payments,
        refunds_beyond_balance=refunds_beyond_balance,
        fee_plan=fee_plan,
        **_change(asking, shard),
    )
    return await context.commit(shard, command, asking.deadline)


async def _shard_for(context: Context, asking: Asking, named: int | None) -> int:
    """Where a new merchant goes. A key that comes again leads to where its first request led. Raises Invalid."""
    shards = await answered(context.every_shard(), asking.deadline)
    if named is not None and named not in shards:
        detail = f"there are the shards {', '.join(map(str, shards))}"
        error = FieldError(field="/shard", code="not_available", detail=detail)
        raise Invalid("invalid_request", "the request has errors", errors=(error,))
    if len(shards) == 1:
        return shards[0]
    for shard in shards if asking.key is not None else ():
        if await _is_replay(context, asking, shard):
            return shard
    shard = await answered(store.emptiest_shard(context), asking.deadline) if named is None else named
    if asking.key is None:
        return shard
    return await answered(store.claimed(context, "placing", asking.key.digest, shard), asking.deadline)


async def change_fees(context: Context, asking: Asking, merchant: UUID, fee_plan: tuple[FeeLine, ...]) -> Result:
    """The next version of a merchant's fee plan, for payins that are created from now on. Refuses: not_found."""
    place = await _place_of(context, asking, merchant)
    command = ChangeFees(
        merchant=merchant, slot=place.slot, shard=place.shard, fee_plan=fee_plan, **_change(asking, place.shard)
    )
    return await context.commit(place.shard, command, asking.deadline)


async def change_settings(
    context: Context,
    asking: Asking,
    merchant: UUID,
    *,
    late_payments: LatePayments | None = None,
    refunds_beyond_balance: RefundsBeyondBalance | None = None,
) -> Result:
    """What becomes of money that comes after expiry and of refunds beyond the balance; None leaves it as it is.

    Refuses: not_found.
    """
    place = await _place_of(context, asking, merchant)
    command = ChangeSettings(
        merchant=merchant,
        slot=place.slot,
        shard=place.shard,
        late_payments=late_payments,
        refunds_beyond_balance=refunds_beyond_balance,
        **_change(asking, place.shard),
    )
    return await context.commit(place.shard, command, asking.deadline)


# API keys


async def create_key(
    context: Context, asking: Asking, merchant: UUID, *, mode: Mode, name: str, scopes: tuple[str, ...] = SCOPES
) -> Made:
    """A key for one of a merchant's modes. Refuses: not_found."""
    place = await _place_of(context, asking, merchant)
    secret = new_key("sk_live_" if mode == "live" else "sk_test_")
    await _enter(context, asking, "api_key", digest_of(secret), place.slot, place.shard)
    command = CreateKey(
        merchant=merchant,
        slot=place.slot,
        id=uuid7(place.slot),
        digest=digest_of(secret),
        hint=hint_of(secret),
        mode=mode,
        name=name,
        scopes=scopes,
        **_change(asking, place.shard),
    )
    return _made(await context.commit(place.shard, command, asking.deadline), secret)


async def rotate_key(context: Context, asking: Asking, key: UUID, overlap_s: int) -> Made:
    """A key that follows another, which counts for `overlap_s` more. Refuses: not_found, forbidden_transition."""
    found = await _place_of_key(context, asking, key)
    place, live = found.place, found.book & 1
    secret = new_key("sk_live_" if live else "sk_test_")
    await _enter(context, asking, "api_key", digest_of(secret), place.slot, place.shard)
    command = RotateKey(
        merchant=place.merchant,
        digest=found.digest,
        new_id=uuid7(place.slot),
        new_digest=digest_of(secret),
        new_hint=hint_of(secret),
        overlap_s=overlap_s,
        **_change(asking, place.shard),
    )
    return _made(await context.commit(place.shard, command, asking.deadline), secret)


async def revoke_key(context: Context, asking: Asking, key: UUID) -> Result:
    """Ends a key at once. Refuses: not_found."""
    found = await _place_of_key(context, asking, key)
    shard = found.place.shard
    command = RevokeKey(merchant=found.place.merchant, digest=found.digest, **_change(asking, shard))
    return await context.commit(shard, command, asking.deadline)


# Operators


async def create_operator(context: Context, asking: Asking, name: str) -> Made:
    """An operator with its key."""
    shard, secret = HOUSE_SHARD, new_key("op_")
    await _enter(context, asking, "operator", digest_of(secret), 0, shard)
    command = CreateOperator(
        id=uuid7(), digest=digest_of(secret), hint=hint_of(secret), name=name, **_change(asking, shard)
    )
    return _made(await context.commit(shard, command, asking.deadline), secret)


async def revoke_operator(context: Context, asking: Asking, operator: UUID) -> Result:
    """Ends an operator's key at once. Refuses: not_found."""
    for record, shard in await answered(store.list_operators(context), asking.deadline):
        if record.id == operator:
            command = RevokeOperator(digest=record.digest, **_change(asking, shard))
            return await context.commit(shard, command, asking.deadline)
    raise Refused("not_found", "there is no such operator")


# The first start


async def first_operator(context: Context) -> str:
    """Makes the operator of a new installation; its key's text."""
    made = await create_operator(context, CLI, "first operator")
    assert made.secret is not None, "nothing is replayed without a key"
    return made.secret


async def first_merchant(context: Context, name: str, country: str) -> tuple[UUID, str]:
    """Makes a merchant to begin with, with a fee plan and a test key; its id and the key's text."""
    created = await create_merchant(context, CLI, name=name, country=country, fee_plan=FIRST_FEE_PLAN)
    merchant = created.outcome
    assert isinstance(merchant, MerchantBody), "a merchant is not refused in the batch"
    id = UUID(merchant.id.removeprefix("mer_"))
    made = await create_key(context, CLI, id, mode="test", name="first key")
    assert made.secret is not None, "nothing is replayed without a key"
    return id, made.secret


# What they share


def _change(asking: Asking, shard: int) -> dict[str, Any]:
    """What every change has. An operator of another shard was looked at when the request came in."""
    operator, actor = asking.operator, actor_of(asking)
    if operator is not None and operator.shard != shard:
        actor = Actor(name=actor.name)
    return {"actor": actor, "entry": uuid7(), "key": asking.key, "request_id": asking.request_id}


def actor_of(asking: Asking) -> Actor:
    """Who asks, as the audit trail names it."""
    operator = asking.operator
    if operator is None:
        return Actor(name=f"cli:{_user()}")
    return Actor(name=public("operator", operator.id), digest=operator.digest)


def _user() -> str:
    """Who runs this process, by the system's own account and not by what the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


async def _is_replay(context: Context, asking: Asking, shard: int) -> bool:
    """Whether the idempotency key is going to answer, so that nothing is written before the batch for nothing."""
    if asking.key is None:
        return False
    return await answered(idempotency.is_known(context, shard, asking.key), asking.deadline)


async def _enter(context: Context, asking: Asking, kind: str, digest: bytes, slot: int, shard: int) -> None:
    if not await _is_replay(context, asking, shard):
        await answered(store.enter_digest(context, kind, digest, slot, shard), asking.deadline)


def _made(result: Result, secret: str) -> Made:
    fresh = isinstance(result.outcome, msgspec.Struct)
    return Made(result=result, secret=secret if fresh else None)


async def _place_of(context: Context, asking: Asking, merchant: UUID) -> store.Place:
    place = await answered(store.place_of(context, merchant), asking.deadline)
    if place is None:
        raise Refused("not_found", "there is no such merchant")
    return place


async def _place_of_key(context: Context, asking: Asking, key: UUID) -> store.KeyPlace:
    found = await answered(store.place_of_key(context, key), asking.deadline)
    if found is None:
        raise Refused("not_found", "there is no such API key")
    return found
