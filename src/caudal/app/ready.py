"""How a process tells whoever started it that it is ready: by a pipe of its own, whose end is CAUDAL_READY_FD.

A line says what it lacks, another one whenever that changes, and the last one is READY. A worker says BEGUN when it
takes work and its loops have yet to turn: that will do where nobody else is there to take it. Nobody else can say it:
API processes share a port, where a former one answers `/readyz` for the new one, and workers have none.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from typing import Final

from caudal.kernel.settings import SettingError

BEGUN: Final = "begun"
READY: Final = "ready"
_READ_BYTES: Final = 65_536


class Told:
    """The end that is read. `lacks` is the last that the process has said before READY, of what it lacks."""

    def __init__(self) -> None:
        self._end, self.descriptor = os.pipe()
        self._rest = b""
        self.has_begun, self.is_ready, self.lacks = False, False, ""
        asyncio.get_running_loop().add_reader(self._end, self._hear)

    def handed_over(self) -> None:
        """The process has its end: it is the only one now, so that its death is heard."""
        os.close(self.descriptor)

    def _hear(self) -> None:
        heard = os.read(self._end, _READ_BYTES)
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            if line == BEGUN.encode():
                self.has_begun = True
                continue
            self.is_ready = line == READY.encode()
            self.lacks = "" if self.is_ready else line.decode(errors="replace")
        if not heard or self.is_ready:
            self.close()

    def close(self) -> None:
        """Nothing more is heard."""
        if self._end >= 0:
            asyncio.get_running_loop().remove_reader(self._end)
            os.close(self._end)
            self._end = -1


class Telling:
    """The end that is written, where somebody waits for this process. Raises SettingError where it cannot be."""

    def __init__(self, descriptor: int | None) -> None:
        if descriptor is not None:
            try:
                how = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            except OSError as error:
                raise SettingError(f"CAUDAL_READY_FD={descriptor}: {error.strerror}") from error
            if descriptor < 3:
                raise SettingError(f"CAUDAL_READY_FD={descriptor}: 3 or more is needed, for it is closed at the end")
            if how & os.O_ACCMODE == os.O_RDONLY:
                raise SettingError(f"CAUDAL_READY_FD={descriptor}: it can only be read")
        self._descriptor, self._said = descriptor, ""

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits and has not heard READY."""
        return self._descriptor is not None

    def say(self, line: str) -> None:
        """What is lacking, BEGUN, or READY, the last word."""
        if self._descriptor is None or line == self._said:
            return
        self._said = line
        with suppress(BrokenPipeError):
            os.write(self._descriptor, " ".join(line.split()).encode() + b"\n")
        if line == READY:
            os.close(self._descriptor)
            self._descriptor = None
