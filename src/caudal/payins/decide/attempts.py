"""Attempts at providers, one after the other, each durable before its call: never two of them without an outcome."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import msgspec

from caudal.connectors import PaymentState
from caudal.kernel.commit import Decision, View
from caudal.payins.decide.changing import changed
from caudal.payins.model import Attempt, Ended, Payin
from caudal.payins.rows import PAYINS
from caudal.payins.states import Happening, Status
from caudal.routing import is_soft


def goes_on(payin: Payin, state: PaymentState) -> bool:
    """Whether another provider is asked after this: the request that waits, or the sweep, sees to it."""
    attempts = payin.details().attempts
    more = payin.status is Status.SUBMITTING and bool(attempts) and attempts[-1].more
    return more and state.status == "declined" and is_soft(state.reason)


def unheard(provider: str) -> str:
    """Why a payin's work goes on that has its outcome: the words are kept with it."""
    return f"{provider} does not say what became of an attempt before"


def attempt_asked(payin: Payin, said: str | None) -> int:
    """Of which attempt the work whose last words these are has no outcome: of the last, unless they name another's
    provider."""
    earlier = range(1, payin.attempt)
    return next((number for number in earlier if said == unheard(payin.asked(number)[0])), payin.attempt)


def next_attempt(view: View, *, id: UUID, ended: Ended, next: Attempt, within: timedelta) -> Decision:
    """An attempt came to nothing and another one begins, in one commit. None where somebody else went on from there."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted goes on"
    detail = payin.details()
    if payin.status is not Status.SUBMITTING or payin.attempt != ended.number or detail.submission is None:
        return Decision(outcome=None)
    *before, last = detail.attempts or (Attempt(provider=payin.carrier, begun_at=payin.created_at),)
    last = msgspec.structs.replace(last, ended=ended.how, reason=ended.reason, ended_at=view.at)
    attempts = (*before, last, msgspec.structs.replace(next, begun_at=view.at))
    until = view.at + within
    submission = msgspec.structs.replace(detail.submission, first_until=until, until=until)
    new = msgspec.structs.replace(detail, attempts=attempts, submission=submission)
    went_on = changed(view, payin, Happening.NEXT_ATTEMPT, detail=new)
    return Decision(outcome=went_on.payin, puts=went_on.puts)


def submit_again(view: View, *, id: UUID, attempt: int, within: timedelta) -> Decision:
    """The payment is about to be sent once more, `within` this time. The outcome is whether it still has to be."""
    payin = view.get(PAYINS, id)
    assert payin is not None, "only what was submitted is submitted again"
    detail = payin.details()
    if payin.status is not Status.SUBMITTING or payin.attempt != attempt or detail.submission is None:
        return Decision(outcome=False)
    submission = msgspec.structs.replace(detail.submission, until=max(detail.submission.until, view.at + within))
    new = msgspec.structs.replace(detail, submission=submission)
    return Decision(outcome=True, puts=changed(view, payin, Happening.SUBMITTED_AGAIN, detail=new).puts)
