"""Logs: structured, one line an event, to standard error. Nothing of a body, a key or a payer is ever logged."""

from __future__ import annotations

import logging
import logging.config
from collections import Counter
from collections.abc import Mapping
from typing import Final

import structlog

from caudal.kernel.settings import Settings

_LOGGED: Final = Counter[str]()


def logged() -> Mapping[str, int]:
    """How many lines this process has logged, by level."""
    return {level: _LOGGED[level] for level in ("warning", "error", "critical")} | _LOGGED


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Standard error, and a count."""

    def emit(self, record: logging.LogRecord) -> None:
        _LOGGED[record.levelname.lower()] += 1
        super().emit(record)


def configure(settings: Settings, process: str) -> None:
    """Sets the process's logs up: JSON for machines, or coloured lines for people."""

    def named(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["process"] = process
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        named,
    ]
    last: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=False)
    if settings.log_json:
        last = structlog.processors.JSONRenderer()
    processors: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        last,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=processors)
    handler = _Handler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
