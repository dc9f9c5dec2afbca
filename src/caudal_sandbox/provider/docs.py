"""Writes the tables of docs/sandbox-protocol.md: `python -m caudal_sandbox.provider.docs [PAGE]`.

What stands between `<!-- NAME -->` and `<!-- end -->` is generated; the rest of the page is written by people.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from caudal_sandbox.provider import magic

PAGE = Path("docs/sandbox-protocol.md")


def main() -> None:
    """Write the tables of a page again."""
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    page.write_text(rendered(page.read_text(encoding="utf-8")), encoding="utf-8")


def rendered(text: str) -> str:
    """Return the page with the tables that the data makes today. Raises `LookupError` for a table without a place."""
    for name, table in tables().items():
        place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        found = place.search(text)
        if found is None:
            raise LookupError(f"the page has no place for {name}")
        text = text[: found.start()] + table + text[found.end() :]
    return text


def tables() -> dict[str, str]:
    """Return the tables by the name of their place."""
    amounts = [(f"`{row.value}`", row.says) for row in magic.TABLE if row.part != "card"]
    numbers = [(f"`{row.value}`", row.says) for row in magic.TABLE if row.part == "card"]
    codes = [(f"`{row.method}`", f"`{row.code}`", row.says) for row in magic.CODES]
    return {
        "magic amounts": _table(("amount ends in", "what happens"), amounts),
        "magic cards": _table(("card number", "what happens"), numbers),
        "codes": _table(("method", "code", "meaning"), codes),
    }


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
