"""`caudal-sandbox`: the command line of the sandbox."""

import argparse
import logging
import os
import re
import secrets
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from caudal_sandbox.journal import BooksInUse
from caudal_sandbox.server import Options, serve

SPEI_SECRET = "CAUDAL_SANDBOX_SPEI_SECRET"
PROVIDER_SECRET = "CAUDAL_SANDBOX_PROVIDER_SECRET"
PROVIDERS = "CAUDAL_SANDBOX_PROVIDERS"
FIRST = "sandbox"
NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")

DESCRIPTION = """\
The outside world in a box, with play money: a bank on SPEI, and providers of card, pix, boleto, pse and
mpesa, all with storage and books of their own.

A person pays at      http://HOST:PORT/pay (SPEI), and where a payment's payer_page says
A program pays with   POST /v1/bank/transfers, POST /v1/provider/payers/KEY/pay
caudal calls          POST /v1/provider/METHOD/payments
The books             GET  /v1/bank/books, /v1/bank/statement, /v1/provider/statement

What is acknowledged is on disk. Callbacks that caudal has not answered are kept and sent again, also
after a restart. Amounts and card numbers order every outcome, delay and fault,
POST /v1/provider/conditions a whole provider's outage.
The whole protocol: docs/sandbox-protocol.md."""

EPILOG = f"""\
environment:
  {SPEI_SECRET}      the secret shared with caudal that signs the bank's callbacks
                                  and caudal's returns (required)
  {PROVIDER_SECRET}  the same for the provider and its callbacks (one of its own for
                                  each start if it is not set: then nobody can call)
  {PROVIDERS}        more providers, NAME=SECRET separated by commas, each with books
                                  of its own, at http://HOST:PORT/providers/NAME

example:
  {SPEI_SECRET}=quiet-river {PROVIDER_SECRET}=still-lake \\
      caudal-sandbox --port 8701 --data var/sandbox --caudal-url http://127.0.0.1:8700

SIGTERM and Ctrl-C finish what is in flight and exit with 0. Exit code 2: wrong usage; 1: the books or
the port cannot be had."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sandbox until it is stopped."""
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
    parser.add_argument("--url", type=_url, help="where payers find this sandbox (default: where it listens)")
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
    spei_secret = os.environ.get(SPEI_SECRET, "")
    if not spei_secret:
        parser.error(f"{SPEI_SECRET} is not set: the secret shared with caudal is required")
    provider_secret = os.environ.get(PROVIDER_SECRET, "") or secrets.token_hex(32)
    try:
        others = _providers(os.environ.get(PROVIDERS, ""))
    except ValueError as error:
        parser.error(f"{PROVIDERS}: {error}")
    return Options(
        host=given.host,
        port=given.port,
        url=given.url,
        data=given.data,
        caudal_url=given.caudal_url,
        spei_secret=spei_secret.encode(),
        providers=((FIRST, provider_secret.encode()), *others),
        concurrency=given.concurrency,
    )


def _providers(text: str) -> list[tuple[str, bytes]]:
    """Names and secrets of the providers beside the first. Raises ValueError."""
    found = list[tuple[str, bytes]]()
    for one in filter(None, (part.strip() for part in text.split(","))):
        name, _, secret = one.partition("=")
        if not NAME.fullmatch(name) or not secret:
            raise ValueError(f"{name!r} must be NAME=SECRET, the name of lower-case letters, digits, _ and -")
        if name in (FIRST, *(known for known, _ in found)):
            raise ValueError(f"there are two providers called {name}")
        found.append((name, secret.encode()))
    return found


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("it must look like http://127.0.0.1:8700")
    return text
