"""Puts the bank and the provider together and runs them until told to stop."""

import asyncio
import gc
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from caudal_sandbox.provider import conditions, payers
from caudal_sandbox.provider import pages as provider_pages
from caudal_sandbox.provider.outbox import ProviderOutbox
from caudal_sandbox.provider.refusals import ProviderRefusal
from caudal_sandbox.provider.refusals import of_refusal as of_provider_refusal
from caudal_sandbox.provider.trouble import Before
from caudal_sandbox.provider.verbs import Provider

BODY_MAX = 64 * 1024
FAREWELL_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says; port 0 is any free one. `url` is where payers find the sandbox, if not there.

    `providers` are names and secrets; the first one stands at the sandbox's address, the others below `/providers/`.
    """

    host: str
    port: int
    url: str | None
    data: Path
    caudal_url: str
    spei_secret: bytes
    providers: tuple[tuple[str, bytes], ...]
    concurrency: int


async def serve(options: Options) -> None:
    """Run the sandbox; prints its address when it is ready. Ends on SIGTERM or SIGINT, leaving nothing half done."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    bank = await _open_bank(options)
    providers = [await _open_provider(options, number) for number in range(len(options.providers))]
    couriers: tuple[Courier[Any], ...] = (bank.courier, *(provider.courier for provider in providers))
    for courier in couriers:
        await courier.start()
    runner = web.AppRunner(application(bank, tuple(providers)), access_log=None, shutdown_timeout=FAREWELL_S)
    try:
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        for provider in providers:
            provider.url = options.url or f"http://{shown}:{port}"
            provider.timers.start()
        # What lives for long is not looked at again for cycles, of which a request leaves none.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        print(f"caudal-sandbox: listening on http://{shown}:{port}", flush=True)
        await stop.wait()
        logging.getLogger(__name__).info("stopping")
    finally:
        # First nobody comes in, then nothing goes out, then the books close.
        await runner.cleanup()
        for provider in providers:
            await provider.timers.stop()
        for courier in couriers:
            await courier.stop()
        for journal in (bank.journal, *(provider.journal for provider in providers)):
            await journal.close()


def application(bank: Bank, providers: tuple[Provider, ...]) -> web.Application:
    """List the routes. Payers find every payment at the first address, whoever has it."""
    refusals: Refusals = {BookRefusal: of_book_refusal, ProviderRefusal: of_provider_refusal}
    app = web.Application(middlewares=[as_problems(refusals)], client_max_size=BODY_MAX)
    app[bank_api.BANK] = bank
    _provide(app, providers[0], providers)
    app.add_routes([*provider_pages.routes(), *bank_api.routes(), *bank_pages.routes()])
    for provider in providers[1:]:
        own = web.Application()
        _provide(own, provider, (provider,))
        app.add_subapp(provider.place, own)
    return app


def _provide(app: web.Application, provider: Provider, everybody: tuple[Provider, ...]) -> None:
    """Let a provider answer caudal here, and payers of everybody's payments."""
    app[conditions.PROVIDED], app[provider_api.ALL] = provider, everybody
    app[provider_api.STRUCK], app[conditions.FARING] = Before(), conditions.Faring()
    app.add_routes([*provider_api.routes(), *payers.routes(), *conditions.routes()])


async def _open_bank(options: Options) -> Bank:
    journal = await asyncio.to_thread(Journal, options.data, "bank", bank_books.SCHEMA)
    courier = Courier(journal, BankOutbox(options.spei_secret), options.caudal_url, options.concurrency)
    return Bank(journal, courier, options.spei_secret)


async def _open_provider(options: Options, number: int) -> Provider:
    name, secret = options.providers[number]
    books, place = (f"provider-{name}", f"/providers/{name}") if number else ("provider", "")
    journal = await asyncio.to_thread(Journal, options.data, books, provider_books.SCHEMA)
    courier = Courier(journal, ProviderOutbox(name, secret), options.caudal_url, options.concurrency)
    return Provider(journal, courier, secret, name=name, place=place)
