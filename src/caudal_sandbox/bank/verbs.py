"""The bank's verbs, for the API and the page alike: each is durable before it returns."""

from caudal_sandbox import clock
from caudal_sandbox.bank import books
from caudal_sandbox.bank.model import Delivery, Payment, PaymentAsk, ReturnAsk, Returned, Transfer, TransferAsk
from caudal_sandbox.courier import Courier
from caudal_sandbox.journal import Journal


class Bank:
    """Books, the courier that tells caudal, and the secret that both sides share."""

    def __init__(self, journal: Journal, courier: Courier[Transfer], secret: bytes) -> None:
        self.journal = journal
        self.courier = courier
        self.secret = secret

    async def transfer(self, ask: TransferAsk) -> tuple[Transfer, bool]:
        """Take the money from the payer; True if that is new. Raises `TrackingKeyReused`."""
        now_ms = clock.now_ms()
        transfer, new = await self.journal.write(lambda rows: books.book_transfer(rows, ask, now_ms))
        self.courier.wake()
        return transfer, new

    async def redeliver(self, tracking_key: str, how: Delivery) -> Transfer:
        """Tell caudal again. Raises `TransferUnknown`."""
        now_ms = clock.now_ms()
        transfer = await self.journal.write(lambda rows: books.redeliver(rows, tracking_key, how, now_ms))
        self.courier.wake()
        return transfer

    async def give_back(self, ask: ReturnAsk) -> tuple[Returned, bool]:
        """Return money to its payer; True if that is new. Raises what `books.give_back` does."""
        now_ms = clock.now_ms()
        return await self.journal.write(lambda rows: books.give_back(rows, ask, now_ms))

    async def send(self, ask: PaymentAsk) -> tuple[Payment, bool]:
        """Send money to a CLABE; True if that is new. Raises `PaymentKeyReused`."""
        now_ms = clock.now_ms()
        return await self.journal.write(lambda rows: books.send(rows, ask, now_ms))

    async def find(self, tracking_key: str) -> Transfer:
        """Look a transfer up. Raises `TransferUnknown`."""
        return self.journal.glance(lambda rows: books.get_transfer(rows, tracking_key))
