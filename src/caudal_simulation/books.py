"""What must be true of our books and those outside at the end of a history: the checks that compare the two."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal_simulation.clients import Client
from caudal_simulation.nature import CLOCK
from caudal_simulation.programs import SETTINGS
from caudal_simulation.provider import CardProvider
from caudal_simulation.world import World

_TOOK_NOTHING: Final = ("declined", "failed", "cancelled", "expired")
_DISPUTED: Final = {
    "opened": ("needs_response", "under_review", "expired"),
    "won": ("won",),
    "lost": ("lost", "expired"),
}


class _Ours:
    """What our books say of payins by card, gathered once."""

    def __init__(self, world: World) -> None:
        self.payins = {row["id"].hex: row for row in world.database.dicts("payin") if row["method"] == "card"}
        self.late: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by the provider's key
        for row in world.database.dicts("deposit"):
            self.late[row["tracking_key"]] += Counter(
                taken=row["amount_minor"] - row["applied_minor"], returned=row["returned_minor"]
            )
        self.corrected = {row["payin"].hex for row in world.database.dicts("payin_operation")
                          if msgspec.json.decode(row["detail"] or b"{}").get("correction") is not None}  # fmt: skip

    def carrier(self, payin: dict[str, Any]) -> str:
        """The key of the attempt that carries a payin."""
        number = len(msgspec.json.decode(payin["detail"]).get("attempts", ()))
        return str(payin["id"].hex if number < 2 else f"{payin['id'].hex}-{number}")


def books_agree(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Ours and the outside's: payments, operations, what the bank took and what it sent."""
    ours = _Ours(world)
    for provider in world.outside.providers:
        for key, payment in provider.payments.items():
            yield from _payment_agrees(ours, key, payment)
    known = {key for provider in world.outside.providers for key in provider.payments}
    for row in ours.payins.values():
        if row["status"] in ("paid", "authorized", "pending") and ours.carrier(row) not in known:
            yield f"payin {row['id'].hex} is {row['status']}, the provider has never heard of it"
    yield from _operations_agree(world)
    took = Counter({row["tracking_key"]: row["amount_minor"] for row in world.database.dicts("deposit")
                    if row["provider"] == "spei"})  # fmt: skip
    theirs = {tracking: amount for tracking, (_, amount) in world.deposits.items()}
    if took != Counter(theirs):
        yield f"the bank took {theirs}, we have {dict(took)}"


def _payment_agrees(ours: _Ours, key: str, payment: dict[str, Any]) -> Iterator[str]:
    """What a provider took and gave back is what we received and gave back, the difference at least."""
    payin = ours.payins.get(key.partition("-")[0])
    if payin is None:
        yield f"the provider has a payment {key} that we do not know"
        return
    late, carries = ours.late[key], key == ours.carrier(payin)
    received = (payin["received_minor"] if carries else 0) + late["taken"]
    refunded = (payin["refunded_minor"] if carries else 0) + late["returned"]
    here, there = (received, refunded), (payment["captured"], payment["refunded"])
    if here != there and (payin["id"].hex not in ours.corrected or received - refunded != there[0] - there[1]):
        yield f"payment {key} received and gave back {here}, the provider {there}"


def _operations_agree(world: World) -> Iterator[str]:
    outside = world.outside
    cards = {row["id"] for row in world.database.dicts("payin") if row["method"] == "card"}
    operations = {row["id"].hex: row for row in world.database.dicts("payin_operation")}
    returned = {row["tracking_key"] for row in world.database.dicts("deposit")}
    done = {key: told for provider in outside.providers for key, told in provider.operations.items()}
    for key, told in done.items():
        mine = operations.get(key)
        if mine is None:
            if told["payment_key"] not in returned:
                yield f"the provider has an operation {key} that we do not know"
        elif mine["status"] == "failed":
            yield f"operation {key} failed here, the provider did it"
    for key, mine in operations.items():
        if mine["status"] != "succeeded" or msgspec.json.decode(mine["detail"] or b"{}").get("correction") is not None:
            continue
        if mine["payin"] in cards and key not in done:
            yield f"operation {key} succeeded, the provider has never heard of it"
        if mine["payin"] not in cards and key not in outside.bank.sent:
            yield f"refund {key} succeeded, the bank never sent it"


