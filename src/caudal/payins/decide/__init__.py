"""The judgement of payins: (what is, what is asked) → decision or refusal. Pure: no clock, connection or chance."""

from caudal.payins.decide.attempts import goes_on, next_attempt, submit_again
from caudal.payins.decide.changing import EXPIRE, OPERATE, SUBMIT, Created
from caudal.payins.decide.create import Started, cancel, create, expire, start
from caudal.payins.decide.deposits import Split, deposit, split
from caudal.payins.decide.discrepancies import odd, resolve
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
from caudal.payins.decide.late import late_deposit
from caudal.payins.decide.operations import Begun, Intent, RefundAsked, begin_capture, begin_refund, begin_void
from caudal.payins.decide.outcomes import leave as leave_operation
from caudal.payins.decide.outcomes import settle
from caudal.payins.decide.overrides import Draining, Forcing, override
from caudal.payins.decide.provider import contradicts_end, leave, note, refuse
from caudal.payins.decide.returns import RETURN, advance_clock, request_return, settle_return

__all__ = [
    "EXPIRE",
    "EXPIRE_DISPUTE",
    "OPERATE",
    "RETURN",
    "SEND_EVIDENCE",
    "SUBMIT",
    "Begun",
    "Created",
    "Draining",
    "Forcing",
    "Intent",
    "RefundAsked",
    "Split",
    "Started",
    "add_evidence",
    "advance_clock",
    "begin_capture",
    "begin_refund",
    "begin_void",
    "body_of_evidence",
    "cancel",
    "contradicts_end",
    "create",
    "deposit",
    "dispute_id",
    "evidence_id",
    "expire",
    "expire_dispute",
    "goes_on",
    "late_deposit",
    "leave",
    "leave_operation",
    "next_attempt",
    "note",
    "note_dispute",
    "odd",
    "override",
    "refuse",
    "request_return",
    "resolve",
    "settle",
    "settle_evidence",
    "settle_return",
    "split",
    "start",
    "submit_again",
]
