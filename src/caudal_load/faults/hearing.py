"""The merchants' server: every message that comes is written down, with the endpoint that it came to.

Each signature is verified (Standard Webhooks); a message that does not verify is no delivery.
"""

import re
from pathlib import Path
from time import time
from typing import BinaryIO

import msgspec

from caudal_load.receiver import Receiver


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message, in the order of arrival. `endpoint` is its place in the cast."""

    at_s: float
    endpoint: int
    sequence: int
    subject: str
    type: str


class _Message(msgspec.Struct):
    sequence: str
    subject: str
    type: str


class Ears(Receiver):
    """All endpoints of a run; their paths are `/0`, `/1`, …"""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.heard: list[Heard] = []
        self._file: BinaryIO = path.open("ab")

    def take(self, head: bytes, body: bytes) -> None:
        """Write one message down; those that come when the run is over are of no interest."""
        if self._file.closed:
            return
        path = re.match(rb"POST /(\d+) ", head)
        try:
            message = msgspec.json.decode(body, type=_Message)
            sequence = int(message.sequence)
        except (msgspec.MsgspecError, ValueError):
            path = None
        if path is None or not self._is_signed(head, body):
            self.unreadable += 1
            return
        heard = Heard(at_s=time(), endpoint=int(path[1]), sequence=sequence, subject=message.subject, type=message.type)
        self.heard.append(heard)
        self._file.write(msgspec.json.encode(heard) + b"\n")

    async def end(self) -> None:
        """Listen no more."""
        await super().end()
        self._file.close()


def read(path: Path) -> list[Heard]:
    """The messages of a kept run."""
    decoder = msgspec.json.Decoder(Heard)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file if line.endswith(b"\n")]
