"""Logs: structured, one line an event, to standard error. Nothing of a body, a key or a payer is ever logged."""

from __future__ import annotations

import logging
import logging.config

import structlog

from caudal.kernel.settings import Settings


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
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
