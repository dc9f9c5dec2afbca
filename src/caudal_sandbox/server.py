"""Puts the bank and the provider together and runs them until told to stop."""

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from caudal_sandbox.bank import api as bank_api
from caudal_sandbox.bank import books as bank_books
from caudal_sandbox.bank import pages as bank_pages
from caudal_sandbox.bank.books import BookRefusal
from caudal_sandbox.bank.callback import BankOutbox
from caudal_sandbox.bank.refusals import of_refusal as of_book_refusal
from caudal_sandbox.bank.verbs import Bank
from caudal_sandbox.courier import Courier
from caudal_sandbox.journal import Journal
from caudal_sandbox.problems import Refusals, as_problems
from caudal_sandbox.provider import api as provider_api
from caudal_sandbox.provider import books as provider_books
from caudal_sandbox.provider import pages as provider_pages
from caudal_sandbox.provider import payers
from caudal_sandbox.provider.outbox import ProviderOutbox
from caudal_sandbox.provider.refusals import ProviderRefusal
from caudal_sandbox.provider.refusals import of_refusal as of_provider_refusal
from caudal_sandbox.provider.trouble import Before
from caudal_sandbox.provider.verbs import Provider

BODY_MAX = 64 * 1024
FAREWELL_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says; port 0 is any free one. `url` is where payers find the sandbox, if not there."""

    host: str
    port: int
    url: str | None
    data: Path
    caudal_url: str
    spei_secret: bytes
    provider_secret: bytes
    concurrency: int


async def serve(options: Options) -> None:
    """Run the sandbox; prints its address when it is ready. Ends on SIGTERM or SIGINT, leaving nothing half done."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bank = await _open_bank(options)
    provider = await _open_provider(options)
    await bank.courier.start()
    await provider.courier.start()
    runner = web.AppRunner(application(bank, provider), access_log=None, shutdown_timeout=FAREWELL_S)
    try:
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        provider.url = options.url or f"http://{shown}:{port}"
        provider.timers.start()
        print(f"caudal-sandbox: listening on http://{shown}:{port}", flush=True)
        await stop.wait()
        logging.getLogger(__name__).info("stopping")
    finally:
        # First nobody comes in, then nothing goes out, then the books close.
        await runner.cleanup()
        await provider.timers.stop()
        for part in (bank, provider):
            await part.courier.stop()
            await part.journal.close()


def application(bank: Bank, provider: Provider) -> web.Application:
    """List the routes."""
    refusals: Refusals = {BookRefusal: of_book_refusal, ProviderRefusal: of_provider_refusal}
    app = web.Application(middlewares=[as_problems(refusals)], client_max_size=BODY_MAX)
    app[bank_api.BANK] = bank
    app[provider_api.PROVIDED] = provider
    app[provider_api.STRUCK] = Before()
    app.add_routes([*provider_api.routes(), *payers.routes(), *provider_pages.routes()])
    app.add_routes([*bank_api.routes(), *bank_pages.routes()])
    return app


async def _open_bank(options: Options) -> Bank:
    journal = await asyncio.to_thread(Journal, options.data, "bank", bank_books.SCHEMA)
    courier = Courier(journal, BankOutbox(options.spei_secret), options.caudal_url, options.concurrency)
    return Bank(journal, courier, options.spei_secret)


async def _open_provider(options: Options) -> Provider:
    journal = await asyncio.to_thread(Journal, options.data, "provider", provider_books.SCHEMA)
    courier = Courier(
        journal, ProviderOutbox("sandbox", options.provider_secret), options.caudal_url, options.concurrency
    )
    return Provider(journal, courier, options.provider_secret)
