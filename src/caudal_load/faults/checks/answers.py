"""2: what was acknowledged is in the database as it was answered, what was refused left nothing, what was unknown is
one of the two, and each answers the same when it is asked again.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from hashlib import blake2b
from itertools import pairwise

from caudal_load.faults.checks.violation import Harm, Violation
from caudal_load.faults.evidence import Evidence, Key, Operation, PayinRow
from caudal_load.faults.history import Asking, Line, Verdict, What, askings

NAME = "2"
_PERSON = b"api"
_DIGEST_BYTES = 16
_REFUSED_FROM = 400
_ANSWERED = ("reference", "method", "country", "currency", "amount")


def digest(key: str) -> str:
    """Under which name an Idempotency-Key is stored: BLAKE2b of 16 bytes, with `api` as its person."""
    return blake2b(key.encode(), digest_size=_DIGEST_BYTES, person=_PERSON).hexdigest()


def check(evidence: Evidence) -> Iterator[Violation]:
    """Asking by asking."""
    keys: defaultdict[str, list[Key]] = defaultdict(list)
    for row in evidence.keys:
        keys[row.digest].append(row)
    books = _Books(evidence)
    for asking in askings(evidence.lines):
        stored = keys.get(digest(asking.key), [])
        if asking.verdict is Verdict.UNKNOWN:
            yield _found(Harm.STUCK, asking, "nobody could say what became of it")
        elif asking.verdict is Verdict.ACKNOWLEDGED:
            yield from _acknowledged(asking, stored, books)
        else:
            yield from _refused(asking, stored, books)


class _Books:
    """What an answer is compared with."""

    def __init__(self, evidence: Evidence) -> None:
        self.payins = {row.id: row for row in evidence.payins}
        self.operations = {row.id: row for row in evidence.operations}
        self.references = {row.reference for row in evidence.payins}


def _acknowledged(asking: Asking, stored: list[Key], books: _Books) -> Iterator[Violation]:
    if asking.op == "reuse":
        yield _found(Harm.DOUBLED, asking, "is another request under a used key, and was acknowledged")
    told = [line for line in asking.answers if line.is_final]
    for first, second in pairwise(told):
        if (first.what, first.status, first.answer) != (second.what, second.status, second.answer):
            yield _found(Harm.LOST, asking, f"was answered {_brief(first)} and then {_brief(second)}")
    first = told[0]
    if [(row.status, row.answer) for row in stored] != [(first.status, first.answer)]:
        yield _found(Harm.LOST, asking, f"was answered {_brief(first)}, stored is {stored}")
    said = json.loads(first.answer)
    what = _missing(asking, said, books)
    if what is not None:
        yield _found(Harm.LOST, asking, what)


def _missing(asking: Asking, said: dict[str, object], books: _Books) -> str | None:
    """What the rows lack of an answer; None where they have it."""
    id = str(said["id"]).rpartition("_")[2]
    if asking.op in ("capture", "refund"):
        operation = books.operations.get(id)
        return None if operation is not None and _is_same(operation, asking.op, said) else f"stands as {operation}"
    payin = books.payins.get(id)
    if payin is None or not _is_same_payin(payin, said):
        return f"stands as {payin}"
    if asking.op == "create":
        asked = json.loads(asking.request)
        differs = [name for name in _ANSWERED if asked[name] != said[name]]
        return f"asked for {asked} and was answered other {differs}" if differs else None
    return None


def _is_same(operation: Operation, op: str, said: dict[str, object]) -> bool:
    payin = str(said["payin"]).rpartition("_")[2]
    return (operation.kind, operation.payin, operation.amount) == (op, payin, said["amount"])


def _is_same_payin(payin: PayinRow, said: dict[str, object]) -> bool:
    asked = (payin.reference, payin.method, payin.currency, payin.amount)
    return asked == (said.get("reference"), said["method"], said["currency"], said["amount"])


def _refused(asking: Asking, stored: list[Key], books: _Books) -> Iterator[Violation]:
    """A key may hold a decision's refusal, byte for byte; of what was asked for nothing is there."""
    reference = json.loads(asking.request).get("reference") if asking.request else None
    if reference is not None and reference in books.references:
        yield _found(Harm.DOUBLED, asking, "was refused, and there is a payin of that reference")
    if asking.op == "reuse":
        codes = {line.problem.code for line in asking.answers if line.is_final}
        if codes - {"key_reused"}:
            yield _found(Harm.DOUBLED, asking, f"is another request under a used key, and was answered {codes}")
        return
    if asking.leaves_key_unused:  # what is stored is another request's
        return
    told = {(line.status, line.answer) for line in asking.answers if line.is_final and line.replayed}
    if len(told) > 1:
        yield _found(Harm.LOST, asking, f"is refused in {len(told)} ways under one key")
    for row in stored:
        if asking.verdict is Verdict.NOTHING or row.status is None or row.status < _REFUSED_FROM:
            yield _found(Harm.DOUBLED, asking, f"was refused ({asking.verdict}), and its key holds {row}")
        elif told and (row.status, row.answer) not in told:
            yield _found(Harm.LOST, asking, f"was refused in other words than its key holds: {row}")


def _found(harm: Harm, asking: Asking, what: str) -> Violation:
    return Violation(NAME, harm, f"{asking.key} ({asking.op} {asking.path}) {what}")


def _brief(line: Line) -> str:
    return f"{line.status} {line.answer[:200]}" if line.what is not What.UNKNOWN else "nothing"
