"""Trouble on a link: the proxy makes it, and counts whom it met."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, until
from caudal_load.faults.model import Fault
from caudal_load.faults.proxy import Address, Link
from caudal_load.faults.trouble import COMMITTED, Trouble, trouble_of

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole


@contextlib.asynccontextmanager
async def troubled(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """From now on the link is wrong; at the end what was broken is reset, and what was held back goes on."""
    link = world.links[fault.target]
    await until(lambda: link.trouble is None, EVIDENCE_S * 2)
    marker = COMMITTED if fault.target == "database" else None
    trouble = trouble_of(fault.kind, fault.parameters, marker, int(fault.at_s * 1e3))
    await link.begin(trouble)
    refused = trouble.refuses and await _is_refused(link.address)
    try:
        yield
        if not trouble.refuses:
            await until(lambda: trouble.struck > 0, EVIDENCE_S)
    finally:
        await link.end(trouble)
    if trouble.struck or refused:
        seen.text = _told(trouble, link)


def _told(trouble: Trouble, link: Link) -> str:
    if trouble.refuses:
        return f"{trouble.struck} connections were reset and a new one refused at {link.address}"
    if trouble.resets:
        return f"{trouble.struck} connections were reset at a message"
    if trouble.loses_answers:
        return f"{trouble.struck} answers were dropped"
    return f"{trouble.struck} bytes were {'swallowed' if trouble.swallows else 'held back'}"


async def _is_refused(address: Address) -> bool:
    try:
        if isinstance(address, Path):
            _, writer = await asyncio.open_unix_connection(address)
        else:
            _, writer = await asyncio.open_connection(*address)
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    writer.close()
    return False
