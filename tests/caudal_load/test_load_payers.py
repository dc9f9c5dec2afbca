"""Payers: one transfer for each payin that names a CLABE, until the bank has taken it."""

import asyncio
import json

from caudal_load.payers import Payers
from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import SPEI_CREATE
from tests.caudal_load.fake_caudal import CREATED, HANG_UP, Asked, FakeCaudal, http, running

ANSWER = b'{"id":"payin_1","amount":12050,"next_action":{"type":"show_bank_details","clabe":"646180110400000007"}}'


async def paid(fake: FakeCaudal, numbers: range) -> tuple[Payers, Requests]:
    """Tell payers of these requests and wait until all is paid."""
    async with running(fake):
        target = Target.of(fake.url)
        requests = Requests(SPEI_CREATE, target, ["sk_test_ana"])
        payers = Payers(target, requests)
        await payers.connect()
        for number in numbers:
            payers.told(number, ANSWER)
        async with asyncio.timeout(30):
            while not payers.idle:  # noqa: ASYNC110 - as the generator looks
                await asyncio.sleep(0.005)
        await payers.end()
    return payers, requests


async def taken(fake: FakeCaudal, asked: Asked) -> bytes:
    return http(CREATED, {"tracking_key": asked.json["tracking_key"]})


async def test_each_payin_is_paid_by_a_transfer_of_its_own() -> None:
    fake = FakeCaudal(taken)
    payers, requests = await paid(fake, range(50))
    assert [asked.target for asked in fake.asked] == ["/v1/bank/transfers"] * 50
    names = {asked.json["tracking_key"] for asked in fake.asked}
    assert names == {requests.token(number).replace("-", "") for number in range(50)}
    assert {(asked.json["clabe"], asked.json["amount"]) for asked in fake.asked} == {("646180110400000007", 12050)}
    assert payers.refused == 0


async def test_a_transfer_whose_answer_did_not_come_is_ordered_again() -> None:
    async def hangs_up_once(fake: FakeCaudal, asked: Asked) -> bytes:
        return HANG_UP if len(fake.asked) == 1 else await taken(fake, asked)

    fake = FakeCaudal(hangs_up_once)
    await paid(fake, range(1))
    assert len({asked.body for asked in fake.asked}) == 1 and len(fake.asked) == 2


async def test_a_refusal_is_kept_and_ends_it() -> None:
    async def refuses(fake: FakeCaudal, asked: Asked) -> bytes:
        return http("422 Unprocessable Content", {"code": "no"})

    payers, _ = await paid(FakeCaudal(refuses), range(2))
    assert (payers.refused, json.loads(payers.first_refusal)) == (2, {"code": "no"})


async def test_a_payin_without_a_clabe_is_not_theirs() -> None:
    async with running(FakeCaudal(taken)) as fake:
        target = Target.of(fake.url)
        payers = Payers(target, Requests(SPEI_CREATE, target, ["sk_test_ana"]))
        await payers.connect()
        payers.told(0, b'{"id":"payin_1","status":"paid"}')
        assert payers.idle
        await payers.end()
