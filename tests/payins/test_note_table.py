"""What a provider says of a payment, for every status of its payin: one table, executed.

=        nothing new
status   what the payin becomes
!why     a discrepancy of this kind besides
back     the money is a deposit on its way back      kept   a deposit that waits for an operator
void     the provider is asked to let go of what it holds
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from caudal.connectors import PaymentState
from caudal.kernel.commit import Decision, Table
from caudal.kernel.http import encode
from caudal.merchants import BOOKS, FEE_PLANS, BookRecord, FeePlan, FeeRow
from caudal.payins import Status
from caudal.payins.decide import note
from caudal.payins.model import Deposit, Detail, Payin
from caudal.payins.rows import DEPOSITS, DISCREPANCIES, OPERATIONS, PAYINS

AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
ID = UUID(int=0x01938F2C << 96 | 0x7 << 76 | 0b10 << 62 | 1)

# `more` and `less` are paid with another amount. After `paid` a state that is older or the same says nothing new.
AUTOMATIC = """
            pending  authorized   paid         declined  expired  cancelled  more                less
submitting  pending  authorized   paid         declined  failed   failed     pending+kept!other  pending+kept!other
pending     =        authorized   paid         declined  expired  cancelled  =+kept!other        =+kept!other
authorized  =        =            paid         =!final   expired  cancelled  =+kept!other        =+kept!other
paid        =        =            =            =!final   =!final  =!final    =                   =
declined    =        =+void!late  =+back!late  =         =        =          =+kept!other        =+kept!other
failed      =        =+void!late  =+back!late  =         =        =          =+kept!other        =+kept!other
expired     =        =+void!late  paid         =         =        =          =+kept!other        =+kept!other
cancelled   =        =            =+back!late  =         =        =          =+kept!other        =+kept!other
"""
# What is captured is booked by the capture itself, so that `paid` says no more than `authorized`, but for money that
# nobody has asked for; unless nobody could have captured it.
MANUAL = """
            pending  authorized   paid         declined  expired  cancelled
submitting  pending  authorized   authorized!other  declined  failed   failed
pending     =        authorized   authorized!other  declined  expired  cancelled
authorized  =        =            =!other           =!final   expired  cancelled
paid        =        =            =                 =!final   =!final  =!final
declined    =        =+void!late  =+back!late       =         =        =
failed      =        =+void!late  =+back!late       =         =        =
expired     =        =+void!late  paid              =         =        =
cancelled   =        =            =+back!late       =         =        =
"""
KINDS = {"final": "contradicts_final_state", "late": "late_success", "other": "other_amount"}
MONEY = {"more": 10_001, "less": 9_999}


class Now:
    """What a decision looks at: a payin, its merchant's settings, and nothing else."""

    at, clock, next_event_seq = AT, AT, 1

    def __init__(self, payin: Payin, late_payments: Any = "accept") -> None:
        book = BookRecord(
            book=2, merchant=UUID(int=0), version=1, late_payments=late_payments, fee_plan=1, clock_offset_s=0
        )
        plan = FeePlan(
            book=2, version=1, fees={("card", "BRL"): FeeRow(fixed_minor=40, basis_points=350)}, created_at=AT
        )
        self.rows: dict[Any, Any] = {(PAYINS, ID): payin, (BOOKS, 2): book, (FEE_PLANS, (2, 1)): plan}

    def get(self, table: Table[Any, Any], key: Any) -> Any:
        return self.rows.get((table, key))

    def get_all(self, table: Table[Any, Any], keys: Any) -> list[Any]:
        return [self.get(table, key) for key in keys]


def payin_of(status: str, capture: Any = "automatic") -> Payin:
    """100.00 BRL by card."""
    has_money, authorized = status == "paid", status in ("paid", "authorized")
    return Payin(
        id=ID,
        book=2,
        version=1,
        status=Status(status),
        reason=None,
        method="card",
        country="BR",
        currency="BRL",
        amount_minor=10_000,
        received_minor=10_000 if has_money else 0,
        fee_minor=390 if has_money else 0,
        fee_plan=1,
        deposit_number=None,
        reference=None,
        detail=encode(Detail(capture=capture)),
        created_at=AT,
        expires_at=AT + timedelta(hours=1),
        paid_at=AT if has_money else None,
        authorized_minor=10_000 if authorized else 0,
        captured_minor=10_000 if has_money else 0,
    )


def state_of(said: str, **changed: Any) -> PaymentState:
    """What the provider says."""
    amount = MONEY.get(said, 10_000)
    paid, held = said in ("paid", *MONEY), said in ("authorized", "paid")
    state = PaymentState(
        key=ID.hex,
        account="1",
        status="paid" if paid else said,  # type: ignore[arg-type]
        reference="pp_1",
        amount_minor=10_000,
        currency="BRL",
        authorized_minor=10_000 if held else 0,
        captured_minor=amount if paid else 0,
        refunded_minor=0,
        reason=None,
        action=None,
        payer_page=None,
    )
    return msgspec.structs.replace(state, **changed)


def noted(payin: Payin, state: PaymentState, late_payments: Any = "accept", **changed: Any) -> Decision:
    asked: dict[str, Any] = {"id": ID, "live": False, "provider": "sandbox", "state": state, "sealed": b""}
    return note(Now(payin, late_payments), **{**asked, "confirmed": True, **changed})


