"""`caudal` whose card provider is at CARD_PROVIDER_URL: `python -m tests.faults.card_elsewhere up`.

The sandbox is one process for all providers, so it cannot be down for one of them alone. What this `up` starts, it
starts by way of this module too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from caudal.app import cli, demo, first
from caudal.app.children import Service
from caudal.app.up import own_services, up
from caudal.connectors import Links
from caudal.connectors.sandbox_protocol.client import ProviderClient
from caudal.kernel.settings import Settings, load


def services(settings: Settings) -> list[Service]:
    """The usual ones, caudal's own started by way of this module."""
    here = {"caudal": "tests.faults.card_elsewhere"}
    return [
        dataclasses.replace(service, command=[here.get(word, word) for word in service.command])
        for service in own_services(settings)
    ]


def elsewhere(made: Callable[..., None], address: str) -> Callable[..., None]:
    """Makes clients as before, the card's with another address."""

    def make(client: Any, context: Any, *arguments: Any) -> None:
        made(client, context, *arguments)
        if client.capabilities.method == "card":
            client._links = Links(msgspec.structs.replace(context.settings, sandbox_url=address))

    return make


if __name__ == "__main__":
    if sys.argv[1] == "up":
        sys.exit(asyncio.run(up(load(), prepare=first.prepare, show=demo.show_addresses, services=services)))
    os.environ.pop("CAUDAL_PROVIDERS", None)  # the sandbox alone: nobody else takes what it does not
    type.__setattr__(ProviderClient, "__init__", elsewhere(ProviderClient.__init__, os.environ["CARD_PROVIDER_URL"]))
    cli.main()
