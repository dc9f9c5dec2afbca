"""The checks of `caudal-load faults` find nothing where nothing is wrong, and each finds the lie that it is for."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from caudal.connectors import registry
from caudal_load.faults import evidence as kept
from caudal_load.faults.checks import CHECKS, Harm, events, examine, states
from caudal_load.faults.evidence import Evidence
from tests.caudal_load.faults_story import Story, tell
from tests.house.tree import ROOT
from tests.payins.desk import Desk

pytestmark = pytest.mark.server

NUMBERS = itertools.count(1)
TOLD = "faults_told"


@pytest.fixture(scope="module")
def told(server_url: str) -> Iterator[Story]:
    """A run that went well, in a database that each test has a copy of."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {TOLD} template template_caudal".encode())
    with pytest.MonkeyPatch.context() as patch:
        desk = Desk()
        patch.setattr(registry, "_client", desk.counter)
        yield asyncio.run(tell(make_conninfo(server_url, dbname=TOLD), desk))


@pytest.fixture
def read(server_url: str, told: Story, tmp_path: Path) -> Callable[..., Evidence]:
    """What the checks see after some SQL has changed the rows."""

    def read_after(*lies: str) -> Evidence:
        name = f"faults_{next(NUMBERS)}"
        url = make_conninfo(server_url, dbname=name)
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f"create database {name} template {TOLD}".encode())
        with psycopg.connect(url, autocommit=True) as connection:
            for lie in lies:
                assert connection.execute(lie.encode()).rowcount > 0, lie
        asyncio.run(kept.rows_of(url, tmp_path))
        for file in ("history", "heard", "cast", "stuck", "statement", "bank"):
            (tmp_path / f"{file}.jsonl").write_bytes(b"")
        return told.evidence(kept.load(tmp_path))

    return read_after


def harms(found: Evidence, without: str = "") -> set[tuple[str, str]]:
    return {(one.check, one.harm) for one in examine(found, without)}


def test_a_run_that_went_well_passes_and_there_was_something_to_check(read: Callable[..., Evidence]) -> None:
    found = read()
    assert examine(found) == []
    assert len(found.transfers) > 8 and len(found.keys) > 8 and len(found.changes) > 5 and len(found.heard) > 10
    assert {row.kind for row in found.operations} == {"capture", "refund"}


LIES = {
    "an amount of a transfer": ("update transfer set amount_minor = amount_minor + 1 where seq = 3", "1"),
    "an entry's counter": ("update entry set credits_posted = credits_posted + 1 where seq = 3 and side = -1", "1"),
    "an entry that is gone": ("delete from entry where seq = 2 and side = 1", "1"),
    "a balance": ("update account set credits_posted = credits_posted + 1 where id & 63 = 1", "1"),
    "a stored answer": ("update key set answer = answer || ' ' where status = 201", "2"),
    "a payin's amount": ("update payin set amount_minor = amount_minor + 1 where reference = 'sold'", "2"),
    "a payin that is gone": ("delete from payin where reference = 'held'", "2"),
    "a capture's amount": ("update payin_operation set amount_minor = 3999 where amount_minor = 4000", "2"),
    "a payin of a refused request": ("update payin set reference = 'sold-other' where reference = 'sold'", "2"),
    "a second payin of a reference": ("update payin set reference = 'sold' where reference = 'held'", "3"),
    "a refund of nobody": (
        "insert into payin_operation select shard, gen_random_uuid(), book, payin, version, kind, status, reason,"
        " currency, amount_minor, fee_minor, from_pending_minor, from_available_minor, detail, sealed, created_at,"
        " settled_at from payin_operation where kind = 'refund'",
        "3",
    ),
    "a key that is there twice": (
        "insert into key select shard, book, digest, created_at + interval '1 second', version, fingerprint, subject,"
        " status, answer, deadline from key where status = 201",
        "3",
    ),
    "an event that happened twice": (
        "update event set type = 'payin.created' where type = 'payin.paid'"
        " and subject = (select id from payin where reference = 'sold')",
        "3",
    ),
    "money that the bank does not know": ("update deposit set amount_minor = 1, applied_minor = 1", "3"),
    "money that the provider does not know": (
        "update payin set received_minor = 9999 where reference = 'charged'",
        "3",
    ),
    "a fact that was a request": (
        "update transfer set flags = 0, amount_minor = 99999999 where code = 'payin.fee'",
        "4",
    ),
    "a payin that gives back more than it got": (
        "update payin_operation set amount_minor = 90000, from_pending_minor = 90000 - from_available_minor + fee_minor"
        " where kind = 'refund'",
        "4",
    ),
    "an event that is gone": ("delete from event where type = 'payin.cancelled'", "5"),
    "a change that the table forbids": ("update payin_change set event = 'time_passed' where event = 'captured'", "6"),
    "a state that nothing led to": ("update payin set status = 'expired' where reference = 'given up'", "6"),
    "a hash": ("update transfer set hash = sha256(hash) where seq = 4", "7"),
    "the code of a transfer": ("update transfer set code = 'payin.free' where code = 'payin.fee'", "7"),
    "the shard's chain": ("update shard set chain = sha256(chain) where id = 0", "7"),
}


@pytest.mark.parametrize(("lie", "check"), LIES.values(), ids=LIES)
def test_a_row_that_was_changed_is_seen(read: Callable[..., Evidence], lie: str, check: str) -> None:
    found = read(lie)
    assert check in {name for name, _ in harms(found)}
    assert check not in {name for name, _ in harms(found, check)}, "switched off, it is silent"


