"""README and docs do what they say: marked blocks are executed, the others name only what exists."""

import json
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol

import pytest
from typer.testing import CliRunner

from caudal.app import cli
from tests.house.examples import Block, blocks, lines
from tests.house.tree import ROOT, texts

PROGRAMS = {"caudal", "caudal-sandbox", "caudal-load"}
EXAMPLES = {str(path): blocks(text) for path, text in texts(".md")}
TO_RUN = [page for page, found in EXAMPLES.items() if any(block.run for block in found)]
TO_READ = [page for page, found in EXAMPLES.items() if any(not block.run for block in found)]
BETWEEN = "----- the next block -----"


class Running(Protocol):
    """A started caudal, as the fixture `running` hands it out."""

    api_url: str
    sandbox_url: str
    key: str
    operator_key: str
    database_url: str
    var: str | Path


@pytest.fixture(scope="module")
def used(running: Running) -> Running:
    """One that has had a first payment, as a reader's has by `make up`."""
    body = json.dumps({"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}).encode()
    headers = {"Authorization": f"Bearer {running.key}", "Content-Type": "application/json", "Idempotency-Key": "first"}
    with urllib.request.urlopen(urllib.request.Request(f"{running.api_url}/v1/payins", body, headers)) as answer:
        assert answer.status == 201
    return running


@pytest.mark.server
@pytest.mark.parametrize("page", TO_RUN)
def test_the_examples_of_a_page_do_what_they_show(page: str, used: Running) -> None:
    to_run = [block for block in EXAMPLES[page] if block.run]
    script = f"\necho '{BETWEEN}'\n".join(_here(block.code, used) for block in to_run)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=_environment(used, script),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for block, output in zip(to_run, done.stdout.split(BETWEEN), strict=True):
        missing = [text for text in block.shows if _squeezed(text) not in _squeezed(output)]
        assert not missing, f"{block.code}\nprinted\n{output}\nwithout {missing}"


@pytest.mark.parametrize("page", TO_READ)
def test_the_commands_of_a_page_exist(page: str) -> None:
    wrong = [
        complaint
        for block in EXAMPLES[page]
        if not block.run
        for line in lines(block)
        for complaint in _complaints(line)
    ]
    assert not wrong, "\n".join(wrong)


def _here(code: str, running: Running) -> str:
    """The block with this run's addresses and programs in the place of the usual ones."""
    code = code.replace("http://127.0.0.1:8700", running.api_url).replace("http://127.0.0.1:8701", running.sandbox_url)
    return code.replace(".venv/bin/", f"{shlex.quote(str(Path(sys.executable).parent))}/")


def _environment(running: Running, script: str) -> dict[str, str]:
    """What a reader's shell has, and where the running caudal is; the pages show where the keys come from.

    The database's address stands there only where a page uses it: a command that has it does not look in CAUDAL_VAR.
    """
    database = {"CAUDAL_DATABASE_URL": running.database_url} if "CAUDAL_DATABASE_URL" in script else {}
    return {
        **database,
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "CAUDAL_VAR": str(running.var),
        "KEY": running.key,
        "OPERATOR_KEY": running.operator_key,
    }


def _complaints(line: str) -> list[str]:
    """What a command line names that does not exist."""
    complaints = []
    for command in re.split(r"\s(?:&&|\|\|?|;)\s", line):
        words = [word for word in shlex.split(command, comments=True) if not re.match(r"[A-Z_]+=", word)]
        program = Path(words[0]).name if words else ""
        if program == "make":
            complaints += [f"make {word}: no such target" for word in words[1:] if not _is_target(word)]
        elif program in PROGRAMS:
            complaints += _unknown_to(program, words[1:])
    return complaints


def _is_target(word: str) -> bool:
    return "=" in word or re.search(rf"^{re.escape(word)}:", (ROOT / "Makefile").read_text("utf-8"), re.M) is not None


def _unknown_to(program: str, words: list[str]) -> list[str]:
    """Sub-commands and options that the program's own help does not know."""
    path: list[str] = []
    page = _help(program)
    for word in words:
        if word.startswith("-"):
            option = word.split("=")[0]
            if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", page):
                return [f"{program} {' '.join(path)}: no option {option}"]
        elif re.fullmatch(r"[a-z][a-z-]*", word) and re.search(rf"^[\s│|]*{word}\s", page, re.M):
            path.append(word)
            page = _help(program, *path)
        elif not path:
            return [f"{program}: no command {word}"]
    return []


@cache
def _help(program: str, *path: str) -> str:
    """What `program path… --help` prints on a wide terminal. Fails when it does not exit 0."""
    wide = {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    if program == "caudal-sandbox":
        command = [sys.executable, "-m", "caudal_sandbox", *path, "--help"]
        page = subprocess.run(command, cwd=ROOT, env={**os.environ, **wide}, capture_output=True, text=True, check=True)
        return page.stdout
    app = cli.whole() if program == "caudal" else import_module("caudal_load.cli").app
    done = CliRunner().invoke(app, [*path, "--help"], env=wide, prog_name=program)
    assert done.exit_code == 0, f"{program} {shlex.join(path)}\n{done.output}"
    return done.output


def test_a_block_knows_its_mark_and_what_it_shows() -> None:
    page = (
        "<!-- run -->\n```bash\necho 1\n```\n<!-- shows: 1 -->\n\n```console\n$ make up\nready\n```\n```json\n{}\n```\n"
    )
    assert blocks(page) == [Block("echo 1\n", True, ["1"]), Block("make up\n", False, [])]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("make up", None),
        ("PYTHON=python3.12 make test", None),
        ("make coffee", "make coffee: no such target"),
        ("git clone somewhere && cd caudal", None),
    ],
)
def test_a_command_line_is_checked(line: str, complaint: str | None) -> None:
    assert _complaints(line) == ([complaint] if complaint else [])


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)
