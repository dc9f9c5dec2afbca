"""`money.in_flight`: what is held and not captured yet, and what goes back to who sent it, as one worker gathers it."""

from __future__ import annotations

from caudal.kernel.context import Context
from tests.app.test_watch import Figures, all_laws, until, watching
from tests.payins.cast import Merchant
from tests.payins.desk import Desk


def on_its_way(found: Figures) -> dict[tuple[str, ...], object]:
    return {name[2:]: value for name, value in found.items() if name[0] == "caudal.money.in_flight" and value}


async def test_what_is_held_and_what_goes_back(context: Context, database_url: str, ana: Merchant, desk: Desk) -> None:
    await ana.card(capture="manual")
    await ana.card()  # captured at once
    part = await ana.card(capture="manual")
    assert (await ana.capture(part, 4_000)).status == 201
    closed = await ana.card(capture="manual")
    assert (await ana.capture(closed, 4_000, final=True)).status == 201
    deposit = await ana.paid(await ana.payin(), 10_950)  # 9.50 MXN more than was asked for
    assert (await ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga)).status == 201
    async with watching(database_url) as worker:
        found = await until(worker, lambda found: all_laws(found) and len(on_its_way(found)) == 2)
    assert on_its_way(found) == {
        ("test", "BRL", "authorized"): 16_000,
        ("test", "MXN", "return"): 950,
    }