def one_charge_an_order(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """No order moved money twice at its provider."""
    for provider in world.outside.providers:
        for key, times in provider.charges.items():
            if times > 1:
                yield f"order {key} moved money {times} times at {provider.name}"


def one_attempt_at_a_time(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """No provider was asked for a payment that another one had, or might still come to have."""
    for provider in world.outside.providers:
        yield from provider.crossed


def nobody_before_a_lease_ends(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """The worker asks what became of a payment when nobody can come back with it any more, or it is known."""
    began = {row["id"].hex: row["created_at"] for row in world.database.dicts("payin")}
    known: dict[str, Any] = {}
    for change in world.database.dicts("payin_change"):
        if change["status"] != "submitting":
            known[change["payin"].hex] = min(change["at"], known.get(change["payin"].hex, change["at"]))
    lease = timedelta(milliseconds=SETTINGS.request_timeout_ms)
    for at_s, program, key in world.network.asked:
        payin = key.partition("-")[0]
        at = CLOCK.at(at_s)
        if program == "worker" and payin in began and at < min(began[payin] + lease, known.get(payin, at)):
            yield f"the worker asked for {key} while its request could still record what became of it"


def nobody_pays_for_nothing(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """What a payin does not have, its payer has: nothing is held or kept for one that ended without money, and what a
    provider took at its first word is not given up."""
    ours = _Ours(world)
    for provider in world.outside.providers:
        for key, payment in provider.payments.items():
            payin = ours.payins.get(key.partition("-")[0])
            carries = payin is not None and key == ours.carrier(payin)
            if payin is None or (carries and payin["status"] not in _TOOK_NOTHING):
                continue
            kept = payment["captured"] - payment["refunded"]
            if kept or provider.held(key):
                yield f"payment {key} is of no payin, {provider.name} kept {kept} and holds {provider.held(key)}"
            if key not in provider.erred and payment["status"] == "paid":
                yield f"payment {key} was paid at {provider.name}, its payin does not have it"


def disputes_agree(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Every dispute stands here as it does with its provider, with its files; payins hold what is disputed of them."""
    rows = {(row["provider"], row["reference"]): row for row in world.database.dicts("dispute")}
    files: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in world.database.dicts("dispute_evidence"):
        if row["status"] == "taken":
            files[row["dispute"]].append(row["id"].hex)
    for provider in world.outside.providers:
        for reference, told in provider.disputes.items():
            yield from _dispute_agrees(rows.get((provider.name, reference)), files, provider, reference, told)
    held: Counter[UUID] = Counter()
    for row in rows.values():
        held[row["payin"]] += row["amount_minor"] * (row["status"] != "won")
    for payin in world.database.dicts("payin"):
        if payin["disputed_minor"] != held[payin["id"]]:
            yield f"payin {payin['id'].hex} has {payin['disputed_minor']} disputed, its disputes {held[payin['id']]}"


def _dispute_agrees(
    row: dict[str, Any] | None,
    files: dict[UUID, list[str]],
    provider: CardProvider,
    reference: str,
    told: dict[str, Any],
) -> Iterator[str]:
    if row is None:
        yield f"dispute {reference} is not known"
    elif row["status"] not in _DISPUTED[told["status"]] or row["amount_minor"] != told["amount"]:
        yield f"dispute {reference} is {row['status']} over {row['amount_minor']}, the provider says {told}"
    elif sorted(files[row["id"]]) != sorted(provider.files[reference]):
        yield f"dispute {reference} has files {files[row['id']]}, the provider {provider.files[reference]}"


def every_case_is_closed(world: World, clients: Sequence[Client]) -> Iterator[str]:
    """Whatever contradicted our books was looked after; what a provider did otherwise than asked has become a case."""
    for row in world.database.dicts("discrepancy"):
        if row["resolved_at"] is None:
            yield f"discrepancy {row['id'].hex} ({row['kind']}) of {row['provider']} is open"