def line_of(found: Evidence, key: str, place: int = -1) -> int:
    """Where the last answer under a key stands."""
    return [at for at, line in enumerate(found.lines) if line.key == key][place]


def test_an_answer_that_was_altered_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    at = line_of(found, "sold", 1)
    found.lines[at] = msgspec.structs.replace(found.lines[at], answer=found.lines[at].answer.replace("12050", "12051"))
    assert ("2", Harm.LOST) in harms(found) and not harms(found, "2")


def test_two_answers_under_one_key_are_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    at = line_of(found, "back")
    other = json.loads(found.lines[at].answer) | {"note": "another"}
    found.lines[at] = msgspec.structs.replace(found.lines[at], answer=json.dumps(other))
    assert ("2", Harm.LOST) in harms(found)


def test_an_acknowledgement_that_was_called_a_refusal_is_seen(read: Callable[..., Evidence]) -> None:
    """Nothing was said to have happened, and it did: the payin is there, and its key."""
    found = read()
    at = line_of(found, "charged")
    problem = json.dumps({"code": "overloaded", "retry": "after"})
    found.lines[at] = msgspec.structs.replace(found.lines[at], what="refused", status=503, answer=problem)
    assert {("2", Harm.DOUBLED), ("3", Harm.DOUBLED)} <= harms(found)


def test_a_request_that_nobody_knows_the_end_of_is_stuck(read: Callable[..., Evidence]) -> None:
    found = read()
    at = line_of(found, "rest")
    del found.lines[at - 1 : at + 1]
    assert ("2", Harm.STUCK) in harms(found)


def test_a_used_key_that_took_another_request_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    at = line_of(found, "sold")
    first = found.lines[line_of(found, "sold", 1)]
    found.lines[at] = msgspec.structs.replace(first, number=found.lines[at].number, op="reuse")
    assert ("2", Harm.DOUBLED) in harms(found)


def test_an_answer_about_something_else_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    at = line_of(found, "sold", 0)
    found.lines[at] = msgspec.structs.replace(found.lines[at], request=found.lines[at].request.replace("12050", "500"))
    assert ("2", Harm.LOST) in harms(found)


def test_a_second_charge_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    found.statement.append(found.statement[0])
    assert ("3", Harm.DOUBLED) in harms(found) and not harms(found, "3")
    found = read()
    found.statement[0] = msgspec.structs.replace(found.statement[0], captured=20_000)
    assert ("3", Harm.DOUBLED) in harms(found)


def test_a_second_attempt_that_is_paid_too_is_seen_and_one_that_was_given_back_is_not(
    read: Callable[..., Evidence],
) -> None:
    found = read()
    [taken] = [line for line in found.statement if line.captured == 10_000 and not line.refunded]
    found.statement.append(msgspec.structs.replace(taken, key=f"{taken.key}-2", provider="norte"))
    assert harms(found) == {("3", Harm.DOUBLED)}
    found.statement[-1] = msgspec.structs.replace(found.statement[-1], captured=0)
    assert not harms(found)
    found.statement[-1] = msgspec.structs.replace(found.statement[-1], held=10_000)
    assert harms(found) == {("3", Harm.DOUBLED)}, "the payer has the money of one attempt held, and has paid in another"


def test_money_of_the_bank_that_we_do_not_have_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    found.bank.append(kept.BankLine(kind="transfer", amount=1, tracking_key="T2"))
    assert harms(found) == {("3", Harm.LOST)}


def test_a_message_that_never_came_is_seen(read: Callable[..., Evidence]) -> None:
    found = read()
    del found.heard[4]
    assert harms(found) == {("5", Harm.LOST)} and not harms(found, "5")


def test_a_message_that_overtook_another_is_seen_and_one_that_comes_again_is_not(read: Callable[..., Evidence]) -> None:
    found = read()
    subject = next(event.subject for event in found.events if event.type == "payin.paid")
    first, second = [place for place, message in enumerate(found.heard) if message.subject == subject][:2]
    found.heard.append(found.heard[first])
    assert not harms(found)
    found.heard[first], found.heard[second] = found.heard[second], found.heard[first]
    assert harms(found) == {("5", Harm.WRONG)}


def test_what_never_came_to_rest_is_stuck(read: Callable[..., Evidence]) -> None:
    found = read()
    found.stuck.append(kept.Stuck("a payin that is submitting", "1"))
    assert harms(found) == {("quiet", Harm.STUCK)}


def test_the_table_of_states_is_that_of_the_documentation() -> None:
    page = (ROOT / "docs" / "states.md").read_text()
    payins = page.partition("## A payin")[2].partition("## A dispute")[0]
    rows = [row.replace("`", "").split("|")[1:4] for row in payins.splitlines() if row.startswith("| `")]
    documented = {(state.strip(), event.strip(), then.strip()) for state, event, then in rows}
    ours = {(state, event, then) for state, events in states.TABLE.items() for event, then in events.items()}
    assert ours == documented and len(ours) > 30


def test_what_no_merchant_hears_of_is_what_the_documentation_says() -> None:
    rows = [row.split("|")[1:3] for row in (ROOT / "docs" / "events.md").read_text().splitlines() if row[:3] == "| ["]
    reader = {type.strip(" [").partition("`")[2].partition("`")[0]: who.strip() for type, who in rows}
    assert {type for type, who in reader.items() if who == "platform"} == {
        type for type in reader if type.startswith(events.PLATFORMS_OWN)
    }
    assert len(reader) > 30


def test_every_check_can_be_switched_off_by_its_number() -> None:
    assert list(CHECKS) == ["1", "2", "3", "4", "5", "6", "7"]
