"""The API's process: uvicorn's sockets and signals, our own HTTP on them (`protocol.py`)."""

from __future__ import annotations

import gc
import signal
import socket
import sys

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from caudal.app.edge.protocol import EdgeProtocol
from caudal.app.edge.server import Server
from caudal.app.web import Web
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings

__all__ = ("EdgeProtocol", "serve")


def serve(settings: Settings) -> None:
    """Runs the API until SIGTERM or SIGINT; what was accepted is answered first. Exits 3 if it cannot begin."""
    context = Context(settings, name="web")
    web = Web(context)
    # Almost nothing of a request is a cycle; looking for them after every 700 objects cost a twentieth of the rate.
    # With thousands of requests inside, a look at 50,000 objects that live held everything up for 100 ms each second.
    gc.freeze()
    gc.set_threshold(500_000, 20, 20)
    config = uvicorn.Config(
        web,
        loop="uvloop",
        http=EdgeProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        backlog=2048,
    )
    server = Server(config, web, notice_s=settings.stop_notice_s, stop_s=settings.stop_s)

    def asked(*_: object) -> None:
        """Before uvicorn hears signals, and behind its end, when it raises them again: to be asked is no failure."""
        server.should_exit = True
        web.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, asked)
    try:
        server.run(sockets=[_bound(settings)])
    except OSError as error:
        print(f"caudal: cannot listen on {settings.host} port {settings.port}: {error.strerror}", file=sys.stderr)
        sys.exit(STARTUP_FAILURE)


def _bound(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.share_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((settings.host, settings.port))
    return listener
