"""After a run: what was promised against what is there."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg

from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import SPEI_CREATE
from caudal_load.tally import Tally
from caudal_load.verify import Batched, batched, judge, verify_by_api, verify_in_database
from tests.caudal_load.fake_caudal import FakeCaudal, running

TARGET = Target(host="127.0.0.1", port=8700)
IDS = [UUID(int=(1_800_000_000_000 << 80) + number) for number in range(400)]


def promised(count: int) -> tuple[Requests, Tally]:
    """A run in which request n was promised id n."""
    requests, tally = Requests(SPEI_CREATE, TARGET, ["sk_test_ana"]), Tally()
    for number in range(count):
        tally.acknowledge(number, IDS[number].hex.encode())
    return requests, tally


def test_all_there_once_is_neither_lost_nor_double() -> None:
    requests, tally = promised(3)
    verdict = judge(requests, tally, [(IDS[number], requests.token(number)) for number in (2, 0, 1)])
    assert (verdict.lost, verdict.doubled) == ((), ())


def test_a_promise_without_a_payin_is_lost() -> None:
    requests, tally = promised(3)
    verdict = judge(requests, tally, [(IDS[0], requests.token(0)), (IDS[2], requests.token(2))])
    assert verdict.lost == (requests.token(1),)


def test_a_promised_id_that_is_somebody_elses_payin_is_lost() -> None:
    requests, tally = promised(2)
    verdict = judge(requests, tally, [(IDS[0], requests.token(0)), (IDS[1], requests.token(0))])
    assert verdict.lost == (requests.token(1),)
    assert verdict.doubled == (requests.token(0),)


def test_a_reference_at_two_payins_is_double_even_if_only_one_was_acknowledged() -> None:
    requests, tally = promised(1)
    verdict = judge(requests, tally, [(IDS[0], requests.token(0)), (IDS[1], requests.token(0))])
    assert (verdict.lost, verdict.doubled) == ((), (requests.token(0),))


async def test_without_a_database_the_lists_of_every_merchant_are_read_to_their_end() -> None:
    requests, tally = promised(250)
    fake = FakeCaudal(payins=[(IDS[number], requests.token(number)) for number in range(250) if number != 7])
    fake.payins.append((IDS[300], requests.token(249)))
    async with running(fake):
        verdict = await verify_by_api(fake.url, ["sk_test_ana"], requests, tally)
    assert (verdict.lost, verdict.doubled) == ((requests.token(7),), (requests.token(249),))
    assert len(fake.asked) == 3


async def test_payins_from_long_before_the_run_are_not_read() -> None:
    requests, tally = promised(1)
    older = [(UUID(int=number << 80), f"older-{number}") for number in range(500)]
    fake = FakeCaudal(payins=[*older, (IDS[0], requests.token(0))])
    async with running(fake):
        verdict = await verify_by_api(fake.url, ["sk_test_ana"], requests, tally)
    assert (verdict.lost, len(fake.asked)) == ((), 1)


async def stand(database_url: str, payins: list[tuple[UUID, str]]) -> None:
    """Put payins into a shard of the database that is not its first."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("insert into shard (id) values (1)")
        for id, reference in payins:
            await connection.execute(
                "insert into payin (shard, id, book, version, status, method, country, currency, amount_minor,"
                " received_minor, fee_minor, fee_plan, reference, created_at, expires_at)"
                " values (1, %s, 2, 1, 'pending', 'spei', 'MX', 'MXN', 12050, 0, 0, 1, %s, now(), now())",
                (id, reference),
            )


async def test_in_the_database_every_shard_is_searched(database_url: str) -> None:
    requests, tally = promised(3)
    await stand(database_url, [(IDS[number], requests.token(number)) for number in range(3)])
    verdict = await verify_in_database(database_url, requests, tally)
    assert (verdict.lost, verdict.doubled) == ((), ())


async def test_in_the_database_what_is_lost_and_what_is_double_is_found(database_url: str) -> None:
    requests, tally = promised(3)
    other = Requests(SPEI_CREATE, TARGET, ["sk_test_ana"])
    await stand(
        database_url,
        [
            (IDS[0], requests.token(0)),
            (IDS[2], other.token(2)),
            (IDS[10], requests.token(7)),
            (IDS[11], requests.token(7)),
        ],
    )
    verdict = await verify_in_database(database_url, requests, tally)
    assert verdict.lost == (requests.token(1), requests.token(2))
    assert verdict.doubled == (requests.token(7),)


async def test_batches_of_the_measured_slices_are_counted_and_the_median_commands_is_known(database_url: str) -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for minutes, commands in enumerate((1, 7, 9, 64, 500)):
            await connection.execute(
                "insert into batch values (0, gen_random_uuid(), %s, 1, 0, 1, 0, %s)",
                (commands, noon + timedelta(minutes=minutes)),
            )
    minute = timedelta(minutes=1)
    found = await batched(database_url, [(noon + minute, noon + 3 * minute)])
    assert found == Batched(batches=3, commands=80, weighted_median=64) and found.mean == 26.667
    slices = [(noon, noon + 2 * minute), (noon + 9 * minute, noon + 10 * minute)]
    assert await batched(database_url, slices) == Batched(batches=3, commands=17, weighted_median=9)
    none = await batched(database_url, [(noon - minute, noon - minute)])
    assert none == Batched(batches=0, commands=0, weighted_median=None) and none.mean is None
