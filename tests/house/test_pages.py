"""The pages: every link leads somewhere, and what is generated is what the code says today."""

import re
from pathlib import Path
from urllib.parse import unquote

from caudal.app.docs import PAGES, stale
from tests.house.tree import ROOT, texts

FENCED = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]\n]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)
ANCHOR = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")


def test_every_link_leads_somewhere() -> None:
    broken = [
        f"{page}: {target}"
        for page, text in texts(".md")
        for target in LINK.findall(FENCED.sub("", text))
        if not _leads_somewhere(page, target)
    ]
    assert not broken, "\n".join(broken)


def test_every_page_is_reached_from_the_index_of_the_docs() -> None:
    reached = {(Path("docs") / target.partition("#")[0]).as_posix() for target in _links(Path("docs/README.md"))}
    pages = {path.as_posix() for path, _ in texts(".md") if path.parent == Path("docs") and path.name != "README.md"}
    assert pages <= reached, f"docs/README.md does not lead to {sorted(pages - reached)}"


def test_every_decision_is_in_the_index_of_decisions() -> None:
    listed = {target for target in _links(Path("docs/adr/README.md")) if re.match(r"\d{4}-", target)}
    written = {path.name for path, _ in texts(".md") if re.match(r"docs/adr/\d{4}-", path.as_posix())}
    assert listed == written


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path, _ in texts(".md") if re.match(r"docs/adr/\d{4}-", path.as_posix()))
    assert numbers == list(range(len(numbers))), "0000 is the template, the first decision is 0001"


def test_generated_pages_are_what_the_code_says() -> None:
    assert not stale(ROOT), "run make docs"


def test_no_page_is_generated_twice() -> None:
    assert len({path for path, _ in PAGES}) == len(PAGES)


def _links(page: Path) -> list[str]:
    return LINK.findall(FENCED.sub("", (ROOT / page).read_text("utf-8")))


def _leads_somewhere(page: Path, target: str) -> bool:
    if re.match(r"(https?|mailto):", target):
        return True  # the tests need no network; addresses of this installation are links only when it runs
    path, _, anchor = unquote(target).partition("#")
    file = (ROOT / page.parent / path).resolve() if path else ROOT / page
    if not file.exists() or not file.is_relative_to(ROOT):
        return False
    return not anchor or file.suffix != ".md" or anchor in _anchors(file)


def _anchors(file: Path) -> set[str]:
    """The anchors that a forge makes of the headings, and those written by hand."""
    text = file.read_text("utf-8")
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text))
    return {*headings, *ANCHOR.findall(text)}
