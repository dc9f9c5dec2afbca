"""Puts the bank together and runs it until it is told to stop."""

import asyncio
import logging
import signal
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from caudal_sandbox import api, pages
from caudal_sandbox.bank import Bank
from caudal_sandbox.courier import Courier
from caudal_sandbox.journal import Journal
from caudal_sandbox.problems import as_problems

BODY_MAX = 64 * 1024
FAREWELL_S = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the command line says; port 0 is any free one."""

    host: str
    port: int
    data: Path
    caudal_url: str
    secret: bytes
    concurrency: int


async def serve(options: Options) -> None:
    """Run the bank; prints its address when it is ready. Ends on SIGTERM or SIGINT, leaving nothing half done."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = await asyncio.to_thread(Journal, options.data)
    courier = Courier(journal, options.caudal_url, options.secret, options.concurrency)
    await courier.start()
    runner = web.AppRunner(
        application(Bank(journal, courier, options.secret)), access_log=None, shutdown_timeout=FAREWELL_S
    )
    try:
        await runner.setup()
        site = web.TCPSite(runner, options.host, options.port, backlog=1024)
        await site.start()
        host, port = runner.addresses[0][:2]
        shown = f"[{host}]" if ":" in host else host
        print(f"caudal-sandbox: listening on http://{shown}:{port}", flush=True)
        await stop.wait()
        logging.getLogger(__name__).info("stopping")
    finally:
        # First nobody comes in, then nothing goes out, then the books close.
        await runner.cleanup()
        await courier.stop()
        await asyncio.to_thread(journal.close)


def application(bank: Bank) -> web.Application:
    """List the routes."""
    app = web.Application(middlewares=[as_problems], client_max_size=BODY_MAX)
    app[api.BANK] = bank
    app.add_routes([*api.routes(), *pages.routes()])
    return app
