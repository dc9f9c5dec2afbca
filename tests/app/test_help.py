"""`--help`: every command says what it needs, what ends it and how, and shows one way to call it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from caudal.app import cli
from caudal.kernel.settings import PREFIX, Settings

NAMES = {PREFIX + name.upper() for name in Settings.__struct_fields__}


def leaves(command: Any, path: tuple[str, ...] = (), above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Every command that does something: its name, all the help on the way to it, itself."""
    told = f"{above}\n{command.help}\n{command.epilog}"
    if hasattr(command, "commands"):
        for name, inside in command.commands.items():
            yield from leaves(inside, (*path, name), told)
    else:
        yield " ".join(path), told, command


ROOT = typer.main.get_command(cli.whole())
LEAVES = {name: (told, command) for name, told, command in leaves(ROOT)}


@pytest.mark.parametrize("name", LEAVES)
def test_a_command_says_what_it_does_needs_and_exits_with(name: str) -> None:
    told, command = LEAVES[name]
    assert len((command.help or "").split()) >= 5, "what it does"
    assert re.search("[Ee]xits 0", told), "how it ends"
    assert set(re.findall(r"CAUDAL_[A-Z_]+", told)) <= NAMES | {"CAUDAL_"}, "settings that exist"
    assert re.search("Needs |CAUDAL_VAR", told), "what it needs"
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name} {parameter.name}: what it is"


@pytest.mark.parametrize("name", LEAVES)
def test_a_commands_example_is_one(name: str) -> None:
    _, command = LEAVES[name]
    assert command.epilog is not None and command.epilog.startswith("Example"), name
    line = command.epilog.partition(": ")[2]
    calls = [part for part in re.split(r"; |&&|\|", line) if "caudal " in part]
    assert calls, line
    assert any(f"caudal {name}" in call for call in calls), line
    for call in calls:
        words = [word for word in shlex.split(call.partition(" >")[0]) if not re.match("[A-Z_]+=", word)]
        assert words[0] == "caudal"
        parsed(words[1:])


def parsed(words: list[str]) -> None:
    """Fails for a call that the command line would not take."""
    command: Any = ROOT
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, name
        command = command.commands[name]
    command.make_context(command.name, list(words))


@pytest.mark.parametrize("service", ["web", "worker"])
def test_a_service_without_an_option_starts_without_the_command_line(service: str) -> None:
    told = "import sys; from caudal.app import cli; command = cli.loaded(sys.argv[1:]); print("
    told += "command is getattr(cli, sys.argv[1]), 'caudal.app.administration' in sys.modules)"
    asked = [sys.executable, "-c", told, service]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "True False\n"
    assert cli.loaded([service, "--help"]) is cli.app
