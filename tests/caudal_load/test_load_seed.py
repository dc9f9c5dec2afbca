"""A past: the story makes sense, its rows are what caudal would have written, and the books replay."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import psycopg
import pytest

from caudal.app.check import differences
from caudal.app.replay import replay
from caudal.connectors import DepositReport, spei
from caudal.kernel.context import Context
from caudal.kernel.ids import slot_of
from caudal.kernel.seal import Sealer
from caudal.ledger import transfer_id as ledgers_transfer_id
from caudal.merchants import first_merchant, first_operator
from caudal.payins.http.bank import deposit_id as caudals_deposit_id
from caudal.payins.model import Payer, body_of
from caudal.payins.rows import payin_of
from caudal.settlement.model import release_id as caudals_release_id
from caudal_load.seed import SeedFailed, seed
from caudal_load.seed.clabe import clabe_of
from caudal_load.seed.postings import transfer_id
from caudal_load.seed.rows import COLUMNS, Rows, deposit_id, release_id
from caudal_load.seed.seal import Seal
from caudal_load.seed.story import EXPIRY, Moment, Price, story

ENDS_AT = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
KEK = bytes(range(32))
PRICE = Price(fixed_minor=200, basis_points=150)
PAYIN = (
    "select id, book, version, status, reason, method, country, currency, amount_minor, received_minor, fee_minor,"
    " fee_plan, deposit_number, reference, detail, created_at, expires_at, paid_at, authorized_minor, captured_minor,"
    " refunded_minor, disputed_minor, available_on from payin"
)


def silent(text: str) -> None:
    """Progress that nobody reads."""


def told(count: int, slots: tuple[int, ...] = (1, 2, 3)) -> list[Moment]:
    begins_at = ENDS_AT - timedelta(days=60)
    return list(story(count, slots, PRICE, begins_at=begins_at, ends_at=ENDS_AT, event_seq=7))


def test_a_story_has_as_many_payins_as_were_asked_for_in_the_order_of_time() -> None:
    moments = told(1234)
    created = [payin for moment in moments for payin in moment.created]
    assert len(created) == len({payin.id for payin in created}) == 1234
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    assert moments[-1].at == ENDS_AT
    assert all(slot_of(UUID(int=payin.id)) == payin.slot for payin in created)


def test_every_payin_comes_to_one_end_or_is_pending() -> None:
    moments = told(2000)
    created = {payin.id: payin for moment in moments for payin in moment.created}
    settled = Counter(payin.id for moment in moments for payin in moment.settled)
    assert set(settled.values()) == {1}
    assert set(settled) == {id for id, payin in created.items() if payin.status != "pending"}
    assert {payin.status for payin in created.values()} == {"pending", "paid", "cancelled", "expired"}


def test_nothing_ends_before_it_began_or_at_another_time_than_it_says() -> None:
    for moment in told(2000):
        assert all(payin.created_at == moment.at for payin in moment.created)
        for payin in moment.settled:
            assert payin.created_at < moment.at
            assert payin.settled_at == moment.at
            assert (payin.status == "expired") == (moment.at >= payin.expires_at)
        assert all(payin.expires_at > ENDS_AT - EXPIRY for payin in moment.created if payin.status == "pending")


def test_a_deposit_number_is_made_of_the_event_that_created_the_payin() -> None:
    event_seq = 7
    for moment in told(500):
        for payin in moment.created:
            event_seq += 1
            assert payin.number == event_seq * 2
        event_seq += len(moment.settled)


def test_the_same_story_is_told_the_same_way() -> None:
    assert told(300) == told(300)


def test_every_line_has_the_columns_of_its_table() -> None:
    rows = Rows(event_seq=7, ends_at=ENDS_AT, seal=Seal(KEK))
    for moment in told(300):
        rows.write(moment)
    rows.write_releases()
    rows.write_accounts()
    taken = rows.take()
    assert set(taken) == set(COLUMNS)
    for table, lines in taken.items():
        widths = {line.count("\t") + 1 for line in lines.decode().splitlines()}
        assert widths == {len(COLUMNS[table].split(","))}, table


@pytest.mark.parametrize("number", [2, 14, 99_999_999_998])
def test_its_clabes_are_caudals(number: int) -> None:
    assert clabe_of(number) == spei.of_number("646180", number)


def test_its_derived_ids_are_caudals() -> None:
    report = DepositReport(
        provider="spei",
        tracking_key="SEED7",
        account="",
        amount_minor=1,
        currency="MXN",
        payer_name="",
        payer_bank="",
        paid_at=None,
    )
    day = date(2026, 11, 24)
    assert release_id(2, day) == caudals_release_id(2, "MXN", day).bytes
    id = caudals_deposit_id(report, live=False)
    assert deposit_id("SEED7") == id.bytes
    assert transfer_id(id.bytes, "payin.fee", 1) == ledgers_transfer_id(id, "payin.fee", 1).bytes


def test_what_it_seals_caudal_opens_and_finds() -> None:
    assert Sealer(KEK).open(Seal(KEK).seal(b"Ana", b"place"), b"place") == b"Ana"
    assert Seal(KEK).search_term(2, "email", "ana@example.com") == Sealer(KEK).search_term(
        2, "email", "ana@example.com"
    )


async def test_a_seeded_database_has_sound_books(database_url: str) -> None:
    seeded = await seed(database_url, 2500, merchants=3, kek=KEK, say=silent)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        assert [row async for row in differences(connection, 0)] == []
        replayed = await replay(connection, 0)
    assert replayed.differences == []
    assert replayed.transfers == seeded.transfers > 2500


async def test_what_had_happened_before_is_dated_back_before_the_past(context: Context, database_url: str) -> None:
    await first_operator(context)
    await first_merchant(context, "Ana", "MX")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await seed(database_url, 200, merchants=1, say=silent)
        assert [row async for row in differences(connection, 0)] == []


async def test_its_last_event_of_a_payin_shows_the_payin_as_the_api_does(context: Context, database_url: str) -> None:
    await seed(database_url, 600, merchants=2, kek=KEK, say=silent)
    rows = await context.rows(PAYIN)
    events = await context.rows("select subject, data from event order by seq")
    latest: dict[UUID, bytes] = dict(events)
    assert {row[3] for row in rows} == {"pending", "paid", "cancelled", "expired"}
    for row in rows:
        assert msgspec.json.decode(latest[row[0]]) == msgspec.to_builtins(body_of(payin_of(row)))


async def test_its_payers_can_be_opened(context: Context, database_url: str) -> None:
    await seed(database_url, 60, merchants=1, kek=KEK, say=silent)
    for id, sealed in await context.rows("select payin, sealed from payer"):
        assert msgspec.json.decode(context.sealer.open(sealed, id.bytes), type=Payer).name == "Ana Pérez"


async def test_a_database_with_payins_is_given_no_past(database_url: str) -> None:
    await seed(database_url, 60, merchants=1, say=silent)
    with pytest.raises(SeedFailed, match="already"):
        await seed(database_url, 60, merchants=1, say=silent)
