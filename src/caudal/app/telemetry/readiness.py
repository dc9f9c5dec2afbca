"""When a process says that it is ready, to whoever started it and waits for it (`app/ready.py`).

Until its checks pass it begins nothing: an API process does not listen, a worker takes no work. So a successor that
lacks something takes nothing from those that are there. One that nobody waits for begins at once, and says by `/readyz`
what it lacks.
"""

from __future__ import annotations

import asyncio
from typing import Final

from caudal.app.ready import BEGUN, READY, Telling
from caudal.app.telemetry.health import health_of
from caudal.kernel.context import Context
from caudal.kernel.loops import Loops

_LOOK_S: Final = 0.05


class Readiness:
    """What one process tells of itself."""

    def __init__(self, context: Context) -> None:
        self._context, self._telling = context, Telling(context.settings.ready_fd)

    async def checked(self) -> bool:
        """Waits until the checks of `/readyz` pass. False if the process is asked to end before."""
        while self._telling.is_asked:
            if self._context.stopping:
                return False
            lacks = (await health_of(self._context)).lacks
            if not lacks:
                break
            self._telling.say(lacks)
            await asyncio.sleep(_LOOK_S)
        return True

    async def turned(self) -> None:
        """Waits until each loop has turned once as it should, and says that the process is ready."""
        self._telling.say(BEGUN)
        while self._telling.is_asked and not self._context.stopping:
            if not (lacks := "; ".join(self._context.once(Loops).unturned())):
                return self.ready()
            self._telling.say(lacks)
            await asyncio.sleep(_LOOK_S)
        return None

    def ready(self) -> None:
        """It does its work from now on."""
        self._telling.say(READY)
