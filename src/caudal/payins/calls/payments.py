"""A payment: what its provider is asked, and how what it says is recorded."""

from __future__ import annotations

from datetime import date, datetime, timedelta
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
from caudal.payins import commands, decide, store
from caudal.payins.calls import routes
from caudal.payins.calls.otherwise import note_otherwise
from caudal.payins.calls.routes import Route
from caudal.payins.commands import Facts
from caudal.payins.model import Ended, Operation, Payer, Payin, attempt_of
from caudal.payins.states import Status
from caudal.routing import is_soft

# What a request keeps of its deadline for the commit behind the call.
RESERVE_S: Final = 0.5
# How long after a request's deadline nobody is expected to come back with an outcome.
MARGIN_S: Final = 3.0
# A call with less time than this is not begun: its silence would say nothing.
WORTH_S: Final = 1.0
# How long a sweep asks one provider after the other: half of its lease, but long enough for one of them.
_SWEEP_S: Final = 12.0
_SWEEP_LEAST_S: Final = 2 * WORTH_S
_NOBODY: Final = b"{}"

Said = PaymentState | Declined | Unresolved


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
    way: Route,
    *,
    days: int,
    key: Key,
    until: float,
    due: Due,
) -> Result:
    """Asks the provider, and the next one while nothing came of it; records what was said last, as a `Noted`.

    `until` is monotonic seconds; `due` is the sweep that was to come if nobody came back.
    """
    facts = facts_of(payin, settlement_days=days)
    connector = connectors.of(context, payin.carrier, payin.method)
    state = await connector.submit(order_of(payin, card, payer), until - RESERVE_S)
    if ended_of(payin, state) is not None:
        payin, state = await _cascade(context, shard, payin, card, payer, way, state, until)
    await note_otherwise(context, shard, payin, payin.carrier, state)
    if isinstance(state, Unresolved) or _is_left_open(payin, state, until):
        return await context.commit(shard, commands.LeavePayment(facts=facts, asked=key))
    return await record(context, shard, payin, facts, state, asked=key, due=due)


async def _cascade(
    context: Context,
    shard: int,
    payin: Payin,
    card: Card | None,
    payer: Payer | None,
    way: Route,
    state: Said,
    until: float,
) -> tuple[Payin, Said]:
    """Asks one provider after the other while nothing comes of it; the payin then, and what was said last."""
    while (ended := ended_of(payin, state)) is not None:
        following = await _begin_next(context, shard, payin, way, ended, until)
        if following is None:
            break
        payin = following
        connector = connectors.of(context, payin.carrier, payin.method)
        state = await connector.submit(order_of(payin, card, payer), until - RESERVE_S)
    return payin, state


def ended_of(payin: Payin, state: Said | NotFound) -> Ended | None:
    """How this attempt came to nothing, so that another provider may be asked; None where it did not, or who knows."""
    if isinstance(state, Unresolved):
        return Ended(payin.attempt, "unavailable", None) if state.kind == "retry" else None
    if isinstance(state, NotFound) or (isinstance(state, PaymentState) and state.status != "declined"):
        return None
    return Ended(payin.attempt, "declined", state.reason) if is_soft(state.reason) else None


def _is_left_open(payin: Payin, state: Said, until: float) -> bool:
    """Whether another provider is to be asked, and no time is left for it here: the sweep goes on."""
    more = ended_of(payin, state) is not None and payin.details().attempts[-1].more
    return more and until - RESERVE_S - monotonic() < WORTH_S


async def _begin_next(
    context: Context, shard: int, payin: Payin, way: Route, ended: Ended, until: float
) -> Payin | None:
    """The payin in its next attempt, durable before its call; None where nobody is left, or no time, or it went on."""
    within_s = until - RESERVE_S - monotonic()
    following = routes.next_attempt(context, way, payin.details().attempts) if within_s >= WORTH_S else None
    if following is None:
        return None
    step = commands.NextAttempt(
        id=payin.id, book=payin.book, ended=ended, next=following, within=timedelta(seconds=within_s + RESERVE_S)
    )
    begun: Payin | None = (await context.commit(shard, step)).outcome
    if begun is not None:
        routes.note_end(context, payin, succeeded=False)
    return begun


