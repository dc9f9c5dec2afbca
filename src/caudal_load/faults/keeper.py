"""Keeps one process running, as a supervisor in production does: whatever ends it, it is started again.

It ends with the harness, however that ends: the kernel sends the signal that was named at its start.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

BACK_AFTER_S = 0.2
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Kept:
    """A process by the name `<kind>-<number>`, its output in `<name>.log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        logs: Path,
        *,
        at_our_end: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name, self.kind = name, name.rpartition("-")[0]
        self._command, self._environment, self._log = command, environment, logs / f"{name}.log"
        self._at_our_end = at_our_end
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.starts, self.ends = 0, list[int]()

    @property
    def pid(self) -> int | None:
        """Its process id; None between an end and the next start."""
        process = self._process
        return None if process is None or process.returncode is not None else process.pid

    async def start(self) -> None:
        """Start it and keep it running."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self, *, patience_s: float = 30.0, by: signal.Signals = signal.SIGTERM) -> None:
        """End it for good: politely, then by force."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number in (signal.SIGCONT, by):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        try:
            await asyncio.wait_for(process.wait(), patience_s)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            self.ends.append(await self._process.wait())
            await asyncio.sleep(BACK_AFTER_S)
            await self._spawn()

    async def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                env=dict(self._environment),
                start_new_session=True,
                preexec_fn=self._ends_with_us(),
            )
        self.starts += 1

    def _ends_with_us(self) -> Callable[[], None]:
        number, parent = int(self._at_our_end), os.getpid()

        def in_child() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, number)
            if os.getppid() != parent:
                os._exit(1)

        return in_child
