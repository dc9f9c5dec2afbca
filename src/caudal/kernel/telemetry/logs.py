"""Logs: structured, one line an event, to standard error, with the trace that it belongs to.

Nothing of a body, a key or a payer is ever logged: `redact.py` has the last word on every line, whoever wrote it.

    debug     nothing is wrong; for whoever looks for something
    info      what an operator may want to know afterwards: starts, ends, what was dropped
    warning   something failed and is tried again by itself
    error     a defect, or something that waits for a person
    critical  what ended the process
"""

from __future__ import annotations

import copy
import logging
import logging.config
import sys
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final

from caudal.kernel.settings import Settings
from caudal.kernel.telemetry import redact
from caudal.kernel.telemetry.traces import CURRENT

if TYPE_CHECKING:
    import structlog

_LOGGED: Final = Counter[str]()


def logged() -> Mapping[str, int]:
    """How many lines this process has logged, by level."""
    return {level: _LOGGED[level] for level in ("warning", "error", "critical")} | _LOGGED


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error, and a count."""

    def emit(self, record: logging.LogRecord) -> None:
        _LOGGED[record.levelname.lower()] += 1
        record = copy.copy(record)  # other handlers have it, too
        if isinstance(record.args, Mapping):
            record.args = redact.value(record.args)
        elif record.args:
            record.args = tuple(redact.value(one) for one in record.args)
        if record.name == "asyncio" and isinstance(record.msg, str):
            record.msg = record.msg.partition("\n")[0]  # behind it stand the values of whatever task it is about
        if isinstance(record.msg, BaseException):
            record.msg = redact.error(record.msg)
        super().emit(record)


def _last_words(kind: type[BaseException], raised: BaseException, trace: TracebackType | None) -> None:
    """What ends the process is a line as well, and no traceback with values in it."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, raised, trace)
        return
    logging.getLogger("caudal").critical("this ends the process", exc_info=(kind, raised, trace))


def _redacted(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The last word: whatever stands in a line by now."""
    raised = event.pop("exc_info", None)
    told: structlog.typing.EventDict = {
        name: redact.GONE if redact.is_personal(name) else redact.value(one) for name, one in event.items()
    }
    if isinstance(raised, tuple):
        raised = raised[1]
    if isinstance(raised, BaseException):
        told["exception"] = redact.trace_of(raised)
    return told


def _with_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Which trace and span it is about, where one is under way."""
    trace = CURRENT.get()
    if trace is not None:
        at, span = trace.place
        event["trace_id"], event["span_id"] = f"{at:032x}", f"{span:016x}"
    return event


def configure(settings: Settings, process: str) -> None:
    """Sets the process's logs up: JSON for machines, or coloured lines for people.

    Whoever logs nothing does without the library, which brings a terminal's: a fifth of a command's start.
    """
    import structlog

    def named(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        named,
        _with_trace,
    ]
    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=False)
    if settings.log_json:
        last = structlog.processors.JSONRenderer()
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _redacted,
        last,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors)
    handler = _Handler()
    handler.setFormatter(formatter)
    sys.excepthook = _last_words
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
