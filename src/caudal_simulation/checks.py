"""What must be true at the end of a history, whatever happened. Each check has a name, by which it can be left out.

They read the database's rows, the outside's books and what clients and receivers were told; none asks caudal's code
what is right, but the replay, which shares none with the ledger.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

import msgspec

from caudal.app.replay.model import Model
from caudal.contracts.envelope import event_id
from caudal.kernel.idempotency import digest
from caudal_simulation.books import (
    books_agree,
    disputes_agree,
    every_case_is_closed,
    nobody_before_a_lease_ends,
    nobody_pays_for_nothing,
    one_attempt_at_a_time,
    one_charge_an_order,
)
from caudal_simulation.clients import Client
from caudal_simulation.plants import CHECKS as NAMES
from caudal_simulation.world import World

Check = Callable[[World, Sequence[Client]], Iterator[str]]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# state, event → state, as docs/states.md draws it.
MOVES: Final = {
    ("submitting", "submitted_again", "submitting"),
    ("submitting", "next_attempt", "submitting"),
    ("submitting", "accepted", "pending"),
    ("submitting", "authorized", "authorized"),
    ("submitting", "all_received", "paid"),
    ("submitting", "declined", "declined"),
    ("submitting", "failed", "failed"),
    ("pending", "authorized", "authorized"),
    ("pending", "part_received", "pending"),
    ("pending", "all_received", "paid"),
    ("pending", "declined", "declined"),
    ("pending", "time_passed", "expired"),
    ("pending", "cancel_requested", "pending"),
    ("pending", "cancel_failed", "pending"),
    ("pending", "cancelled", "cancelled"),
    ("authorized", "capture_requested", "authorized"),
    ("authorized", "captured", "paid"),
    ("authorized", "capture_failed", "authorized"),
    ("authorized", "time_passed", "expired"),
    ("authorized", "cancel_requested", "authorized"),
    ("authorized", "cancel_failed", "authorized"),
    ("authorized", "cancelled", "cancelled"),
    ("paid", "capture_requested", "paid"),
    ("paid", "captured", "paid"),
    ("paid", "capture_failed", "paid"),
    ("paid", "cancel_requested", "paid"),
    ("paid", "cancel_failed", "paid"),
    ("paid", "rest_released", "paid"),
    ("paid", "refund_requested", "paid"),
    ("paid", "refund_failed", "paid"),
    ("paid", "dispute_opened", "paid"),
    ("paid", "dispute_won", "paid"),
    ("expired", "part_received", "expired"),
    ("expired", "all_received", "paid"),
    ("expired", "part_returned", "expired"),
    ("expired", "captured", "paid"),
    ("expired", "capture_failed", "expired"),
    ("cancelled", "captured", "paid"),
    ("cancelled", "capture_failed", "cancelled"),
    ("cancelled", "part_returned", "cancelled"),
}
_MINE: Final = (1, 2, 3, 4)  # the purposes that a merchant's statement is about


def ledger_replays(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Postings sum to zero, balances are their replay, the chain holds."""
    model = Model(0)
    entries = {
        (e["account_id"], e["version"]): (
            e["account_id"],
            e["version"],
            e["seq"],
            e["side"],
            e["kind"],
            e["amount_minor"],
            e["debits_pending"],
            e["debits_posted"],
            e["credits_pending"],
            e["credits_posted"],
            e["fact"],
            e["flags"],
        )
        for e in world.database.dicts("entry")
    }
    transfers = sorted(world.database.dicts("transfer"), key=lambda t: t["seq"])
    model.take([_packed(transfer) for transfer in transfers], entries)
    for difference in model.differences:
        yield str(difference)
    rows = {row["id"]: row for row in world.database.dicts("account")}
    for id, computed in model.accounts.items():
        row = rows.pop(id, None)
        said = row and [row[name] for name in ("version", "debits_pending", "debits_posted", "credits_pending")]
        if row is None or [*(said or []), row["credits_posted"], row["flags"]] != computed:
            yield f"account {id} says {row}, its postings {computed}"
    if any(row["version"] for row in rows.values()) or len(entries) != 2 * len(transfers):
        yield f"accounts or entries without transfers: {sorted(rows)}"
    head = world.database.dicts("shard")[0]
    if (head["posting_seq"], head["chain"]) != (model.seq, model.chain):
        yield f"the shard stands at posting {head['posting_seq']}, the last is {model.seq}"


def _packed(row: dict[str, Any]) -> tuple[Any, ...]:
    def bytes_of(id: Any) -> bytes | None:
        return None if id is None else id.bytes

    since = row["at"] - _EPOCH
    at_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return (
        row["seq"],
        row["group_seq"],
        row["id"].bytes,
        row["kind"],
        row["flags"],
        row["debit_account"],
        row["credit_account"],
        row["amount_minor"],
        bytes_of(row["pending_id"]),
        row["timeout_s"],
        bytes_of(row["subject"]),
        row["code"],
        at_us,
        row["hash"],
    )


