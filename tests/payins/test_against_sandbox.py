"""`caudal check --against-sandbox`: what of a payin is held, taken and given back, here and in the provider's books."""

from __future__ import annotations

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from caudal.app.check import check
from caudal.kernel.context import Context
from tests.conftest import settings_of
from tests.payins.cast import Merchant
from tests.payins.desk import Desk


def line(payin: dict[str, Any], account: str, **sums: int) -> dict[str, Any]:
    """A payment as the provider states it."""
    amounts = {"held": 0, "captured": 0, "refunded": 0, "disputed": 0} | sums
    key, names = payin["id"].removeprefix("payin_"), {"provider": "sandbox", "account": account}
    return {"key": key, **names, "currency": payin["currency"], **amounts}


async def compared(database_url: str, lines: list[dict[str, Any]]) -> int:
    """The exit status against a sandbox whose provider says this and whose bank says nothing."""
    said = {"bank": "", "provider": "".join(json.dumps(one) + "\n" for one in lines)}

    async def statement(request: web.Request) -> web.Response:
        return web.Response(text=said[request.match_info["who"]])

    app = web.Application()
    app.add_routes([web.get("/v1/{who}/statement", statement)])
    async with TestServer(app) as server:
        settings = settings_of(database_url, sandbox_url=str(server.make_url("")).rstrip("/"))
        return await check(settings, replay=False, against_sandbox=True)


async def test_a_hold_that_stays_at_the_provider_is_a_difference(
    ana: Merchant, desk: Desk, context: Context, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, part, final, given_up = [await ana.card(capture="manual") for _ in range(4)]
    assert (await ana.capture(part, 4_000)).status == 201
    assert (await ana.capture(final, 4_000, final=True)).status == 201
    assert (await ana.cancel(given_up)).status == 200
    [(account,)] = await context.rows("select distinct (book / 2)::text from payin")
    said = [
        line(whole, account, held=10_000),
        line(part, account, held=6_000, captured=4_000),
        line(final, account, captured=4_000),
        line(given_up, account),
    ]
    assert await compared(database_url, said) == 0
    for one in said:
        capsys.readouterr()
        assert await compared(database_url, [other | {"held": 10} if other is one else other for other in said]) == 1
        assert f"WRONG sandbox provider: {one['key']}" in capsys.readouterr().out
    assert await compared(database_url, said[1:]) == 1, "what we hold and the provider does not know"
