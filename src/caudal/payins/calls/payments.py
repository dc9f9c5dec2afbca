"""A payment: what its provider is asked, and how what it says is recorded."""

from __future__ import annotations

from datetime import date, timedelta
from time import monotonic
from typing import Final, Literal
from uuid import UUID

from caudal import connectors, settlement, vault
from caudal.catalogue import METHODS
from caudal.connectors import (
    CAPABILITIES,
    Card,
    Declined,
    NotFound,
    PayerDetails,
    PaymentOrder,
    PaymentQuery,
    PaymentState,
    Unresolved,
    provider_of,
)
from caudal.kernel.clock import rfc3339, wall_clock
from caudal.kernel.commit import Due, Key, Result
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.merchants import Caller
from caudal.payins import commands, store
from caudal.payins.commands import Facts
from caudal.payins.model import Operation, Payer, Payin

# What a request keeps of its deadline for the commit behind the call.
RESERVE_S: Final = 0.5
# How long after a request's deadline nobody is expected to come back with an outcome.
MARGIN_S: Final = 3.0
_NOBODY: Final = b"{}"


def facts_of(payin: Payin, *, settlement_days: int | None = None) -> Facts:
    """What the decisions on this payin look at; `settlement_days` of its plan where they are known."""
    detail = payin.details()
    waiting = detail.waiting
    day: date | None = payin.available_on
    if day is None and settlement_days is not None:
        day = settlement.available_on(wall_clock(), settlement_days)
    return Facts(
        id=payin.id,
        book=payin.book,
        currency=payin.currency,
        fee_plan=payin.fee_plan,
        day=day,
        waiting=None if waiting is None else waiting.key,
        method=payin.method,
        days=detail.days,
    )


def days_of(caller: Caller, payin: Payin) -> int:
    """The days that the caller's plan has for this payin."""
    row = caller.fees.get((METHODS[payin.country, payin.method].family, payin.currency))
    return 1 if row is None else row.settlement_days


async def submit(
    context: Context,
    shard: int,
    payin: Payin,
    card: Card | None,
    payer: Payer | None,
    *,
    days: int,
    key: Key,
    until: float,
    due: Due,
) -> Result:
    """Asks the provider and records what it says; the result's outcome is a `Noted`. `until` is monotonic seconds.

    `due` is the sweep that was to come if nobody came back.
    """
    facts = facts_of(payin, settlement_days=days)
    connector = connectors.of(context, payin.carrier, payin.method)
    state = await connector.submit(order_of(payin, card, payer), until - RESERVE_S)
    if isinstance(state, Unresolved):
        return await context.commit(shard, commands.LeavePayment(facts=facts, asked=key))
    return await record(context, shard, payin, facts, state, asked=key, due=due)


async def record(
    context: Context,
    shard: int,
    payin: Payin,
    facts: Facts,
    state: PaymentState | Declined,
    *,
    asked: Key | None = None,
    due: Due | None = None,
) -> Result:
    """Records how a payment stands."""
    if isinstance(state, Declined):
        refused = commands.RefusePayment(facts=facts, declined=state, failed=False, asked=asked, due=due)
        return await context.commit(shard, refused)
    noted = commands.NotePayment(
        facts=facts,
        live=payin.live,
        provider=payin.carrier,
        state=state,
        sealed=nobody(context, payin.id),
        confirmed=True,
        asked=asked,
        due=due,
    )
    return await context.commit(shard, noted)


async def confirm(context: Context, shard: int, payin: Payin, until: float) -> PaymentState | NotFound | Unresolved:
    """Asks how a payment stands that a callback speaks of, and records the answer. `until` is monotonic seconds."""
    found = await connectors.of(context, payin.carrier, payin.method).payment(query_of(payin), until)
    if isinstance(found, PaymentState):
        await record(context, shard, payin, facts_of(payin, settlement_days=0), found)
    return found


def nobody(context: Context, id: UUID) -> bytes:
    """The sealed payer of a deposit that a provider reports: it names none."""
    return context.sealer.seal(_NOBODY, id.bytes)


