"""Smallness, kept by a ratchet: the lists of exceptions may only shrink."""

import ast
from pathlib import Path

from tests.house.tree import files, module_tree, texts

FILE_LINES = 400
FUNCTION_LINES = 50
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "core", "manager", "base", "stuff"}

# What is longer, and why. An entry that is no longer needed fails, so that it cannot be filled up again.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}


def test_files_stay_short() -> None:
    longer = {str(path): text.count("\n") for path, text in texts(".py", ".sql") if text.count("\n") > FILE_LINES}
    new = {path: lines for path, lines in longer.items() if path not in LONGER_FILES}
    assert not new, f"longer than {FILE_LINES} lines, make a folder of the same name: {new}"
    assert not set(LONGER_FILES) - set(longer), f"no longer longer: {set(LONGER_FILES) - set(longer)}"


def test_functions_stay_short() -> None:
    longer = dict(_longer_functions())
    new = {name: lines for name, lines in longer.items() if name not in LONGER_FUNCTIONS}
    assert not new, f"longer than {FUNCTION_LINES} lines: {new}"
    assert not set(LONGER_FUNCTIONS) - set(longer), f"no longer longer: {set(LONGER_FUNCTIONS) - set(longer)}"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    named = {part.split(".")[0] for path in files() for part in path.parts}
    assert not named & EMPTY_NAMES


def _longer_functions() -> list[tuple[str, int]]:
    found = []
    for path in (path for path in files() if path.suffix == ".py"):
        for node in ast.walk(module_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _lines(node) > FUNCTION_LINES:
                found.append((_function_name(path, node.name), _lines(node)))
    return found


def _lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _function_name(path: Path, function: str) -> str:
    return f"{path}:{function}"
