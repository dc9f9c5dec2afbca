"""A provider without a socket: it keeps books in memory and answers as it is told.

`says` are words for the next calls of a verb, one a call; where there is none it behaves:

    a noun      is the answer, and nothing happens
    lost        it happens, and the answer does not come
    nothing     nothing happens, and nobody knows
    busy        nothing happens, and the provider says so
    a dict      it happens otherwise: these fields of the payment are changed
    a function  it happens, then this is awaited, then the answer comes; where it gives a noun, that one
    a dict and a function  both
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import msgspec

from caudal.connectors import (
    CAPABILITIES,
    AwaitPush,
    CaptureOrder,
    Declined,
    NotFound,
    OperationQuery,
    OperationState,
    PaymentOrder,
    PaymentQuery,
    PaymentState,
    Redirect,
    RefundOrder,
    ShowQr,
    ShowVoucher,
    Unresolved,
    VoidOrder,
)

T = TypeVar("T")
NUMBERS = itertools.count(1)
LOST, NOTHING = (Unresolved(kind="unknown", detail=word) for word in ("no answer", "a reset"))
BUSY = Unresolved(kind="retry", detail="busy")
BEFORE: dict[Any, Unresolved] = {"nothing": NOTHING, "busy": BUSY}
ACTIONS: dict[str, Any] = {
    "card": Redirect(url="http://127.0.0.1/3ds"),
    "pix": ShowQr(payload="00020126580014br.gov.bcb.pix"),
    "boleto": ShowVoucher(line="1" * 47, barcode="1" * 44, due_on="2026-12-01", url=None),
    "pse": Redirect(url="http://127.0.0.1/bank"),
    "mpesa": AwaitPush(phone="+254712345678"),
}
REDIRECTS = {"url": "redirect", "payload": "qr", "line": "voucher", "phone": "push"}


class Desk:
    """Every method's providers. `asked` are all calls: verb, key; `orders` what was to be paid, `sent` whereto; who is
    `away` is not available. A `careful` one gives back no more than it has taken."""

    def __init__(self) -> None:
        self.payments: dict[str, PaymentState] = {}
        self.methods: dict[str, str] = {}
        self.manual: set[str] = set()
        self.released: set[str] = set()
        self.operations: dict[str, OperationState] = {}
        self.says: defaultdict[str, list[Any]] = defaultdict(list)
        self.asked: list[tuple[str, str]] = []
        self.orders: list[PaymentOrder] = []
        self.refunds: list[RefundOrder] = []
        self.open, self.careful = True, False
        self.away: set[str] = set()
        self.sent: list[tuple[str, str]] = []
        self.said_late: set[str] = set()
        self._counters: dict[str, Callable[[Any], Counter]] = {}

    def counter(self, provider: str, method: str) -> Callable[[Any], Counter]:
        """What makes the connector to a provider for a method, the same at every call."""
        return self._counters.setdefault(f"{provider} {method}", lambda context: Counter(self, provider, method))

    def count(self, verb: str) -> int:
        """How often this was asked."""
        return sum(asked == verb for asked, _ in self.asked)

    def change(self, key: str, **changed: Any) -> PaymentState:
        """Changes a payment, as its payer or its bank does."""
        self.payments[key] = msgspec.structs.replace(self.payments[key], **changed)
        return self.payments[key]

    def pay(self, key: str, **changed: Any) -> PaymentState:
        """The payer pays, or proves to be the card's holder."""
        state = self.payments[key]
        card = self.methods[key] == "card"
        if key in self.manual:
            return self.change(key, status="authorized", action=None, authorized_minor=state.amount_minor, **changed)
        money = {"captured_minor": state.amount_minor, "authorized_minor": state.amount_minor if card else 0}
        return self.change(key, **{"status": "paid", "action": None, **money, **changed})

    def settle(self, key: str, status: Any, reason: Any = None) -> OperationState:
        """An operation that was pending comes to its end."""
        state = self.operations[key] = msgspec.structs.replace(self.operations[key], status=status, reason=reason)
        if status == "succeeded":
            self.moved(state.kind, self.payments[state.payment_key], state.amount_minor)
        return state

    def held(self, key: str) -> int:
        """What of a payment is authorized, not captured, and not given back."""
        payment = self.payments[key]
        holds = payment.status == "authorized" or (payment.status == "paid" and key in self.manual)
        return payment.authorized_minor - payment.captured_minor if holds and key not in self.released else 0

    def moved(self, kind: str, payment: PaymentState, amount: int, *, final: bool = False) -> None:
        """What an operation does with its payment."""
        self.released |= {payment.key} if final or kind == "void" else set()
        match kind:
            case "capture":
                self.change(payment.key, status="paid", captured_minor=payment.captured_minor + amount)
            case "void" if payment.status == "paid":
                pass
            case "void":
                self.change(payment.key, status="cancelled", action=None)
            case "refund":
                self.change(payment.key, refunded_minor=payment.refunded_minor + amount)

    # What the protocol says of it

    def told(self, key: str, /, **changed: Any) -> dict[str, Any]:
        """A payment as a callback has it."""
        state = self.payments[key]
        action = None
        if state.action is not None:
            fields = msgspec.structs.asdict(state.action)
            action = {"type": next(REDIRECTS[name] for name in fields if name in REDIRECTS), **fields}
        return {
            "id": state.reference,
            "key": key,
            "method": self.methods[key],
            "account": state.account,
            "status": state.status,
            "amount": state.amount_minor,
            "currency": state.currency,
            "authorized": state.authorized_minor,
            "captured": state.captured_minor,
            "refunded": state.refunded_minor,
            "code": None,
            "action": action,
            "payer_page": state.payer_page,
            "sequence": 1,
            "updated_at": "2026-11-27T10:00:00Z",
            **changed,
        }

    def told_of_operation(self, key: str, /, **changed: Any) -> dict[str, Any]:
        """An operation as a callback has it."""
        state = self.operations[key]
        return {
            "id": state.reference,
            "key": key,
            "payment_key": state.payment_key,
            "account": state.account,
            "kind": "cancellation" if state.kind == "void" else state.kind,
            "status": state.status,
            "amount": state.amount_minor,
            "currency": state.currency,
            "code": None,
            "updated_at": "2026-11-27T10:00:00Z",
            **changed,
        }