async def record(
    context: Context,
    shard: int,
    payin: Payin,
    facts: Facts,
    state: PaymentState | Declined,
    *,
    asked: Key | None = None,
    due: Due | None = None,
    attempt: int | None = None,
) -> Result:
    """Records how a payment stands, of the attempt that carries the payin unless another one is named."""
    if isinstance(state, Declined):
        refused = commands.RefusePayment(
            facts=facts, attempt=attempt or payin.attempt, declined=state, failed=False, asked=asked, due=due
        )
        return await note(context, shard, refused)
    noted = commands.NotePayment(
        facts=facts,
        live=payin.live,
        provider=payin.asked(attempt)[0],
        state=state,
        sealed=nobody(context, payin.id),
        confirmed=True,
        asked=asked,
        due=due,
    )
    return await note(context, shard, noted)


async def note(
    context: Context, shard: int, said: commands.NotePayment | commands.RefusePayment, deadline: float | None = None
) -> Result:
    """Commits what a provider said of a payment; what came of it counts among the provider's successes and failures."""
    result = await context.commit(shard, said, deadline)
    noted: commands.Noted = result.outcome
    routes.note_outcome(context, noted.outcome)
    return result


async def confirm(
    context: Context, shard: int, payin: Payin, until: float, key: str
) -> PaymentState | NotFound | Unresolved:
    """Asks how a payment stands that a callback speaks of by this key, and records the answer.

    `until` is monotonic seconds.
    """
    of = attempt_of(key)
    assert of is not None, "it is of this payin"
    found = await state_of(context, payin, of[1], until)
    await note_otherwise(context, shard, payin, payin.asked(of[1])[0], found)
    if isinstance(found, PaymentState):
        await record(context, shard, payin, facts_of(payin, settlement_days=0), found, attempt=of[1])
    return found


async def state_of(
    context: Context, payin: Payin, attempt: int | None = None, until: float | None = None
) -> PaymentState | NotFound | Unresolved:
    """How the payment of an attempt stands, of the one that carries the payin unless another one is named."""
    provider, _ = payin.asked(attempt)
    return await connectors.of(context, provider, payin.method).payment(query_of(payin, attempt), until)


def nobody(context: Context, id: UUID) -> bytes:
    """The sealed payer of a deposit that a provider reports: it names none."""
    return context.sealer.seal(_NOBODY, id.bytes)


async def sweep(context: Context, shard: int, due: Due) -> None:
    """Finds out what became of a payment. Raises Retry while there is no outcome; the work is due again then."""
    payin = await store.payin_row(context, shard, due.subject)
    assert payin is not None, "due work names what there is"
    unheard = await _ask_earlier(context, shard, payin)
    finished = None if unheard else due
    # Before the question: whoever stands still behind it has an old answer, not a late one.
    asked_at = await store.now(context) if payin.status is Status.SUBMITTING else None
    state: Said | NotFound = await state_of(context, payin)
    if isinstance(state, NotFound):
        state = await _submit_again(context, shard, payin, asked_at)
    elif isinstance(state, PaymentState) and payin.status is Status.SUBMITTING:
        payin, state = await _go_on(context, shard, payin, state)
    facts = facts_of(payin)
    await note_otherwise(context, shard, payin, payin.carrier, state)
    if isinstance(state, Unresolved):
        await context.commit(shard, commands.LeavePayment(facts=facts))
        raise Retry("try_again", f"no outcome of this payment yet: {state.detail}")
    if isinstance(state, NotFound):
        lost = Declined(reason="processing_error", detail="the provider has never heard of it")
        sent, number = payin.details().submission, payin.attempt
        until = None if sent is None else sent.until
        refused = commands.RefusePayment(
            facts=facts, attempt=number, declined=lost, failed=True, until=until, due=finished
        )
        await note(context, shard, refused)
    else:
        await record(context, shard, payin, facts, state, due=finished)
    if unheard:
        raise Retry("try_again", decide.unheard(unheard))


