"""Planted faults: one line of the real code, changed in memory, to see whether a check notices.

A plant is a file of four fields, each a line but the code:

    module: caudal.kernel.commit.batch
    caught by: keys
    seed: 17
    why: what a program that did this would do to a merchant
    - the line as it stands, without its indent
    + the line that takes its place

Where the line stands more than once, the one before it is named too: `. the line before`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

from caudal_simulation import nature

DIRECTORY: Final = Path(__file__).with_name("planted")
CHECKS: Final = (
    *("ledger", "statement", "fees", "keys", "answers", "books", "charges", "attempts", "leases", "payers", "disputes"),
    *("cases", "events", "states", "delivered", "order", "stuck"),
)
"""The names of `checks.CHECKS`, which cannot be looked at before the fault is planted: it imports the code."""


class PlantError(ValueError):
    """A file that is no plant, or whose line is not in the code any more; the message says which."""


class Plant(NamedTuple):
    """One fault."""

    name: str
    module: str
    caught_by: tuple[str, ...]  # checks, by name
    seed: int
    why: str
    old: str
    new: str
    before: str


def read(path: Path) -> Plant:
    """The plant in a file. Raises PlantError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlantError(f"{path}: {error}") from error
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith(("- ", "+ ", ". ")):
            fields[line[0]] = line[2:]
        elif line.strip():
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    try:
        plant = Plant(
            name=path.stem,
            module=fields["module"],
            caught_by=tuple(sorted(check.strip() for check in fields["caught by"].split(","))),
            seed=int(fields["seed"]),
            why=fields["why"],
            old=fields["-"],
            new=fields["+"],
            before=fields.get(".", ""),
        )
    except KeyError as error:
        raise PlantError(f"{path} is no plant: it has no line {error}") from error
    except ValueError as error:
        raise PlantError(f"{path} is no plant: {error}") from error
    if strange := [check for check in plant.caught_by if check not in CHECKS]:
        raise PlantError(f"{path} is no plant: there is no check {', '.join(strange)}")
    return plant


def all_plants() -> list[Plant]:
    """Every plant of the directory, by name."""
    return [read(path) for path in sorted(DIRECTORY.glob("*.plant"))]


def sow(plant: Plant) -> None:
    """From here on, the module is imported with the fault. Raises PlantError where it was imported before."""
    if plant.module in sys.modules:
        raise PlantError(f"{plant.name}: {plant.module} was imported before")
    sys.meta_path.insert(0, _Sower(plant))


def is_sown(plant: Plant | None) -> None:
    """Raises PlantError unless the module of the fault was imported behind it: without it, nothing is tried."""
    if plant is not None and plant.module not in sys.modules:
        raise PlantError(f"{plant.name}: no history imports {plant.module}")


def prepare(plant: Plant | None = None) -> None:
    """This process becomes a simulated one, for good, with a fault where one is named."""
    if nature.CLOCK.rules:
        return
    sys.unraisablehook = lambda _: None  # what killed programs left half done
    if plant is not None:
        sow(plant)
    nature.take_over()
    logging.disable(logging.CRITICAL)


class _Sower(MetaPathFinder):
    """Finds the one module."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._plant.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Planted(fullname, spec.loader.path, self._plant)
        return spec


class _Planted(SourceFileLoader):
    """Loads it with the fault."""

    def __init__(self, fullname: str, path: str, plant: Plant) -> None:
        super().__init__(fullname, path)
        self._plant = plant

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        return compile(planted(Path(self.path).read_text("utf-8"), self._plant), self.path, "exec", dont_inherit=True)


def planted(text: str, plant: Plant) -> str:
    """A module's text with the fault. Raises PlantError unless its line is there once."""
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if line.strip() == plant.old.strip()]
    if plant.before:
        places = [number for number in places if number and lines[number - 1].strip() == plant.before.strip()]
    if len(places) != 1:
        raise PlantError(f"{plant.name}: its line stands {len(places)} times in {plant.module}: {plant.old.strip()}")
    line = lines[places[0]]
    indent = line[: len(line) - len(line.lstrip())]
    lines[places[0]] = indent + plant.new.strip()
    return "\n".join(lines)
