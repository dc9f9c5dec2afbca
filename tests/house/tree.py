"""The repository as the house tests see it: its files, its modules and who imports whom."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PRODUCT = SOURCE / "caudal"
# What is built, downloaded or left behind by a run, and is in no commit.
LEFT_BEHIND = {".git", "var", "build", "dist", "__pycache__"}


class Import(NamedTuple):
    """`importer` (a dotted module) imports `name` from `module`; `name` is None for `import module`."""

    importer: str
    module: str
    name: str | None
    line: int


@functools.cache
def files() -> tuple[Path, ...]:
    """Every file of the repository, relative to its root."""
    return tuple(sorted(_walk(ROOT)))


def texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    """(path, text) of every text file with one of the suffixes, of all text files without any."""
    for path in files():
        if suffixes and path.suffix not in suffixes:
            continue
        try:
            yield path, (ROOT / path).read_text("utf-8")
        except UnicodeDecodeError:
            continue


def module_tree(path: Path) -> ast.Module:
    """The syntax tree of a file; `path` is relative to the repository. Not kept: garbage would be looked for in it."""
    return ast.parse((ROOT / path).read_text("utf-8"), str(path))


def module_name(path: Path) -> str:
    """`src/caudal/payins/http.py` → `caudal.payins.http`."""
    parts = path.with_suffix("").parts
    parts = parts[1:] if parts[0] == "src" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(*folders: str) -> Iterator[Import]:
    """Every import statement below the folders, those inside functions too."""
    for path in files():
        if path.suffix == ".py" and path.parts[0] in folders:
            yield from _imports_of(path)


@functools.cache
def _imports_of(path: Path) -> tuple[Import, ...]:
    return tuple(_found_in(path))


def _found_in(path: Path) -> Iterator[Import]:
    importer = module_name(path)
    package = importer if path.name == "__init__.py" else importer.rpartition(".")[0]
    for node in ast.walk(module_tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(importer, module, alias.name, node.lineno)


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in {".ci", ".gitignore"}
        if path.name in LEFT_BEHIND or hidden or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from _walk(path)
        elif path.is_file():
            yield path.relative_to(ROOT)
