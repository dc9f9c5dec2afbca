"""How processes end: asked to, with 0; where they cannot begin, with one line and the status that the help names."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from caudal.app import cli
from caudal.app.ports import listens
from tests.conftest import KEK

OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
NOWHERE = "postgresql:///caudal?host=/nowhere"


@contextmanager
def begun(command: str, teller: int | None = None, /, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process of caudal, killed at the end if it still runs. It has the `teller`, and is told so."""
    told = {} if teller is None else {"CAUDAL_READY_FD": str(teller)}
    process = subprocess.Popen(
        [sys.executable, "-m", "caudal", command],
        env={**OUTSIDE, "CAUDAL_KEK": KEK, **told, **environment},
        pass_fds=() if teller is None else (teller,),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if teller is not None:
        os.close(teller)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(command: str, **environment: str) -> tuple[int, list[str]]:
    """The status of a process that ends by itself, and the lines that are no log."""
    with begun(command, **environment) as process:
        said, _ = process.communicate(timeout=60)
        return process.returncode, [line for line in said.splitlines() if not line.startswith("{")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def serves(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + 60
    while not (listens(process.pid, port) and answers(port)):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def logs(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it never said {text}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_api_and_the_worker_end_with_0_when_they_are_asked_to(database_url: str, number: signal.Signals) -> None:
    port = free_port()
    (web_says, web_teller), (worker_says, worker_teller) = os.pipe(), os.pipe()
    with (
        begun("web", web_teller, CAUDAL_DATABASE_URL=database_url, CAUDAL_PORT=str(port)) as web,
        begun("worker", worker_teller, CAUDAL_DATABASE_URL=database_url) as worker,
        os.fdopen(web_says) as web_said,
        os.fdopen(worker_says) as worker_said,
    ):
        assert web_said.read().endswith("ready\n")
        assert listens(web.pid, port) and answers(port), "it says so once it listens"
        assert worker_said.read().endswith("ready\n")
        for process in (web, worker):
            process.send_signal(number)
            said, _ = process.communicate(timeout=60)
            assert (process.returncode, "Traceback" in said) == (0, False), said


@pytest.mark.parametrize(("number", "why"), [("77", "Bad file descriptor"), ("1", "3 or more is needed")])
def test_a_descriptor_that_is_not_there_ends_a_start_in_one_line(
    number: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"CAUDAL_DATABASE_URL": NOWHERE, "CAUDAL_KEK": KEK, "CAUDAL_READY_FD": number}
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    for command in ("web", "worker"):
        monkeypatch.setattr(sys, "argv", ["caudal", command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and f"caudal: CAUDAL_READY_FD={number}" in said.replace("'", "")
        assert why in said and said.count("\n") == 1


def test_a_worker_that_waits_for_its_database_ends_with_0_too() -> None:
    with begun("worker", CAUDAL_DATABASE_URL=NOWHERE) as worker:
        logs(worker, "does not answer yet")
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)
        assert worker.returncode == 0


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_that_somebody_else_has_is_said_in_one_line(shares: bool) -> None:
    """Also one who would share it: another installation answers for other merchants."""
    with socket.socket() as other:
        if shares:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = str(other.getsockname()[1])
        said = [f"caudal: cannot listen on 127.0.0.1 port {port}: Address already in use"]
        assert ended("web", CAUDAL_DATABASE_URL=NOWHERE, CAUDAL_PORT=port) == (3, said)


def test_an_address_that_is_not_ours_is_said_in_one_line() -> None:
    status, said = ended("web", CAUDAL_DATABASE_URL=NOWHERE, CAUDAL_HOST="192.0.2.1", CAUDAL_PORT="8700")
    assert (status, len(said)) == (3, 1) and said[0].startswith("caudal: cannot listen on 192.0.2.1 port 8700: ")


def test_siblings_share_a_port(database_url: str) -> None:
    port = free_port()
    shared = {"CAUDAL_DATABASE_URL": database_url, "CAUDAL_PORT": str(port), "CAUDAL_SHARE_PORT": "1"}
    with begun("web", **shared) as first, begun("web", **shared) as second:
        for process in (first, second):
            serves(process, port)
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=60)
        serves(second, port)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/caudal", "/proc/caudal/var"])
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_directory_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, place: str, command: str) -> None:
    (tmp_path / "file").touch()
    status, said = ended(command, CAUDAL_VAR=str(tmp_path / place))
    assert (status, len(said)) == (2, 1), said
    assert said[0].startswith(f"caudal: CAUDAL_VAR={tmp_path / place}: ")


def test_a_directory_of_another_user_is_left_alone(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    (tmp_path / "up.lock").touch()
    os.chown(tmp_path / "up.lock", 4711, 4711)
    line = f"caudal: CAUDAL_VAR={tmp_path} belongs to user 4711: run caudal as that user or elsewhere"
    assert ended("up", CAUDAL_VAR=str(tmp_path)) == (2, [line])
    assert [path.name for path in tmp_path.iterdir()] == ["up.lock"]


# Python itself may be where only root comes: everything is imported before.
AS_ANOTHER = """
import os
from typer.testing import CliRunner
from caudal.app import check, demo, first, listen, running, up
from caudal.app.cli import main, whole
assert CliRunner().invoke(whole(), ["up", "--help"]).exit_code == 0
os.setgid(4711)
os.setuid(4711)
main()
"""


def as_another(command: str, var: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_ANOTHER, command],
        env={**OUTSIDE, "CAUDAL_VAR": str(var)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("used", "reason"),
    [(True, "belongs to user 0: run caudal as that user or elsewhere"), (False, "Permission denied ({var}/up.lock)")],
)
def test_a_directory_that_root_has_used_is_closed_to_others(open_tmp: Path, used: bool, reason: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    var = open_tmp / f"roots-{used}"
    var.mkdir(mode=0o755)
    if used:
        (var / "up.lock").touch(mode=0o600)
    done = as_another("up", var)
    line = f"caudal: CAUDAL_VAR={var}{' ' if used else ': '}{reason.format(var=var)}\n"
    assert (done.returncode, done.stderr) == (2, line)


@pytest.mark.parametrize(("command", "file"), [("down", "up.lock"), ("reset", "up.lock"), ("check", "up.json")])
def test_what_is_closed_to_a_user_is_named(open_tmp: Path, command: str, file: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    var = open_tmp / f"closed-to-{command}"
    var.mkdir(mode=0o755)
    (var / file).touch(mode=0o600)
    done = as_another(command, var)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert str(var / file) in done.stderr and "Permission denied" in done.stderr


@pytest.mark.parametrize("command", ["up", "demo", "web", "worker"])
def test_a_wrong_variable_of_telemetry_ends_a_start_before_anything_is_made(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"CAUDAL_VAR": str(tmp_path / "var"), "CAUDAL_DATABASE_URL": NOWHERE, "CAUDAL_KEK": KEK}
    for name, text in {**given, "OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"}.items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys, "argv", ["caudal", command])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert (ended.value.code, said) == (
        2,
        "caudal: OTEL_EXPORTER_OTLP_ENDPOINT=nonsense: http://HOST:PORT or https://…\n",
    )
    assert not (tmp_path / "var").exists()
