"""What may stand nowhere in the repository, and names that must exist where they are used."""

import re
from pathlib import Path

import pytest

from caudal.kernel.settings import FOREIGN, PREFIX, Settings
from tests.house.tree import texts

# (what it is, how to find it, where it may stand)
NOWHERE = [
    (
        "the address of a package registry",
        r"\bpypi\.(?:org|python)|pythonhosted\.|(?:index-url|find-links)[ =]\S*[:/]",
        (),
    ),
    ("a path of somebody's machine", r"(?<![\w.*)])/(?:work|root|Users|opt/wheels|home/\w+)/", ()),
    ("work that was left for later", r"\b(?:TODO|FIXME|XXX|HACK)\b", ("tests/house/test_words.py",)),
    ("talk about a task instead of the thing", r"(?i)\bthe (?:brief|lead)\b(?! time)|\bissue (?:#)?\d", ()),
]
SETTING = re.compile(rf"\b{PREFIX}[A-Z][A-Z0-9_]*[A-Z0-9]\b")


@pytest.mark.parametrize(("what", "pattern", "allowed"), NOWHERE, ids=[row[0] for row in NOWHERE])
def test_this_stands_nowhere(what: str, pattern: str, allowed: tuple[str, ...]) -> None:
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        if str(path) not in allowed
        for number, line in enumerate(text.splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"{what}:\n" + "\n".join(found)


def test_every_setting_that_is_named_exists() -> None:
    known = {PREFIX + field.upper() for field in Settings.__struct_fields__} | set(FOREIGN)
    named = {name: path for path, text in texts() if _is_spoken_to_users(path) for name in SETTING.findall(text)}
    unknown = {name: str(path) for name, path in named.items() if name not in known}
    assert not unknown, f"no such setting: {unknown}"


def _is_spoken_to_users(path: Path) -> bool:
    """Tests may misspell a setting on purpose; a page, the program and its build may not."""
    return path.parts[0] != "tests"
