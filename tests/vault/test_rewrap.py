"""The key-encryption key changes: old cards open beside new ones, and once rewrapped without the old key."""

from __future__ import annotations

import base64
import os
import subprocess
import sys

from caudal.kernel.context import Context
from caudal.vault import open_card, rewrap
from tests.conftest import KEK, settings_of
from tests.vault.cast import AMEX, VISA, Keeper

NEW = base64.b64encode(bytes(range(1, 33))).decode()


async def test_every_card_is_rewrapped_and_none_is_lost(ana: Keeper, database_url: str) -> None:
    made = [await ana.kept(), await ana.kept(number=AMEX, security_code="1234")]
    erased = await ana.kept()
    await ana.erase(erased["id"])
    async with Context(settings_of(database_url, kek=NEW, kek_former=KEK), name="test") as context:
        assert [open_card(context, await ana.record(m["id"])).number for m in made] == [VISA, AMEX]
        assert await rewrap(context) == 2
        assert await rewrap(context) == 0
    async with Context(settings_of(database_url, kek=NEW), name="test") as context:
        cards = [open_card(context, await ana.record(m["id"])) for m in made]
        assert [(card.number, card.security_code) for card in cards] == [(VISA, "123"), (AMEX, "1234")]
        keeper = Keeper(context)
        keeper.key = ana.key
        seen = (await keeper.get(f"/v1/instruments/{made[0]['id']}")).json
        assert seen["card"]["holder_name"] == "ANA PEREZ"


async def test_payers_data_of_before_still_opens(ana: Keeper, database_url: str) -> None:
    payin = (await ana.create(payer={"name": "Beto Ruiz"})).json
    async with Context(settings_of(database_url, kek=NEW, kek_former=KEK), name="test") as context:
        keeper = Keeper(context)
        keeper.key = ana.key
        assert (await keeper.get(f"/v1/payins/{payin['id']}")).json["payer"]["name"] == "Beto Ruiz"


def rewrapped(database_url: str, **settings: str) -> subprocess.CompletedProcess[str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    environment = {**outside, "CAUDAL_DATABASE_URL": database_url, **settings}
    command = [sys.executable, "-m", "caudal", "vault", "rewrap"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_the_command_says_what_it_did_and_what_it_lacks(ana: Keeper, database_url: str) -> None:
    await ana.kept()
    lacking = rewrapped(database_url, CAUDAL_KEK=NEW)
    assert lacking.returncode == 2 and "neither CAUDAL_KEK nor CAUDAL_KEK_FORMER" in lacking.stderr
    done = rewrapped(database_url, CAUDAL_KEK=NEW, CAUDAL_KEK_FORMER=KEK)
    assert (done.returncode, done.stdout) == (0, "1 cards rewrapped; none needs a former key\n"), done.stderr
