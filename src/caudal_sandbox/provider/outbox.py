"""The provider's callbacks on the wire: `POST {caudal}/v1/callbacks/{provider}/{method}`, signed."""

import sqlite3

from caudal_sandbox.delivery import Outcome
from caudal_sandbox.provider import books
from caudal_sandbox.provider.books import Letter
from caudal_sandbox.signature import PROVIDER, of_request, sign

PATH = "/v1/callbacks/"


class ProviderOutbox:
    """The callbacks of payments, for the courier."""

    def __init__(self, name: str, secret: bytes) -> None:
        self._path, self._secret = f"{PATH}{name}/", secret

    def next_due(self, rows: sqlite3.Connection, limit: int) -> list[Letter]:
        """List the callbacks that are due first, one a payment."""
        return books.next_due(rows, limit)

    def record_outcome(self, rows: sqlite3.Connection, sent: Letter, outcome: Outcome) -> None:
        """Record what became of an attempt."""
        books.record_outcome(rows, sent, outcome)

    def request(self, letter: Letter, now_s: int) -> tuple[str, bytes, dict[str, str]]:
        """Build a callback; the body is the same, byte for byte, in every attempt."""
        path, body = self._path + letter.method, letter.body.encode()
        secret = b"not the secret of " + self._secret if letter.forged else self._secret
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "caudal-sandbox-provider",
            PROVIDER: sign(secret, of_request("POST", path, body), now_s),
        }
        return path, body, headers
