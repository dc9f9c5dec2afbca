"""What every command does around its work: Ctrl-C ends it in order, a failure is one line, progress goes aside."""

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import aiohttp
import psycopg
import typer
import uvloop

from caudal_load.caudal_up import BadSettings, CaudalFailed
from caudal_load.cluster import ServerFailed
from caudal_load.crew import CrewFailed
from caudal_load.faults.model import BadFaults
from caudal_load.merchants import SetupFailed
from caudal_load.plan import BadPlan
from caudal_load.scenarios import BadScenario
from caudal_load.seed import SeedFailed

_FAILURES = (
    CaudalFailed,
    CrewFailed,
    SetupFailed,
    SeedFailed,
    ServerFailed,
    OSError,
    psycopg.Error,
    aiohttp.ClientError,
)
_MISTAKES = (BadPlan, BadFaults, BadScenario, BadSettings)

T = TypeVar("T")


async def at_once(work: Callable[[], T]) -> T:
    """What waits for nothing, as what is carried out."""
    return work()


def carried_out(work: Coroutine[Any, Any, T]) -> T:
    """Do it, and say in one line what went wrong if something did."""
    try:
        return uvloop.run(_interruptible(work))
    except _MISTAKES as error:
        raise typer.BadParameter(str(error)) from error
    except _FAILURES as error:
        print(f"caudal-load: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except asyncio.CancelledError as error:
        print("caudal-load: interrupted", file=sys.stderr)
        raise typer.Exit(130) from error


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Let Ctrl-C and a polite kill cancel the work, so that it ends the caudal that it started."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


_BEGAN_S = time.monotonic()


def say(text: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.monotonic() - _BEGAN_S:5.1f} s] {text}", file=sys.stderr)