async def _ask_earlier(context: Context, shard: int, payin: Payin) -> str | None:
    """What became of attempts that came to nothing before another one began, where that may have changed; who of their
    providers does not say it."""
    unheard = None
    for number in range(1, payin.attempt):
        found = await state_of(context, payin, number)
        await note_otherwise(context, shard, payin, payin.asked(number)[0], found)
        if isinstance(found, PaymentState) and found.status in ("authorized", "paid"):
            await record(context, shard, payin, facts_of(payin, settlement_days=0), found, attempt=number)
        if isinstance(found, Unresolved) and payin.status is not Status.SUBMITTING:
            unheard = payin.asked(number)[0]
    return unheard


async def _go_on(context: Context, shard: int, payin: Payin, state: PaymentState) -> tuple[Payin, Said]:
    """The cascade that a request could not go on with. The payin after it, and what was said last."""
    if ended_of(payin, state) is None:
        return payin, state
    way, used = await routes.route_of(context, shard, payin), await _instruments(context, shard, payin)
    if used is None:
        return payin, state
    sweep_s = max(_SWEEP_LEAST_S, min(_SWEEP_S, context.settings.lease_s / 2))
    until = monotonic() + RESERVE_S + sweep_s
    payin, said = await _cascade(context, shard, payin, *used, way, state, until)
    if _is_left_open(payin, said, until):
        return payin, Unresolved(kind="retry", detail=f"{payin.carrier} takes nothing; another provider is next")
    return payin, said


async def _instruments(context: Context, shard: int, payin: Payin) -> tuple[Card | None, Payer | None] | None:
    """What a payin is paid with, and by whom; None where its card was deleted meanwhile."""
    chosen, card = payin.details().chosen, None
    if chosen is not None and chosen.instrument is not None:
        instrument = await store.instrument(context, shard, chosen.instrument)
        if instrument is None or instrument.sealed is None:
            return None
        card = vault.open_card(context, instrument)
    return card, await store.payer(context, shard, payin.id)


async def ask_once_more(context: Context, shard: int, due: Due) -> None:
    """Looks whether a payin that waits for its payer has been paid meanwhile. Raises Retry where nobody says."""
    payin = await store.payin_row(context, shard, due.subject)
    if payin is None or payin.status != "pending" or payin.method not in connectors.CONNECTORS:
        return
    state = await state_of(context, payin)
    await note_otherwise(context, shard, payin, payin.carrier, state)
    if isinstance(state, Unresolved):
        raise Retry("try_again", f"nobody says whether this payment was made: {state.detail}")
    if isinstance(state, PaymentState):
        await record(context, shard, payin, facts_of(payin), state)


def query_of(payin: Payin, attempt: int | None = None) -> PaymentQuery:
    """How its payment is asked for, that of the attempt which carries it unless another one is named."""
    return PaymentQuery(
        key=payin.asked(attempt)[1],
        account=account_of(payin),
        mode=mode_of(payin),
        amount_minor=payin.amount_minor,
        currency=payin.currency,
    )


async def _submit_again(context: Context, shard: int, payin: Payin, asked_at: datetime | None) -> Said | NotFound:
    """The same key again while "not found" is no outcome yet, where the provider knows it by the key; then NotFound.

    `asked_at` is real time, None of a payin that has its outcome.
    """
    abilities, sent = CAPABILITIES[payin.method], payin.details().submission
    appears = timedelta(seconds=abilities.late_until_s + MARGIN_S)
    if asked_at is None or sent is None or asked_at > sent.until + appears:
        return NotFound()
    # Each submission may still become a payment for a while, so that they have to end before "not found" can count.
    if not abilities.deduplicates or asked_at > sent.first_until + appears:
        return Unresolved(kind="unknown", detail="the provider may still come to know it")
    used = await _instruments(context, shard, payin)
    if used is None:
        return Unresolved(kind="retry", detail="its instrument was deleted meanwhile")
    provider = provider_of(context, payin.carrier, mode_of(payin))
    if provider is None:
        return Unresolved(kind="retry", detail=f"no provider {payin.carrier} is configured")
    within_s = provider.tries * provider.timeout_ms / 1000
    until = monotonic() + within_s
    again = commands.SubmitAgain(
        id=payin.id, attempt=payin.attempt, book=payin.book, within=timedelta(seconds=within_s)
    )
    if not (await context.commit(shard, again)).outcome:
        return NotFound()
    return await connectors.of(context, payin.carrier, payin.method).submit(order_of(payin, *used), until)


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