class Counter:
    """The connector of one method."""

    def __init__(self, desk: Desk, provider: str, method: str) -> None:
        self._desk, self._provider, self._method = desk, provider, method
        self.capabilities = CAPABILITIES[method]

    def available(self, mode: str) -> bool:
        return self._desk.open and mode == "test" and self._provider not in self._desk.away

    async def submit(self, order: PaymentOrder, deadline: float | None = None) -> PaymentState | Declined | Unresolved:
        self._desk.orders.append(order)
        self._desk.sent.append((self._provider, order.key))
        return await self._happens("submit", order.key, lambda word: self._pay(order, word))

    async def payment(self, query: PaymentQuery, deadline: float | None = None) -> PaymentState | NotFound | Unresolved:
        find = self._desk.payments.get
        return await self._happens("payment", query.key, lambda _: find(query.key, NotFound()))

    async def capture(
        self, order: CaptureOrder, deadline: float | None = None
    ) -> OperationState | Declined | Unresolved:
        return await self._happens("capture", order.key, lambda word: self._operate("capture", order, word))

    async def void(self, order: VoidOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        return await self._happens("void", order.key, lambda word: self._operate("void", order, word))

    async def refund(self, order: RefundOrder, deadline: float | None = None) -> OperationState | Declined | Unresolved:
        self._desk.refunds.append(order)
        return await self._happens("refund", order.key, lambda word: self._operate("refund", order, word))

    async def operation(
        self, query: OperationQuery, deadline: float | None = None
    ) -> OperationState | NotFound | Unresolved:
        find = self._desk.operations.get
        return await self._happens("operation", query.key, lambda _: find(query.key, NotFound()))

    async def _happens(self, verb: str, key: str, does: Callable[[dict[str, Any]], T]) -> T:
        self._desk.asked.append((verb, key))
        words = self._desk.says[verb]
        word: Any = words.pop(0) if words else {}
        if isinstance(word, msgspec.Struct):
            return cast(T, word)
        if isinstance(word, str) and word in BEFORE:
            return cast(T, BEFORE[word])
        changed, then = word if isinstance(word, tuple) else (word, word)
        done = does(changed if isinstance(changed, dict) else {})
        if callable(then):
            waiting: Awaitable[Any] = then()
            given = await waiting
            done = done if given is None else cast(T, given)
        return cast(T, LOST) if word == "lost" else done

    def _pay(self, order: PaymentOrder, changed: dict[str, Any]) -> PaymentState:
        desk = self._desk
        if order.key not in desk.payments:
            card, manual = self._method == "card", order.capture == "manual"
            waits = not card or order.three_ds == "demanded"
            taken = 0 if waits else order.amount_minor
            desk.methods[order.key] = self._method
            desk.manual |= {order.key} if manual else set()
            fields: dict[str, Any] = {
                "status": "pending" if waits else "authorized" if manual else "paid",
                "authorized_minor": taken,
                "captured_minor": 0 if manual else taken,
                "action": ACTIONS[self._method] if waits else None,
                **changed,
            }
            desk.payments[order.key] = PaymentState(
                key=order.key,
                account=order.account,
                reference=f"pp_{next(NUMBERS)}",
                amount_minor=order.amount_minor,
                currency=order.currency,
                refunded_minor=0,
                reason=fields.pop("reason", None),
                payer_page=f"http://127.0.0.1/pay/{order.key}",
                **fields,
            )
        return desk.payments[order.key]

    def _operate(
        self, kind: Any, order: CaptureOrder | VoidOrder | RefundOrder, changed: dict[str, Any]
    ) -> OperationState | Declined:
        desk, payment = self._desk, self._desk.payments[order.payment_key]
        if order.key in desk.operations:
            return desk.operations[order.key]
        held = desk.held(payment.key)
        amount = held if isinstance(order, VoidOrder) else order.amount_minor
        fields: dict[str, Any] = {"status": "succeeded", "reason": None, **changed}
        if kind == "void" and payment.status != "pending" and not held:
            return Declined(reason="not_permitted", detail="not_cancellable")
        if kind == "capture" and amount > held:
            return Declined(reason="not_permitted", detail="not_capturable")
        if desk.careful and kind == "refund" and amount > payment.captured_minor - payment.refunded_minor:
            return Declined(reason="not_permitted", detail="not_refundable")
        if fields["status"] == "succeeded":
            desk.moved(kind, payment, amount, final=isinstance(order, CaptureOrder) and order.final)
        desk.operations[order.key] = OperationState(
            key=order.key,
            payment_key=order.payment_key,
            account=payment.account,
            kind=kind,
            reference=f"po_{next(NUMBERS)}",
            amount_minor=amount,
            currency=payment.currency,
            **fields,
        )
        return desk.operations[order.key]
