"""The provider's verbs, for caudal, the payer and her page alike: each is durable before it returns."""

import secrets
import sqlite3
from collections.abc import Callable
from contextlib import suppress

from caudal_sandbox import clock
from caudal_sandbox.courier import Courier
from caudal_sandbox.journal import Journal
from caudal_sandbox.provider import books, callbacks, decide, magic
from caudal_sandbox.provider.books import Letter, Timer
from caudal_sandbox.provider.model import Dispute, Evidence, Operation, OperationAsk, Payment, PaymentAsk
from caudal_sandbox.provider.refusals import Refused, Unknown, WrongMoment, key_reused
from caudal_sandbox.provider.timers import BATCH_MAX, Timers

PAYS_AFTER_MS = 300
DISPUTES_AFTER_MS = 1_000
REFUND_WAITS_MS = 2_000
RESPOND_WITHIN_S = 7 * 86_400
# A code of the card brands for "the cardholder does not know this payment", and the rails' own for the others.
DISPUTE_CODES = {"card": "10.4", "pix": "FR01", "boleto": "FRAUD", "pse": "FRAUD", "mpesa": "REVERSAL"}

Step = Callable[[sqlite3.Connection, Payment, int], Payment]


class Provider:
    """Books, the courier that tells caudal, what happens by itself, and the secret that both sides share.

    `url` is where payers find it, `place` where caudal does, behind the sandbox's address.
    """

    def __init__(
        self, journal: Journal, courier: Courier[Letter], secret: bytes, *, name: str = "sandbox", place: str = ""
    ) -> None:
        self.name = name
        self.place = place
        self.journal = journal
        self.courier = courier
        self.secret = secret
        self.url = ""
        self.timers = Timers(journal, self.run_due, courier.wake)

    async def pay_in(self, ask: PaymentAsk, *, declines: bool = False) -> tuple[Payment, bool]:
        """Book a payment, declined if `declines`; True if it is new. Raises `KeyReused`."""
        payment, new, told, at_ms = await self.journal.write(
            lambda rows: self._open(rows, decide.opened(ask, clock.now_ms(), declines=declines), ask)
        )
        if told:
            self.courier.wake()
        self.timers.wake(at_ms)
        return payment, new

    async def operate(self, ask: OperationAsk) -> tuple[Operation, bool]:
        """Carry out a capture, cancellation or refund; True if it is new. Raises a `ProviderRefusal`."""
        operation, new, told, at_ms = await self.journal.write(lambda rows: self._operate(rows, ask, clock.now_ms()))
        if told:
            self.courier.wake()
        self.timers.wake(at_ms)
        return operation, new

    async def find(self, method: str, key: str) -> Payment:
        """Look a payment up. Raises `Unknown`."""
        return self.journal.glance(lambda rows: known_payment(rows, key, method))

    async def find_operation(self, method: str, key: str) -> Operation:
        """Look an operation up. Raises `Unknown`."""
        found = self.journal.glance(lambda rows: books.find_operation(rows, key))
        if found is None or found.method != method:
            raise Unknown("operation_unknown", "No operation has this key.")
        return found

    async def find_dispute(self, reference: str) -> Dispute:
        """Look a dispute up. Raises `Unknown`."""
        return self.journal.glance(lambda rows: _known_dispute(rows, reference))

    async def pay(self, key: str, amount_minor: int | None = None) -> Payment:
        """The payer pays. Raises `Unknown`, `WrongMoment`."""
        return await self._change(key, lambda rows, payment, now: decide.paid(payment, amount_minor, now))

    async def decline(self, key: str, code: str | None = None) -> Payment:
        """The payer, or her bank with a code, declines. Raises `Unknown`, `WrongMoment`."""
        return await self._change(key, lambda rows, payment, now: decide.declined(payment, code, now))

    async def expire(self, key: str) -> Payment:
        """Time is over. Raises `Unknown`, `WrongMoment`."""
        return await self._change(key, lambda rows, payment, now: decide.expired(payment, now))

    async def dispute(self, key: str, amount_minor: int | None, code: str | None, respond_in_s: int | None) -> Dispute:
        """The payer wants money back through her bank. Raises `Unknown`, `WrongMoment`."""
        within_ms = (respond_in_s or RESPOND_WITHIN_S) * 1000

        def work(rows: sqlite3.Connection) -> Dispute:
            payment, now_ms = known_payment(rows, key), clock.now_ms()
            return self.open_dispute(rows, payment, (amount_minor, code), (now_ms, now_ms + within_ms))

        opened = await self.journal.write(work)
        self.courier.wake()
        self.timers.wake(opened.respond_by_ms)
        return opened

    async def end_dispute(self, reference: str, status: str) -> Dispute:
        """The bank decides a dispute: `won` or `lost` for the merchant. Raises `Unknown`, `WrongMoment`."""
        ended = await self.journal.write(lambda rows: self.close_dispute(rows, reference, status, clock.now_ms()))
        self.courier.wake()
        return ended

    async def take_evidence(self, method: str, evidence: Evidence) -> bool:
        """Note a file against a dispute; True if it is new. Raises `Unknown`, `KeyReused`, `Refused`."""

        def work(rows: sqlite3.Connection) -> bool:
            dispute = _known_dispute(rows, evidence.reference)
            if dispute.method != method:
                raise Unknown("dispute_unknown", "No dispute has this reference.")
            known = books.find_evidence(rows, evidence.key)
            if known is not None:
                if known != evidence:
                    raise key_reused()
                return False
            if dispute.status != "opened":
                raise Refused("dispute_closed", f"The dispute was {dispute.status}; nothing more is read.")
            return books.add_evidence(rows, evidence)

        return await self.journal.write(work)

    # What follows are steps inside a transaction, for the verbs above and for the timers.

    def run_due(self, rows: sqlite3.Connection, now_ms: int) -> int:
        """Let happen what is due; return how much that was."""
        overdue = books.overdue(rows, now_ms, BATCH_MAX)
        for payment in overdue:
            self.change(rows, payment, decide.expired(payment, now_ms), now_ms)
        timers = books.take_timers(rows, now_ms, BATCH_MAX)
        for timer in timers:
            # Somebody may have been faster: then there is nothing left to do.
            with suppress(WrongMoment):
                self._run(rows, timer, now_ms)
        return len(overdue) + len(timers)

    def _run(self, rows: sqlite3.Connection, timer: Timer, now_ms: int) -> None:
        match timer.what:
            case "pay":
                payment = known_payment(rows, timer.subject)
                self.change(rows, payment, decide.paid(payment, None, now_ms), now_ms)
            case "dispute":
                times = (now_ms, now_ms + RESPOND_WITHIN_S * 1000)
                self.open_dispute(rows, known_payment(rows, timer.subject), (None, None), times)
            case "refund":
                self.end_refund(rows, timer.subject, now_ms)
            case "close" if not books.has_evidence(rows, timer.subject):
                self.close_dispute(rows, timer.subject, "lost", now_ms)

    def change(self, rows: sqlite3.Connection, payment: Payment, moved: Payment, now_ms: int) -> None:
        """Write a change that nobody has been told of, and what it entails."""
        books.move_payment(rows, moved)
        books.add_callbacks(rows, payment.key, callbacks.of_change(moved, self.url), now_ms)
        self._plan_dispute(rows, moved, now_ms)

    def end_refund(self, rows: sqlite3.Connection, key: str, now_ms: int) -> None:
        """A refund that was pending ends."""
        refund = books.find_operation(rows, key)
        if refund is None or refund.status != "pending":
            return
        payment = known_payment(rows, refund.payment_key)
        moved, ended = decide.refund_ended(payment, refund, now_ms)
        books.move_payment(rows, moved)
        books.move_operation(rows, ended)
        books.add_callbacks(rows, payment.key, [callbacks.of_operation(ended)], now_ms)

    def open_dispute(
        self, rows: sqlite3.Connection, payment: Payment, asked: tuple[int | None, str | None], times: tuple[int, int]
    ) -> Dispute:
        """Open a dispute of an amount (None: all that is left) with a code, between now and its last moment."""
        moved, amount_minor = decide.disputed(payment, asked[0])
        now_ms, respond_by_ms = times
        dispute = Dispute(
            reference="dp_" + secrets.token_hex(12),
            payment_key=payment.key,
            account=payment.account,
            method=payment.method,
            amount_minor=amount_minor,
            currency=payment.currency,
            code=asked[1] or DISPUTE_CODES[payment.method],
            status="opened",
            respond_by_ms=respond_by_ms,
            updated_ms=now_ms,
        )
        books.move_payment(rows, moved)
        books.add_dispute(rows, dispute)
        books.add_callbacks(rows, payment.key, [callbacks.of_dispute(dispute)], now_ms)
        books.add_timer(rows, respond_by_ms, "close", dispute.reference)
        return dispute

    def close_dispute(self, rows: sqlite3.Connection, reference: str, status: str, now_ms: int) -> Dispute:
        """Close a dispute, won or lost."""
        dispute = _known_dispute(rows, reference)
        payment = known_payment(rows, dispute.payment_key)
        moved, ended = decide.dispute_ended(payment, dispute, status, now_ms)
        books.move_payment(rows, moved)
        books.move_dispute(rows, ended)
        books.add_callbacks(rows, payment.key, [callbacks.of_dispute(ended)], now_ms)
        return ended

    async def _change(self, key: str, step: Step) -> Payment:
        def work(rows: sqlite3.Connection) -> Payment:
            payment, now_ms = known_payment(rows, key), clock.now_ms()
            moved = step(rows, payment, now_ms)
            self.change(rows, payment, moved, now_ms)
            return moved

        moved = await self.journal.write(work)
        self.courier.wake()
        self.timers.wake(moved.updated_ms + DISPUTES_AFTER_MS)
        return moved

    def _open(
        self, rows: sqlite3.Connection, payment: Payment, ask: PaymentAsk
    ) -> tuple[Payment, bool, bool, int | None]:
        """Book a payment; say whether it is new, whether callbacks were made, when something happens by itself."""
        now_ms = payment.created_ms
        if not books.add_payment(rows, payment):
            known = books.find_payment(rows, ask.key)
            assert known is not None
            if known.fingerprint != ask.fingerprint or known.method != ask.method:
                raise key_reused()
            return known, False, False, None
        told = callbacks.of_answer(payment, self.url)
        books.add_callbacks(rows, payment.key, told, now_ms)
        at_ms = self._plan_dispute(rows, payment, now_ms)
        if payment.status == "pending":
            at_ms = payment.expires_ms
            if magic.of_amount(payment.amount_minor, "later") == "pays":
                at_ms = now_ms + PAYS_AFTER_MS
                books.add_timer(rows, at_ms, "pay", payment.key)
        return payment, True, bool(told), at_ms

    def _operate(
        self, rows: sqlite3.Connection, ask: OperationAsk, now_ms: int
    ) -> tuple[Operation, bool, bool, int | None]:
        """Carry an operation out; say the same of it as `_open`."""
        payment = known_payment(rows, ask.payment_key, ask.method)
        known = books.find_operation(rows, ask.key)
        if known is not None:
            if known.fingerprint != ask.fingerprint:
                raise key_reused()
            return known, False, False, None
        moved, operation = decide.operated(payment, ask, now_ms)
        books.add_operation(rows, operation)
        if moved is not payment:
            books.move_payment(rows, moved)
        at_ms = self._plan_dispute(rows, moved, now_ms) if payment.status != "paid" else None
        if operation.status == "pending":
            at_ms = now_ms + REFUND_WAITS_MS
            books.add_timer(rows, at_ms, "refund", operation.key)
        lost = magic.of_amount(operation.amount_minor, "answer") in callbacks.LOST_ANSWERS
        if lost:
            told = callbacks.of_operation(operation, delay_ms=callbacks.AFTER_LOST_MS)
            books.add_callbacks(rows, payment.key, [told], now_ms)
        return operation, True, lost, at_ms

    def _plan_dispute(self, rows: sqlite3.Connection, payment: Payment, now_ms: int) -> int | None:
        if payment.status != "paid" or not payment.disputes:
            return None
        at_ms = now_ms + DISPUTES_AFTER_MS
        books.add_timer(rows, at_ms, "dispute", payment.key)
        return at_ms


def known_payment(rows: sqlite3.Connection, key: str, method: str | None = None) -> Payment:
    """Find a payment (of a method) or raise `Unknown`."""
    payment = books.find_payment(rows, key)
    if payment is None or method not in (None, payment.method):
        raise Unknown("payment_unknown", "No payment has this key.")
    return payment


def _known_dispute(rows: sqlite3.Connection, reference: str) -> Dispute:
    dispute = books.find_dispute(rows, reference)
    if dispute is None:
        raise Unknown("dispute_unknown", "No dispute has this reference.")
    return dispute
