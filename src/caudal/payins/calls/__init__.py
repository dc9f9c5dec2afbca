"""Between two commits: what is asked of a provider, and how what it says is recorded. No transaction is open here.

`submit` and `carry_out` are for the request that waits: whatever happens by its deadline, its key gets an answer, the
payin or operation as it is then. `sweep` and `sweep_operation` are for the worker, when whoever should have recorded
the outcome has not: they ask by the key, submit it again while the connector allows, and record what they find.
"""

from caudal.payins.calls.by_hand import operation_answer, payment_answer
from caudal.payins.calls.discrepancies import ask_about
from caudal.payins.calls.disputes import caught_up, send_evidence
from caudal.payins.calls.operations import carry_out, give_back, sweep_operation
from caudal.payins.calls.overrides import override_provider, overrides, refresh, watch
from caudal.payins.calls.payments import (
    MARGIN_S,
    account_of,
    ask_once_more,
    confirm,
    days_of,
    facts_of,
    mode_of,
    nobody,
    note,
    submit,
    sweep,
)
from caudal.payins.calls.routes import Route, choice, next_attempt, offers, remembered, route, routing_facts

__all__ = [
    "MARGIN_S",
    "Route",
    "account_of",
    "ask_about",
    "ask_once_more",
    "carry_out",
    "caught_up",
    "choice",
    "confirm",
    "days_of",
    "facts_of",
    "give_back",
    "mode_of",
    "next_attempt",
    "nobody",
    "note",
    "offers",
    "operation_answer",
    "override_provider",
    "overrides",
    "payment_answer",
    "refresh",
    "remembered",
    "route",
    "routing_facts",
    "send_evidence",
    "submit",
    "sweep",
    "sweep_operation",
    "watch",
]
