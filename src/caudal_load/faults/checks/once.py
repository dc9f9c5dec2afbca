"""3: per key one effect; per payment at most one charge in the sandbox's books; its books and ours agree."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

from caudal_load.faults.checks.answers import digest
from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Evidence, Statement
from caudal_load.faults.history import Verdict, What, askings

NAME = "3"
ONCE = frozenset(
    {
        *("payin.created", "payin.paid", "payin.authorized", "payin.declined", "payin.failed"),
        *("payin.expired", "payin.cancelled", "payin.rest_released", "capture.succeeded", "capture.failed"),
        *("refund.created", "refund.succeeded", "refund.failed", "dispute.opened"),
    }
)
"""Events that an object can have one of."""


def check(evidence: Evidence) -> Iterator[Violation]:
    """In our own rows, then beside the sandbox's."""
    for what in (*_effects(evidence), *_events(evidence)):
        yield Violation(NAME, Harm.DOUBLED, what)
    yield from _provider(evidence)
    yield from _bank(evidence)


def _effects(evidence: Evidence) -> Iterator[str]:
    """Each payin, capture and refund is the effect of one key, and no key has two."""
    made, keys = dict[str, str](), Counter(row.digest for row in evidence.keys)
    for asking in askings(evidence.lines):
        if keys[digest(asking.key)] > 1:
            yield f"the key {asking.key} is stored {keys[digest(asking.key)]} times"
        if asking.verdict is not Verdict.ACKNOWLEDGED or asking.op not in ("create", "capture", "refund"):
            continue
        answers = [line.answer for line in asking.answers if line.what is What.OK]
        for id in {json.loads(answer)["id"].rpartition("_")[2] for answer in answers}:
            if made.setdefault(id, asking.key) != asking.key:
                yield f"{id} is what {made[id]} and {asking.key} made"
    for payin in evidence.payins:
        if payin.id not in made:
            yield f"payin {payin.id} ({payin.reference}) is what nobody was told of"
    for reference, times in Counter(row.reference for row in evidence.payins).items():
        if times > 1:
            yield f"{times} payins have the reference {reference}"
    for operation in evidence.operations:
        if operation.kind != "void" and operation.id not in made:
            yield f"{operation.kind} {operation.id} of {operation.amount} is what nobody was told of"


def _events(evidence: Evidence) -> Iterator[str]:
    for (subject, type), times in Counter((row.subject, row.type) for row in evidence.events).items():
        if times > 1 and type in ONCE:
            yield f"{type} happened {times} times to {subject}"


def _provider(evidence: Evidence) -> Iterator[Violation]:
    """Payments that providers have: one of each attempt, one that was paid, and as much money as we say in all."""
    theirs: defaultdict[str, list[Statement]] = defaultdict(list)
    for line in evidence.statement:
        theirs[line.key.partition("-")[0]].append(line)
    for id, lines in theirs.items():
        for key, times in Counter((line.provider, line.key) for line in lines).items():
            if times > 1:
                yield Violation(NAME, Harm.DOUBLED, f"the provider {key[0]} has {times} payments under {key[1]}")
        kept = [line.key for line in lines if line.captured > line.refunded or line.held]
        if len(kept) > 1:
            yield Violation(NAME, Harm.DOUBLED, f"payin {id} is paid or held in more than one attempt: {kept}")
    refunded, late, late_returned = Counter[str](), Counter[str](), Counter[str]()
    for operation in evidence.operations:
        if operation.kind == "refund" and operation.status == "succeeded":
            refunded[operation.payin] += operation.amount
    for deposit in evidence.deposits:
        if deposit.provider != "spei" and deposit.payin is not None:
            late[deposit.payin] += deposit.amount
            late_returned[deposit.payin] += deposit.returned
    payins = {row.id: row for row in evidence.payins if row.method != "spei"}
    for id, payin in payins.items():
        here = (payin.received + late[id], refunded[id] + late_returned[id], payin.disputed)
        there = _money(theirs.get(id, []))
        if here != there:
            harm = Harm.DOUBLED if there[0] > max(here[0], payin.amount) or there[1] > here[1] else Harm.LOST
            what = f"{payin.method} {id} (taken, given back, disputed): here {here}, at the provider {there}"
            yield Violation(NAME, harm, what)
    for id in theirs.keys() - payins.keys():
        taken, given_back, _ = _money(theirs[id])
        if taken > given_back:
            yield Violation(NAME, Harm.LOST, f"a provider took {taken} under {id}, which is no payin")


def _money(lines: list[Statement]) -> tuple[int, int, int]:
    """What was taken, given back and disputed, in all attempts of a payin."""
    return (
        sum(line.captured for line in lines),
        sum(line.refunded for line in lines),
        sum(line.disputed for line in lines),
    )


def _bank(evidence: Evidence) -> Iterator[Violation]:
    """Transfers by tracking key, returns of them, and refunds that went out to an account."""
    came, back, sent = Counter[str](), Counter[str](), Counter[str]()
    for line in evidence.bank:
        if line.kind == "transfer":
            came[line.tracking_key] += line.amount
        elif line.kind == "return":
            back[line.tracking_key] += line.amount
        else:
            sent[line.payment_key] += line.amount
    ours, ours_back, ours_sent = Counter[str](), Counter[str](), Counter[str]()
    for deposit in evidence.deposits:
        if deposit.provider == "spei":
            ours[deposit.tracking_key] += deposit.amount
            ours_back[deposit.tracking_key] += deposit.returned
    spei = {row.id for row in evidence.payins if row.method == "spei"}
    for operation in evidence.operations:
        if operation.kind == "refund" and operation.status == "succeeded" and operation.payin in spei:
            ours_sent[operation.id] += operation.amount
    for what, here, there in (
        ("transfer", ours, came),
        ("return of", ours_back, back),
        ("payment", ours_sent, sent),
    ):
        for name in sorted(here.keys() | there.keys()):
            if here[name] != there[name]:
                harm = Harm.DOUBLED if (here[name] > there[name]) == (what == "transfer") else Harm.LOST
                yield Violation(NAME, harm, f"{what} {name}: here {here[name]}, at the bank {there[name]}")
