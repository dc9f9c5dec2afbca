"""Writes the little YAML that Prometheus reads: maps, lists, strings and numbers. Nothing here reads any."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_WORDS: Final = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}


def written(value: Any, indent: int = 0) -> str:
    """A map or a list as YAML, which ends with a newline."""
    pad = " " * indent
    if isinstance(value, dict):
        return "".join(f"{pad}{key}:{_behind(part, indent + 2)}" for key, part in value.items())
    if isinstance(value, list):
        return "".join(f"{pad}- {written(part, indent + 2).lstrip()}" if isinstance(part, dict | list)
                       else f"{pad}- {_scalar(part)}\n" for part in value)  # fmt: skip
    raise TypeError(f"{type(value).__name__} is neither a map nor a list")


def _behind(value: Any, indent: int) -> str:
    if isinstance(value, dict | list):
        return f"\n{written(value, indent)}" if value else f" {'{}' if isinstance(value, dict) else '[]'}\n"
    if isinstance(value, str) and ("\n" in value or '"' in value):
        lines = "".join(f"{' ' * indent}{line}\n" for line in value.splitlines())
        return f" |-\n{lines}"
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return (
            value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value, ensure_ascii=False)
        )
    return json.dumps(value)
