"""What the clients of a run asked and were told: one JSON line when they ask, one when they have their answer.

ok        200 or 201: what it says is to be found, once
refused   a problem that says so: for ever (`retry: no`), or this time (`retry: after`, and nobody who could be reached)
unknown   the connection broke, no answer came, or the problem says `same_key`

An asking is one request under one key, however often it is sent: what is promised of it follows from all its answers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import time
from typing import BinaryIO

import msgspec


class What(StrEnum):
    """What a line tells."""

    INVOKE = "invoke"
    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Phase(StrEnum):
    """When it was asked: under faults, after them until it is known, or once more when all is quiet."""

    LOAD = "load"
    SETTLE = "settle"
    AGAIN = "again"


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. `at_s` is seconds since 1970; `number` is the try's: its answer has the same."""

    at_s: float
    what: What
    client: str
    op: str
    merchant: int
    key: str
    path: str
    number: int = 0
    phase: Phase = Phase.LOAD
    request: str = ""
    status: int = 0
    answer: str = ""
    replayed: bool = False

    @property
    def is_final(self) -> bool:
        """Whether it says what became of the request, not of this try alone."""
        return self.what is What.OK or (self.what is What.REFUSED and self.problem.retry == "no")

    @property
    def problem(self) -> "Problem":
        """What a refusal says; empty where nobody was reached."""
        return msgspec.json.decode(self.answer, type=Problem) if self.answer else Problem()


class Problem(msgspec.Struct, frozen=True):
    """As much of RFC 9457's problem as is looked at."""

    code: str = "unreached"
    retry: str = "after"


class History:
    """The lines of a run, in a file as they come and in memory for the checks."""

    def __init__(self, path: Path) -> None:
        self.lines: list[Line] = []
        self.phase = Phase.LOAD
        self._file: BinaryIO = path.open("ab")
        self._encoder = msgspec.json.Encoder()

    def add(self, line: Line) -> None:
        """Write it down before anything follows from it."""
        self.lines.append(line)
        self._file.write(self._encoder.encode(line) + b"\n")

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()


def now_s() -> float:
    """The time of a line."""
    return time()


def read(path: Path) -> list[Line]:
    """The lines of a kept history. A last one that was cut off is left out: nobody acted on it."""
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file if line.endswith(b"\n")]


class Verdict(StrEnum):
    """What is promised of an asking, from all that was answered."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    """For ever."""
    NOTHING = "nothing"
    """Every try was refused, and each said that nothing happened."""
    UNKNOWN = "unknown"


@dataclass(slots=True)
class Asking:
    """One request under one key, and all that was said of it, in the order of the answers."""

    merchant: int
    key: str
    op: str
    path: str
    request: str
    tries: int = 0
    answers: list[Line] = field(default_factory=list)

    @property
    def final(self) -> Line | None:
        """The first answer that says what became of it."""
        return next((line for line in self.answers if line.is_final), None)

    @property
    def verdict(self) -> Verdict:
        """What is promised of it."""
        final = self.final
        if final is not None:
            return Verdict.ACKNOWLEDGED if final.what is What.OK else Verdict.REFUSED
        in_doubt = len(self.answers) < self.tries or any(_leaves_doubt(line) for line in self.answers)
        return Verdict.UNKNOWN if in_doubt else Verdict.NOTHING

    @property
    def leaves_key_unused(self) -> bool:
        """Whether it was refused before any decision: nothing is stored, its key is as good as new (docs/api.md)."""
        final = self.final
        return final is not None and final.what is What.REFUSED and final.problem.code == "invalid_request"

    @property
    def was_unknown(self) -> bool:
        """Whether somebody had to ask again."""
        return any(line.what is What.UNKNOWN for line in self.answers)


def _leaves_doubt(line: Line) -> bool:
    return line.what is What.UNKNOWN or line.problem.code == "key_in_progress"


def askings(lines: Iterable[Line]) -> Iterator[Asking]:
    """Every request that has a key, in the order in which it was first sent."""
    found: dict[tuple[int, str, str, str], Asking] = {}
    sent: dict[int, Asking] = {}
    for line in lines:
        if not line.key:
            continue
        if line.what is What.INVOKE:
            name = (line.merchant, line.key, line.path, line.request)
            asking = found.get(name)
            if asking is None:
                asking = found[name] = Asking(
                    merchant=line.merchant, key=line.key, op=line.op, path=line.path, request=line.request
                )
            asking.tries += 1
            sent[line.number] = asking
        else:
            sent.pop(line.number).answers.append(line)
    unused = {(one.merchant, one.key) for one in found.values() if one.op != "reuse" and one.leaves_key_unused}
    for asking in found.values():
        if asking.op == "reuse" and asking.verdict is Verdict.ACKNOWLEDGED and (asking.merchant, asking.key) in unused:
            asking.op = "create"
        yield asking
