"""The examples of a page: fenced shell blocks, and the comments that say how a test treats them.

    <!-- run -->            the next block is executed, in one shell with the others of the page, against a caudal
    <!-- shows: "paid" -->  what the block above must have printed, spaces aside

Blocks without a mark are not executed, but every `make` target, caudal command and option in them must exist.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

SHELLS = {"bash", "sh", "console", "shell"}
_PART = re.compile(
    r"<!-- (?P<run>run) -->|<!-- shows: (?P<shows>.*?) -->|^```(?P<language>\w*)\n(?P<code>.*?)^```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced shell block; `shows` is what its output must contain."""

    code: str
    run: bool
    shows: list[str]


def blocks(page: str) -> list[Block]:
    """The shell blocks of a page's text, in order."""
    found: list[Block] = []
    run = False
    for part in _PART.finditer(page):
        if part["run"]:
            run = True
        elif part["shows"]:
            assert found, "<!-- shows --> stands above the first block"
            found[-1].shows.append(part["shows"])
        elif part["language"] in SHELLS:
            found.append(Block(_commands(part["code"]), run, []))
            run = False
    return found


def lines(block: Block) -> Iterator[str]:
    """The commands of a block, continued lines joined, comments left out."""
    for line in block.code.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#\s.*$", "", line).strip()
        if bare:
            yield bare


def _commands(code: str) -> str:
    """In a console block only the lines after a `$` are typed; the rest is what the program printed."""
    if not re.search(r"^\$ ", code, re.MULTILINE):
        return code
    return "".join(f"{line[2:]}\n" for line in code.splitlines() if line.startswith("$ "))
