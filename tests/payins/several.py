"""A process with three providers, and whoever is there to use them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from caudal.merchants.commands.callers import KeyCache
from tests.conftest import settings_of
from tests.payins.cast import Merchant

NAMES = ("acme", "bravo", "corto")
COSTS = {"acme": (40, 250), "bravo": (10, 300)}  # corto's nobody knows
_ENTRY = '[[provider]]\nname = "{name}"\nurl = "http://127.0.0.1:9"\nsecret = "{name}"\n'
_COST = '[[provider.cost]]\nmethod = "card"\ncurrency = "BRL"\nfixed_minor = {0}\nbasis_points = {1}\n'


@asynccontextmanager
async def three_providers(database_url: str, folder: Path, **changed: object) -> AsyncIterator[Context]:
    """A process whose configuration names them; `changed` are other settings of it."""
    file = folder / "providers.toml"
    entries = [_ENTRY.format(name=name) + (_COST.format(*COSTS[name]) if name in COSTS else "") for name in NAMES]
    file.write_text("".join(entries))
    async with Context(settings_of(database_url, providers=str(file), **changed), name="test") as opened:
        yield opened


async def merchant(context: Context) -> Merchant:
    """Ana, with a test key."""
    olga = await first_operator(context)
    return Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)


async def routed(ana: Merchant, *rules: dict[str, Any], **more: Any) -> str:
    """Keeps a profile of these rules and activates it; its id."""
    made = await ana.post("/v1/routing/profiles", {"name": "x", "rules": list(rules), **more})
    assert made.status == 201, made.body
    assert (await ana.post(f"/v1/routing/profiles/{made.json['id']}/activations")).status == 200
    ana.context.once(KeyCache)._known.clear()  # what a second does otherwise
    return str(made.json["id"])


def rule(name: str, by: str, when: dict[str, Any] | None = None, **choose: Any) -> dict[str, Any]:
    """A rule of a profile."""
    return {"name": name, "when": when or {}, "choose": {"by": by, **choose}}
