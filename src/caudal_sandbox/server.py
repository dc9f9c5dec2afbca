"""Puts the bank and the provider together and runs them until told to stop."""

import asyncio
import gc
import logging
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caudal_sandbox.bank import api as bank_api
from caudal_sandbox.bank import books as bank_books
from caudal_sandbox.bank import pages as bank_pages
from caudal_sandbox.bank.books import BookRefusal
from caudal_sandbox.bank.callback import BankOutbox
from caudal_sandbox.bank.refusals import of_refusal as of_book_refusal
from caudal_sandbox.bank.verbs import Bank
from caudal_sandbox.courier import Courier
from caudal_sandbox.http import Router
from caudal_sandbox.journal import Journal
from caudal_sandbox.listener import Listener
from caudal_sandbox.problems import Refusals, answering
from caudal_sandbox.provider import api as provider_api
from caudal_sandbox.provider import books as provider_books
from caudal_sandbox.provider import conditions, payers
from caudal_sandbox.provider import pages as provider_pages
from caudal_sandbox.provider.outbox import ProviderOutbox
from caudal_sandbox.provider.refusals import ProviderRefusal
from caudal_sandbox.provider.refusals import of_refusal as of_provider_refusal
from caudal_sandbox.provider.verbs import Provider


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
    refusals: Refusals = {BookRefusal: of_book_refusal, ProviderRefusal: of_provider_refusal}
    listener = Listener(router(bank, tuple(providers)), answering(refusals))
    try:
        host, port = await listener.open(options.host, options.port)
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
        await listener.close()
        for provider in providers:
            await provider.timers.stop()
        for courier in couriers:
            await courier.stop()
        for journal in (bank.journal, *(provider.journal for provider in providers)):
            await journal.close()


def router(bank: Bank, providers: tuple[Provider, ...]) -> Router:
    """List the routes. Payers find every payment at the first address, whoever has it."""
    desks = [
        conditions.Desk(provider=provider, everybody=(provider,) if number else providers)
        for number, provider in enumerate(providers)
    ]
    routes = [*bank_api.routes(bank), *bank_pages.routes(bank), *provider_pages.routes(desks[0])]
    for desk in desks:
        routes += [*provider_api.routes(desk), *payers.routes(desk), *conditions.routes(desk)]
    return Router(routes)


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
