"""The story of payins: one command a verb. A command carries what was asked and what the decision needs to see."""

from caudal.payins.commands.bank import RecordDeposit, RequestReturn, SettleReturn
from caudal.payins.commands.disputes import AddEvidence, ExpireDispute, NoteDispute, SettleEvidence
from caudal.payins.commands.merchants import CancelPayin, CreatePayin, StartPayin
from caudal.payins.commands.operations import BeginOperation, LeaveOperation, SettleOperation, answer_to
from caudal.payins.commands.overrides import OverrideProvider
from caudal.payins.commands.provider import (
    Facts,
    LeavePayment,
    NextAttempt,
    Noted,
    NoteOdd,
    NotePayment,
    RefusePayment,
    ResolveDiscrepancy,
    SubmitAgain,
)
from caudal.payins.commands.time import AdvanceClock, AdvancedClock, ExpirePayin

__all__ = [
    "AddEvidence",
    "AdvanceClock",
    "AdvancedClock",
    "BeginOperation",
    "CancelPayin",
    "CreatePayin",
    "ExpireDispute",
    "ExpirePayin",
    "Facts",
    "LeaveOperation",
    "LeavePayment",
    "NextAttempt",
    "NoteDispute",
    "NoteOdd",
    "NotePayment",
    "Noted",
    "OverrideProvider",
    "RecordDeposit",
    "RefusePayment",
    "RequestReturn",
    "ResolveDiscrepancy",
    "SettleEvidence",
    "SettleOperation",
    "SettleReturn",
    "StartPayin",
    "SubmitAgain",
    "answer_to",
]
