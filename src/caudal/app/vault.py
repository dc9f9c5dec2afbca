"""`caudal vault …`: for whoever may open the database and holds its keys."""

from __future__ import annotations

import asyncio

import typer

from caudal.app import running
from caudal.kernel.seal import SealError
from caudal.kernel.settings import SettingError
from caudal.vault import rewrap

vault = typer.Typer(no_args_is_help=True, help="Card numbers and the keys that they are sealed under.")


@vault.callback()
def _group() -> None:
    """Keeps `rewrap` a command of its own name, alone as it is."""


@vault.command("rewrap", epilog="Example: caudal vault rewrap")
def vault_rewrap() -> None:
    """Put every card's data key under today's CAUDAL_KEK.

    Needs CAUDAL_DATABASE_URL, CAUDAL_KEK and CAUDAL_KEK_FORMER, or a caudal up that runs here and the former key.
    Run it after CAUDAL_KEK has changed and every process knows the old one as CAUDAL_KEK_FORMER. Safe to run again and
    beside traffic. Exits 0 when no card needs a former key any more.
    """

    async def work() -> int:
        async with running.entered("vault") as context:
            return await rewrap(context)

    try:
        done = asyncio.run(work())
    except SealError as error:
        raise SettingError(str(error)) from error
    typer.echo(f"{done} cards rewrapped; none needs a former key")