def shown(payin: Payin, decision: Decision) -> str:
    """A cell of the table."""
    records = [put.record for put in decision.puts]
    of = {put.table: put.record for put in decision.puts}
    new = of.get(PAYINS, payin)
    deposit: Deposit | None = of.get(DEPOSITS)
    cell = "=" if new is payin else str(new.status)
    if deposit is not None:
        assert deposit.returning_minor + deposit.unapplied_minor == deposit.amount_minor
        cell += "+back" if deposit.returning_minor else "+kept"
    cell += "+void" if OPERATIONS in of else ""
    if DISCREPANCIES in of:
        cell += "!" + next(short for short, kind in KINDS.items() if kind == of[DISCREPANCIES].kind)
    assert records or cell == "="
    return cell


def cells(table: str, capture: str) -> list[tuple[str, str, str, str]]:
    head, *lines = table.strip().splitlines()
    return [
        (capture, line.split()[0], said, cell)
        for line in lines
        for said, cell in zip(head.split(), line.split()[1:], strict=True)
    ]


CELLS = cells(AUTOMATIC, "automatic") + cells(MANUAL, "manual")


@pytest.mark.parametrize(("capture", "status", "said", "cell"), CELLS, ids=lambda part: part.partition("+")[0])
def test_every_status_and_every_word(capture: str, status: str, said: str, cell: str) -> None:
    payin = payin_of(status, capture)
    assert shown(payin, noted(payin, state_of(said))) == cell


def test_the_table_has_every_status_and_every_state() -> None:
    assert {status for _, status, _, _ in CELLS} == set(Status)
    states = set(msgspec.inspect.type_info(PaymentState).fields[2].type.values)  # type: ignore[attr-defined]
    assert {said for _, _, said, _ in CELLS} - set(MONEY) == states


@pytest.mark.parametrize("status", list(Status))
def test_the_same_word_a_second_time_says_nothing_new(status: str) -> None:
    for said in ("pending", "authorized", "paid", "declined", "expired", "cancelled"):
        payin, state = payin_of(status), state_of(said)
        first = noted(payin, state)
        view = Now(payin)
        view.rows |= {(put.table, put.table.key(put.record)): put.record for put in first.puts if _is_kept(put.table)}
        second = note(view, id=ID, live=False, provider="sandbox", state=state, sealed=b"", confirmed=True)
        assert second.puts == () and second.events == () and second.due == (), said


def _is_kept(table: Table[Any, Any]) -> bool:
    return table in (PAYINS, DEPOSITS, DISCREPANCIES, OPERATIONS)


@pytest.mark.parametrize("capture", ["automatic", "manual"])
@pytest.mark.parametrize("status", ["declined", "failed", "expired", "cancelled"])
def test_a_success_after_the_end_that_is_only_told_is_asked_back_and_moves_nothing(status: str, capture: str) -> None:
    payin = payin_of(status, capture)
    for said in ("paid", "authorized", *(MONEY if capture == "automatic" else ())):
        decision = noted(payin, state_of(said), confirmed=False)
        if said == "authorized" and status == "cancelled":
            assert decision.puts == (), "an old message"
            continue
        assert shown(payin, decision) == "=!final", said
        [found] = [put.record.id for put in decision.puts]
        assert [(due.kind, due.subject) for due in decision.due] == [("discrepancy.ask", found)]


def test_what_is_only_told_counts_as_ever_before_the_end() -> None:
    for capture, status, said, cell in CELLS:
        payin = payin_of(status, capture)
        if status in ("submitting", "pending", "authorized", "paid"):
            assert shown(payin, noted(payin, state_of(said), confirmed=False)) == cell


def test_after_expiry_the_merchants_setting_decides() -> None:
    expired = payin_of("expired")
    assert shown(expired, noted(expired, state_of("paid"), "unapplied")) == "=+kept!late"
    new = next(put.record for put in noted(expired, state_of("paid")).puts if put.table is PAYINS)
    assert (new.status, new.reason) == ("paid", "late")


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    "changed",
    [
        {"account": "2"},
        {"amount_minor": 9_999},
        {"currency": "USD"},
        {"live": True},
        {"provider": "norte"},
        {"key": ID.hex + "-2"},
    ],
    ids=str,
)
def test_what_is_not_about_this_payin_changes_nothing_whatever_its_status(status: str, changed: Any) -> None:
    outside = {name: changed[name] for name in ("live", "provider") if name in changed}
    state = state_of("paid", **{name: value for name, value in changed.items() if name not in outside})
    decision = noted(payin_of(status), state, **outside)
    assert [put.table for put in decision.puts] == [DISCREPANCIES]
    assert [event.type for event in decision.events] == ["discrepancy.opened"] and decision.due == ()


def test_a_payin_that_nobody_knows_is_a_discrepancy_of_the_house() -> None:
    view = Now(payin_of("pending"))
    decision = note(
        view, id=UUID(int=7), live=True, provider="sandbox", state=state_of("paid"), sealed=b"", confirmed=True
    )
    [put] = decision.puts
    assert (put.record.kind, put.record.book, put.record.payin) == ("unknown_payment", 1, None)
