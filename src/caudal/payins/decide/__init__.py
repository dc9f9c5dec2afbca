"""The judgement of payins: (what is, what is asked) → decision or refusal. Pure: no clock, connection or chance."""

from caudal.payins.decide.attempts import goes_on, next_attempt, submit_again
from caudal.payins.decide.changing import EXPIRE, OPERATE, SUBMIT, Created
from caudal.payins.decide.corrections import Answer, Chosen, answered, correct
from caudal.payins.decide.create import Started, cancel, create, expire, refuse_card, start
from caudal.payins.decide.deposits import Split, deposit, split
from caudal.payins.decide.discrepancies import ASK, held_of, odd, resolve
from caudal.payins.decide.disputes import (
    EXPIRE_DISPUTE,
    SEND_EVIDENCE,
    add_evidence,
    body_of_evidence,
    dispute_id,
    evidence_id,
    expire_dispute,
    note_dispute,
    settle_evidence,
)
from caudal.payins.decide.known import (
    Said,
    deposits_beside,
    known_of,
    late_deposit,
    more_needs_of,
    needs_of,
    said_of,
    surplus_deposit,
)
from caudal.payins.decide.operations import Begun, Intent, RefundAsked, begin_capture, begin_refund, begin_void
from caudal.payins.decide.outcomes import leave as leave_operation
from caudal.payins.decide.outcomes import send as send_operation
from caudal.payins.decide.outcomes import settle
from caudal.payins.decide.overrides import Draining, Forcing, override
from caudal.payins.decide.proposals import proposals
from caudal.payins.decide.provider import contradicts_end, leave, note, refuse
from caudal.payins.decide.returns import (
    RETURN,
    advance_clock,
    asked_by,
    contradicts_return,
    request_return,
    return_key,
    send_return,
    settle_return,
)
from caudal.payins.decide.unresolved import (
    ByHand,
    counts_from,
    operation_by_hand,
    payment_by_hand,
    refuse_by_hand,
    return_by_hand,
    sent_until,
    settled_by_hand,
)

__all__ = [
    "ASK",
    "EXPIRE",
    "EXPIRE_DISPUTE",
    "OPERATE",
    "RETURN",
    "SEND_EVIDENCE",
    "SUBMIT",
    "Answer",
    "Begun",
    "ByHand",
    "Chosen",
    "Created",
    "Draining",
    "Forcing",
    "Intent",
    "RefundAsked",
    "Said",
    "Split",
    "Started",
    "add_evidence",
    "advance_clock",
    "answered",
    "asked_by",
    "begin_capture",
    "begin_refund",
    "begin_void",
    "body_of_evidence",
    "cancel",
    "contradicts_end",
    "contradicts_return",
    "correct",
    "counts_from",
    "create",
    "deposit",
    "deposits_beside",
    "dispute_id",
    "evidence_id",
    "expire",
    "expire_dispute",
    "goes_on",
    "held_of",
    "known_of",
    "late_deposit",
    "leave",
    "leave_operation",
    "more_needs_of",
    "needs_of",
    "next_attempt",
    "note",
    "note_dispute",
    "odd",
    "operation_by_hand",
    "override",
    "payment_by_hand",
    "proposals",
    "refuse",
    "refuse_by_hand",
    "refuse_card",
    "request_return",
    "resolve",
    "return_by_hand",
    "return_key",
    "said_of",
    "send_operation",
    "send_return",
    "sent_until",
    "settle",
    "settle_evidence",
    "settle_return",
    "settled_by_hand",
    "split",
    "start",
    "submit_again",
    "surplus_deposit",
]
