"""Whole answers from a stream, for commands that wait for each before they ask again."""

import asyncio

from caudal_load.caudal_up import CaudalFailed
from caudal_load.response import parse


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer. Raises CaudalFailed for one that breaks off."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"
    )
    whole = head + await reader.readexactly(length)
    found = parse(whole)
    if found is None or found.end != len(whole):
        raise CaudalFailed("an answer that is not whole")
    return found.status, whole[found.body_start :]
