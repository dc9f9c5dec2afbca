"""What follows from a history: what is promised of each request, and how long after a kill the rate was back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caudal_load.faults.history import Asking, History, Line, Verdict, What, askings, read
from caudal_load.faults.model import Fault
from caudal_load.faults.recovery import recoveries

REFUSED = json.dumps({"code": "forbidden_transition", "retry": "no"})
LATER = json.dumps({"code": "overloaded", "retry": "after"})
IN_PROGRESS = json.dumps({"code": "key_in_progress", "retry": "after"})


def line(what: What, number: int, answer: str = "", **changed: object) -> Line:
    said: dict[str, object] = {"at_s": float(number), "client": "c", "op": "create", "merchant": 0, "key": "k"}
    said |= {"path": "/v1/payins", "number": number, "what": what, "answer": answer} | changed
    return Line(**said)  # type: ignore[arg-type]


def asking(*answers: Line | None) -> Asking:
    """One request that was sent once for each answer; None: none came."""
    lines = []
    for number, answer in enumerate(answers):
        lines.append(line(What.INVOKE, number, request="{}"))
        lines += [answer] if answer is not None else []
    [found] = askings(lines)
    return found


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([line(What.OK, 0, "{}", status=201)], Verdict.ACKNOWLEDGED),
        ([line(What.REFUSED, 0, REFUSED)], Verdict.REFUSED),
        ([line(What.REFUSED, 0, LATER)], Verdict.NOTHING),
        ([line(What.REFUSED, 0)], Verdict.NOTHING),
        ([line(What.REFUSED, 0, IN_PROGRESS)], Verdict.UNKNOWN),
        ([line(What.UNKNOWN, 0)], Verdict.UNKNOWN),
        ([None], Verdict.UNKNOWN),
        ([line(What.UNKNOWN, 0), line(What.REFUSED, 1, LATER)], Verdict.UNKNOWN),
        ([line(What.UNKNOWN, 0), line(What.REFUSED, 1, REFUSED)], Verdict.REFUSED),
        ([line(What.UNKNOWN, 0), line(What.OK, 1, "{}", status=201)], Verdict.ACKNOWLEDGED),
        ([line(What.REFUSED, 0, IN_PROGRESS), line(What.OK, 1, "{}", status=201)], Verdict.ACKNOWLEDGED),
    ],
)
def test_what_is_promised_follows_from_all_answers(answers: list[Line | None], verdict: Verdict) -> None:
    assert asking(*answers).verdict is verdict


def test_two_requests_under_one_key_are_two_askings() -> None:
    lines = [line(What.INVOKE, 0, request="{}"), line(What.INVOKE, 1, request='{"amount":1}')]
    lines += [line(What.OK, 1, "{}", status=201), line(What.REFUSED, 0, REFUSED)]
    assert [found.verdict for found in askings(lines)] == [Verdict.REFUSED, Verdict.ACKNOWLEDGED]


def test_a_history_is_read_as_it_was_written_but_for_a_line_that_was_cut_off(tmp_path: Path) -> None:
    path, lines = tmp_path / "history.jsonl", [line(What.INVOKE, 0, request="{}"), line(What.UNKNOWN, 0)]
    history = History(path)
    for one in lines:
        history.add(one)
    history.close()
    with path.open("ab") as file:
        file.write(b'{"at_s":3')
    assert read(path) == lines == history.lines


def answered(*spans: tuple[float, float, float]) -> list[Line]:
    """Answers at so many a second from and to these times."""
    return [
        line(What.OK, 0, at_s=begin + place / rate)
        for begin, end, rate in spans
        for place in range(round((end - begin) * rate))
    ]


KILL = Fault(at_s=5.0, kind="kill", target="web", for_s=0.0)


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([(100.0, 105.0, 200.0), (107.0, 120.0, 200.0)], 2.5),
        ([(100.0, 105.0, 200.0), (106.0, 108.0, 100.0), (108.0, 120.0, 180.0)], 3.5),
        ([(100.0, 120.0, 200.0)], 0.5),
        ([(100.0, 105.0, 200.0), (106.0, 120.0, 100.0)], None),
    ],
)
def test_the_rate_is_back_when_half_a_second_has_nine_tenths_of_the_former_one(
    spans: list[tuple[float, float, float]], seconds: float | None
) -> None:
    [found] = recoveries([KILL], 100.0, 120.0, answered(*spans))
    assert (found.process, found.former_per_s) == ("web", 200.0)
    assert found.seconds == (None if seconds is None else pytest.approx(seconds, abs=0.11))


def test_only_kills_of_what_merchants_wait_for_count() -> None:
    others = [Fault(at_s=5.0, kind="kill", target="sandbox", for_s=0.0)]
    others += [Fault(at_s=5.0, kind="pause", target="web", for_s=1.0)]
    assert recoveries(others, 100.0, 120.0, answered((100.0, 120.0, 200.0))) == []


def test_a_key_whose_first_request_was_invalid_is_free_for_another() -> None:
    invalid = json.dumps({"code": "invalid_request", "retry": "no"})
    lines = [line(What.INVOKE, 0, request="{}", op="refund"), line(What.REFUSED, 0, invalid, op="refund")]
    lines += [line(What.INVOKE, 1, request='{"amount":1}', op="reuse"), line(What.OK, 1, "{}", status=201, op="reuse")]
    assert [found.op for found in askings(lines)] == ["refund", "create"]
    lines[1] = line(What.REFUSED, 0, REFUSED, op="refund")
    assert [found.op for found in askings(lines)] == ["refund", "reuse"]
