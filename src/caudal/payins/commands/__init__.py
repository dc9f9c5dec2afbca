"""The story of payins: one command a verb. A command carries what was asked and what the decision needs to see."""

from caudal.payins.commands.bank import (
    ConfirmReturn,
    NoteReturn,
    RecordDeposit,
    RequestReturn,
    SendReturn,
    SettleReturn,
)
from caudal.payins.commands.discrepancies import CorrectDiscrepancy, NoteAnswer, NoteOdd, ResolveDiscrepancy
from caudal.payins.commands.disputes import AddEvidence, ExpireDispute, NoteDispute, SettleEvidence
from caudal.payins.commands.merchants import CancelPayin, CreatePayin, StartPayin
from caudal.payins.commands.operations import (
    BeginOperation,
    LeaveOperation,
    SendOperation,
    SettleOperation,
    answer_to,
)
from caudal.payins.commands.overrides import OverrideProvider
from caudal.payins.commands.provider import (
    Facts,
    LeavePayment,
    NextAttempt,
    Noted,
    NotePayment,
    RefusePayment,
    SubmitAgain,
)
from caudal.payins.commands.time import AdvanceClock, AdvancedClock, ExpirePayin
from caudal.payins.commands.unresolved import AskNow, SettleByHand

__all__ = [
    "AddEvidence",
    "AdvanceClock",
    "AdvancedClock",
    "AskNow",
    "BeginOperation",
    "CancelPayin",
    "ConfirmReturn",
    "CorrectDiscrepancy",
    "CreatePayin",
    "ExpireDispute",
    "ExpirePayin",
    "Facts",
    "LeaveOperation",
    "LeavePayment",
    "NextAttempt",
    "NoteAnswer",
    "NoteDispute",
    "NoteOdd",
    "NotePayment",
    "NoteReturn",
    "Noted",
    "OverrideProvider",
    "RecordDeposit",
    "RefusePayment",
    "RequestReturn",
    "ResolveDiscrepancy",
    "SendOperation",
    "SendReturn",
    "SettleByHand",
    "SettleEvidence",
    "SettleOperation",
    "SettleReturn",
    "StartPayin",
    "SubmitAgain",
    "answer_to",
]
