"""The callback of a transfer as bytes, and the outbox that the courier empties.

A fault spoils one thing only, so that a test knows what was noticed: a tampered body carries the signature of the
right one, a forged one is signed with another secret, a stale one with the right secret ten minutes ago.
"""

import json
import sqlite3

from caudal_sandbox.bank import books
from caudal_sandbox.bank.model import PAYER_BANK, Fault, Transfer
from caudal_sandbox.delivery import Outcome
from caudal_sandbox.signature import SPEI, sign
from caudal_sandbox.wire import rfc3339

PATH = "/v1/callbacks/spei"
STALE_S = 600


class BankOutbox:
    """The callbacks of transfers, for the courier."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def next_due(self, rows: sqlite3.Connection, limit: int) -> list[Transfer]:
        """List the callbacks that are due first; a transfer has one."""
        return books.next_due(rows, limit)

    def record_outcome(self, rows: sqlite3.Connection, sent: Transfer, outcome: Outcome) -> None:
        """Record what became of an attempt, unless delivery was ordered anew meanwhile."""
        books.record_outcome(rows, sent, outcome)

    def request(self, letter: Transfer, now_s: int) -> tuple[str, bytes, dict[str, str]]:
        """Build the callback of a transfer."""
        return PATH, *request(letter, self._secret, now_s)


def request(transfer: Transfer, secret: bytes, now_s: int) -> tuple[bytes, dict[str, str]]:
    """Build body and headers of a callback, spoiled as the transfer's fault says."""
    body = body_of(transfer, transfer.amount_minor)
    headers = {"Content-Type": "application/json", "User-Agent": "caudal-sandbox-bank"}
    match transfer.fault:
        case Fault.UNSIGNED:
            return body, headers
        case Fault.TAMPERED:
            return body_of(transfer, transfer.amount_minor + 1), headers | {SPEI: sign(secret, body, now_s)}
        case Fault.FORGED:
            return body, headers | {SPEI: sign(b"not the secret of " + secret, body, now_s)}
        case Fault.STALE:
            return body, headers | {SPEI: sign(secret, body, now_s - STALE_S)}
        case _:
            return body, headers | {SPEI: sign(secret, body, now_s)}


def body_of(transfer: Transfer, amount_minor: int) -> bytes:
    """Write the callback's body; every attempt of a transfer sends the same bytes."""
    fields = {
        "tracking_key": transfer.tracking_key,
        "clabe": transfer.clabe,
        "amount": amount_minor,
        "currency": transfer.currency,
        "payer_name": transfer.payer_name,
        "payer_bank": PAYER_BANK,
        "paid_at": rfc3339(transfer.paid_ms),
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
