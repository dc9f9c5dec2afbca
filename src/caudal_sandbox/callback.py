"""The callback of a transfer as bytes, and what an answer to it means. Pure.

A fault spoils one thing only, so that a test knows what was noticed: a tampered body carries the signature of the
right one, a forged one is signed with another secret, a stale one with the right secret ten minutes ago.
"""

import json

from caudal_sandbox.model import PAYER_BANK, Fault, Outcome, Status, Transfer, rfc3339
from caudal_sandbox.signature import HEADER, sign

PATH = "/v1/callbacks/spei"
STALE_S = 600
BACKOFF_FIRST_MS = 200
BACKOFF_MAX_MS = 5_000
ANSWER_MAX = 300
# Client errors that ask for another try: request timeout, too early, too many requests (RFC 9110, 8470, 6585).
NOT_FINAL = (408, 425, 429)


def request(transfer: Transfer, secret: bytes, now_s: int) -> tuple[bytes, dict[str, str]]:
    """Build body and headers of a callback, spoiled as the transfer's fault says."""
    body = body_of(transfer, transfer.amount_minor)
    headers = {"Content-Type": "application/json", "User-Agent": "caudal-sandbox-bank"}
    match transfer.fault:
        case Fault.UNSIGNED:
            return body, headers
        case Fault.TAMPERED:
            return body_of(transfer, transfer.amount_minor + 1), headers | {HEADER: sign(secret, body, now_s)}
        case Fault.FORGED:
            return body, headers | {HEADER: sign(b"not the secret of " + secret, body, now_s)}
        case Fault.STALE:
            return body, headers | {HEADER: sign(secret, body, now_s - STALE_S)}
        case _:
            return body, headers | {HEADER: sign(secret, body, now_s)}


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


def judge(sent: Transfer, answer_status: int | None, detail: str, now_ms: int, luck: float) -> Outcome:
    """Say what an answer means, or its absence; `luck` in [0, 1) is the jitter."""
    accepted = answer_status is not None and 200 <= answer_status < 300
    refused = answer_status is not None and 400 <= answer_status < 500 and answer_status not in NOT_FINAL
    copies = sent.copies_delivered + accepted
    failures = 0 if accepted else sent.failures + 1
    if accepted and copies >= sent.copies:
        status, next_ms = Status.DELIVERED, None
    elif refused:
        status, next_ms = Status.REFUSED, None
    else:
        status, next_ms = Status.WAITING, now_ms + (0 if accepted else backoff_ms(failures, luck))
    return Outcome(
        status=status,
        copies_delivered=copies,
        failures=failures,
        next_attempt_ms=next_ms,
        answer_status=answer_status,
        answer_detail=detail[:ANSWER_MAX],
        answered_ms=now_ms,
    )


def backoff_ms(failures: int, luck: float) -> int:
    """Return the pause after so many failures in a row: 0.2 s doubling to 5 s, of which up to a quarter is left out."""
    full_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << min(failures - 1, 16))
    return int(full_ms * (1 - luck / 4))