def statement_agrees(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """What a merchant has is the sum of its statement, and what waits for its day that of its releases."""
    has: Counter[tuple[int, str]] = Counter()
    waits: Counter[tuple[int, str]] = Counter()
    currencies = {986: "BRL", 484: "MXN"}
    for row in world.database.dicts("account"):
        place = (row["id"] >> 16, currencies.get(row["id"] >> 6 & 1023, "?"))
        balance = row["credits_posted"] - row["debits_posted"]
        if row["id"] & 63 in _MINE and place[0] > 1:
            has[place] += balance
        if row["id"] & 63 == 1:
            waits[place] += balance
    says: Counter[tuple[int, str]] = Counter()
    for row in world.database.dicts("balance_transaction"):
        says[row["book"], row["currency"]] += row["net_minor"]
    held: Counter[tuple[int, str]] = Counter()
    for row in world.database.dicts("release"):
        held[row["book"], row["currency"]] += row["amount_minor"]
    for name, ours, theirs in (("statement", has, says), ("releases", waits, held)):
        for place in ours.keys() | theirs.keys():
            if ours[place] != theirs[place]:
                yield f"{name} of {place}: {theirs[place]}, the ledger holds {ours[place]}"


def fees_once(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """What was taken as fees of a payin is what its row says."""
    taken: Counter[Any] = Counter()
    captures = {row["id"]: row["payin"] for row in world.database.dicts("payin_operation")}
    deposits = {row["id"]: row["payin"] for row in world.database.dicts("deposit")}
    for row in world.database.dicts("transfer"):
        if row["code"] in ("payin.fee", "payin.fee_available"):
            subject = row["subject"]
            taken[captures.get(subject) or deposits.get(subject) or subject] += row["amount_minor"]
    for row in world.database.dicts("payin"):
        if taken[row["id"]] != row["fee_minor"]:
            yield f"payin {row['id'].hex} has fees of {row['fee_minor']}, {taken[row['id']]} were taken"


def one_effect_a_key(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """A key has made one thing at most; everything made has a key; a key that was refused has made nothing."""
    keys = {(row["book"], row["digest"]): row for row in world.database.dicts("key")}
    mine = {row["subject"] for row in keys.values()}
    for name in ("payin", "payin_operation"):
        for row in world.database.dicts(name):
            if row["id"] not in mine and row.get("kind") != "void" and not _is_correction(row):
                yield f"{name} {row['id'].hex} was made under no key"
    for client in clients:
        yield from client.reads
        for asked in client.asked:
            made = keys.get((client.merchant.slot * 2, digest("api", asked.key)))
            if asked.refused and made is not None and (made["status"] or 400) < 400:
                yield f"key {asked.key} was refused with {asked.refused}, and has made {made['subject']}"
            ids = {msgspec.json.decode(body).get("id") for status, body in asked.answers if 200 <= status < 300}
            if len(ids) > 1:
                yield f"key {asked.key} has made {sorted(map(str, ids))}"


def _is_correction(row: dict[str, Any]) -> bool:
    """An operator's key stands for the discrepancy that it put right, not for what was booked in doing so."""
    return "kind" in row and msgspec.json.decode(row["detail"] or b"{}").get("correction") is not None


def acknowledged_is_stored(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Whatever was answered for good is stored as it was answered, and so was each answer after it."""
    keys = {(row["book"], row["digest"]): row for row in world.database.dicts("key")}
    for client in clients:
        for asked in client.asked:
            said = {answer for answer in asked.answers if 200 <= answer[0] < 300}
            if len(said) > 1:
                yield f"key {asked.key} was answered in {len(said)} ways"
            row = keys.get((client.merchant.slot * 2, digest("api", asked.key)))
            for status, body in said:
                if row is None or (row["status"], row["answer"]) != (status, body):
                    yield f"key {asked.key} was answered {status}, stored is {None if row is None else row['status']}"


def events_without_gaps(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Events are numbered one by one, in the order of commits, and batches follow each other."""
    events = sorted(world.database.dicts("event"), key=lambda event: event["seq"])
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        yield f"events are numbered {[event['seq'] for event in events]}"
    if any(event["at"] > later["at"] for event, later in pairwise(events)):
        yield "time goes back from one event to the next"
    head = world.database.dicts("shard")[0]
    if head["event_seq"] != len(events):
        yield f"the shard stands at event {head['event_seq']}, the last is {len(events)}"
    last = 0
    for batch in sorted(world.database.dicts("batch"), key=lambda b: (b["last_event_seq"], b["last_posting_seq"])):
        if batch["first_event_seq"] != last + 1:
            yield f"a batch begins with event {batch['first_event_seq']}, the one before ended with {last}"
        last = batch["last_event_seq"]


def states_along_the_table(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Every change leads where the table says, one version after the other, and the row stands where the last led."""
    changes: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for change in world.database.dicts("payin_change"):
        changes[change["payin"]].append(change)
    told: dict[Any, list[str]] = defaultdict(list)
    for event in sorted(world.database.dicts("event"), key=lambda event: event["seq"]):
        told[event["subject"]].append(event["type"])
    for payin in world.database.dicts("payin"):
        status = "pending" if payin["deposit_number"] is not None else "submitting"
        version = 1
        for change in sorted(changes[payin["id"]], key=lambda change: change["number"]):
            version += 1
            if (status, change["event"], change["status"]) not in MOVES:
                yield f"payin {payin['id'].hex}: {status}, {change['event']} → {change['status']}"
            if change["number"] != version:
                yield f"payin {payin['id'].hex}: change {change['number']} follows {version - 1}"
                version = change["number"]
            status = change["status"]
        if (payin["status"], payin["version"]) != (status, version):
            yield f"payin {payin['id'].hex} is {payin['status']} at {payin['version']}, its changes say {status}"
        ended = f"payin.{payin['status']}"
        expected = [] if payin["status"] in ("submitting", "pending") else [ended]
        if told[payin["id"]].count("payin.created") != 1 or any(type not in told[payin["id"]] for type in expected):
            yield f"payin {payin['id'].hex} is {payin['status']}, its events are {told[payin['id']]}"


def delivered(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Every event of a merchant has reached its endpoint."""
    heard = {(url, event) for url, event, _, accepted in world.receiver.heard if accepted}
    for url, event, seq, _ in _wanted(world):
        if (url, event) not in heard:
            yield f"event {seq} never reached {url}"


def delivered_in_order(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """The first time that an event is taken, those of its object before it have been taken."""
    wanted = {(url, event): (seq, subject) for url, event, seq, subject in _wanted(world)}
    last: dict[tuple[str, Any], int] = {}
    seen: set[tuple[str, str]] = set()
    for url, event, _, accepted in world.receiver.heard:
        if not accepted or (url, event) in seen or (url, event) not in wanted:
            continue
        seen.add((url, event))
        seq, subject = wanted[url, event]
        if last.get((url, subject), 0) > seq:
            yield f"{url} heard event {seq} behind {last[url, subject]}"
        last[url, subject] = max(seq, last.get((url, subject), 0))


def _wanted(world: World) -> Iterator[tuple[str, str, int, Any]]:
    """What each endpoint is to hear: address, event, number, object."""
    endpoints = world.database.dicts("webhook_endpoint")
    for event in world.database.dicts("event"):
        for endpoint in endpoints:
            if endpoint["book"] == event["book"] and endpoint["created_at"] <= event["at"]:
                id = event_id(event["at"], event["book"] >> 1, event["seq"])
                yield endpoint["url"], id, event["seq"], event["subject"]


def nothing_is_stuck(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Nothing waits for ever: no payment, operation or key without an outcome, no late work, no lock."""
    for name, status in (("payin", "submitting"), ("payin_operation", "pending"), ("dispute_evidence", "pending")):
        for row in world.database.dicts(name):
            if row["status"] == status:
                yield f"{name} {row['id'].hex} is still {status}"
    for row in world.database.dicts("key"):
        if row["status"] is None:
            yield f"the key of {row['subject']} is still in progress"
    for row in world.database.dicts("webhook_delivery"):
        if row["status"] == "pending":
            yield f"delivery of event {row['event_seq']} is still pending"
    for row in world.database.dicts("deposit"):
        if row["returning_minor"]:
            yield f"deposit {row['tracking_key']} is still on its way back"
    if world.restless:
        yield "it never became quiet"
    for broken in world.loop.broken:
        yield f"{broken.get('message')}: {broken.get('exception')!r}"
    for row in world.database.dicts("payin"):
        if row["status"] in ("pending", "authorized") and not any(
            due["subject"] == row["id"] for due in world.database.dicts("due")
        ):
            yield f"payin {row['id'].hex} is {row['status']} and nothing will end it"


CHECKS: Final[dict[str, Check]] = {
    "ledger": ledger_replays,
    "statement": statement_agrees,
    "fees": fees_once,
    "keys": one_effect_a_key,
    "answers": acknowledged_is_stored,
    "books": books_agree,
    "charges": one_charge_an_order,
    "attempts": one_attempt_at_a_time,
    "leases": nobody_before_a_lease_ends,
    "payers": nobody_pays_for_nothing,
    "disputes": disputes_agree,
    "cases": every_case_is_closed,
    "events": events_without_gaps,
    "states": states_along_the_table,
    "delivered": delivered,
    "order": delivered_in_order,
    "stuck": nothing_is_stuck,
}
assert tuple(CHECKS) == NAMES
