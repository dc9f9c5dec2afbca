"""`caudal-sandbox`: the command line of the bank."""

import argparse
import logging
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from caudal_sandbox.journal import BooksInUse
from caudal_sandbox.server import Options, serve

SECRET = "CAUDAL_SANDBOX_SPEI_SECRET"

DESCRIPTION = """\
A bank in a box, with play money: payers transfer to a CLABE, and the bank tells caudal by a signed
callback, as a bank on SPEI would. It has a process, storage and books of its own.

A person pays at      http://HOST:PORT/pay
A program pays with   POST /v1/bank/transfers
The books             GET  /v1/bank/books, GET /v1/bank/statement

What is acknowledged is on disk. Callbacks that caudal has not answered are kept and sent again, also
after a restart. A transfer may ask for trouble: copies, delays, missing and false signatures.
The whole protocol: docs/sandbox-protocol.md."""

EPILOG = f"""\
environment:
  {SECRET}  the secret shared with caudal that signs callbacks and returns (required)

example:
  {SECRET}=quiet-river caudal-sandbox --port 8701 --data var/sandbox \\
      --caudal-url http://127.0.0.1:8700

SIGTERM and Ctrl-C finish what is in flight and exit with 0. Exit code 2: wrong usage; 1: the books or
the port cannot be had."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sandbox bank until it is stopped."""
    options = _options(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        uvloop.run(serve(options))
    except (BooksInUse, sqlite3.Error, OSError) as error:
        sys.exit(f"caudal-sandbox: {error}")


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="caudal-sandbox",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", default=8701, type=_port, help="port, 0 for any free one (default: %(default)s)")
    parser.add_argument(
        "--data", default=Path("var/sandbox"), type=Path, help="directory of the books (default: %(default)s)"
    )
    parser.add_argument(
        "--caudal-url", default="http://127.0.0.1:8700", type=_url, help="where caudal answers (default: %(default)s)"
    )
    parser.add_argument(
        "--concurrency", default=32, type=int, choices=range(1, 513), metavar="N",
        help="callbacks on their way at once, 1 to 512 (default: %(default)s)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    secret = os.environ.get(SECRET, "")
    if not secret:
        parser.error(f"{SECRET} is not set: the secret shared with caudal is required")
    return Options(
        host=given.host,
        port=given.port,
        data=given.data,
        caudal_url=given.caudal_url,
        secret=secret.encode(),
        concurrency=given.concurrency,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("it must look like http://127.0.0.1:8700")
    return text