async def sweep(context: Context, shard: int, due: Due) -> None:
    """Finds out what became of a payment. Raises Retry while there is no outcome; the work is due again then."""
    payin = await store.payin_row(context, shard, due.subject)
    assert payin is not None, "due work names what there is"
    facts, connector = facts_of(payin), connectors.of(context, payin.carrier, payin.method)
    state: PaymentState | Declined | NotFound | Unresolved = await connector.payment(query_of(payin))
    if isinstance(state, NotFound):
        state = await _submit_again(context, shard, payin)
    if isinstance(state, Unresolved):
        await context.commit(shard, commands.LeavePayment(facts=facts))
        raise Retry("try_again", f"no outcome of this payment yet: {state.detail}")
    if isinstance(state, NotFound):
        lost = Declined(reason="processing_error", detail="the provider has never heard of it")
        await context.commit(shard, commands.RefusePayment(facts=facts, declined=lost, failed=True, due=due))
        return
    await record(context, shard, payin, facts, state, due=due)


async def ask_once_more(context: Context, shard: int, due: Due) -> None:
    """Looks whether a payin that waits for its payer has been paid meanwhile. Raises Retry where nobody says."""
    payin = await store.payin_row(context, shard, due.subject)
    if payin is None or payin.status != "pending" or payin.method not in connectors.CONNECTORS:
        return
    state = await connectors.of(context, payin.carrier, payin.method).payment(query_of(payin))
    if isinstance(state, Unresolved):
        raise Retry("try_again", f"nobody says whether this payment was made: {state.detail}")
    if isinstance(state, PaymentState):
        await record(context, shard, payin, facts_of(payin), state)


def query_of(payin: Payin) -> PaymentQuery:
    """How its payment is asked for."""
    return PaymentQuery(
        key=payin.key,
        account=account_of(payin),
        mode=mode_of(payin),
        amount_minor=payin.amount_minor,
        currency=payin.currency,
    )


async def _submit_again(context: Context, shard: int, payin: Payin) -> PaymentState | Declined | NotFound | Unresolved:
    """The same key again while "not found" is no outcome yet, where the provider knows it by the key; then NotFound."""
    abilities, sent, now = CAPABILITIES[payin.method], payin.details().submission, await store.now(context)
    appears = timedelta(seconds=abilities.late_until_s + MARGIN_S)
    if payin.status != "submitting" or sent is None or now > sent.until + appears:
        return NotFound()
    # Each submission may still become a payment for a while, so that they have to end before "not found" can count.
    if not abilities.deduplicates or now > sent.first_until + appears:
        return Unresolved(kind="unknown", detail="the provider may still come to know it")
    chosen = payin.details().chosen
    card = None
    if chosen is not None and chosen.instrument is not None:
        instrument = await store.instrument(context, shard, chosen.instrument)
        if instrument is None or instrument.sealed is None:
            return Unresolved(kind="retry", detail="its instrument was deleted meanwhile")
        card = vault.open_card(context, instrument)
    payer = await store.payer(context, shard, payin.id)
    provider = provider_of(context, payin.carrier, mode_of(payin))
    if provider is None:
        return Unresolved(kind="retry", detail=f"no provider {payin.carrier} is configured")
    within_s = provider.tries * provider.timeout_ms / 1000
    until = monotonic() + within_s
    again = commands.SubmitAgain(id=payin.id, book=payin.book, within=timedelta(seconds=within_s))
    if not (await context.commit(shard, again)).outcome:
        return NotFound()
    return await connectors.of(context, payin.carrier, payin.method).submit(order_of(payin, card, payer), until)


def order_of(payin: Payin, card: Card | None, payer: Payer | None) -> PaymentOrder:
    """What the provider is asked for."""
    detail, who = payin.details(), payer or Payer()
    chosen, sent = detail.chosen, detail.submission
    assert sent is not None, "what is submitted says until when"
    return PaymentOrder(
        key=payin.key,
        account=account_of(payin),
        mode=mode_of(payin),
        amount_minor=payin.amount_minor,
        currency=payin.currency,
        country=payin.country,
        capture=detail.capture,
        three_ds="demanded" if detail.three_ds else "if_required",
        payer=PayerDetails(name=who.name, email=who.email, document=who.document, phone=who.phone),
        card=card,
        bank=None if chosen is None else chosen.bank,
        return_url=detail.return_url,
        description=detail.description,
        expires_at=rfc3339(sent.expires_at),
    )


def account_of(payin: Payin) -> str:
    """Whose payment it is, as providers know it: the merchant's slot."""
    return str(payin.book >> 1)


def mode_of(payin: Payin | Operation) -> Literal["test", "live"]:
    """Which of the provider's worlds it belongs to."""
    return "live" if payin.book & 1 else "test"
