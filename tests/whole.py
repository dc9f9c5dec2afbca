"""A whole caudal in processes of its own: what `caudal up` starts, for tests that use it as its users do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


class Whole:
    """`caudal up` in a directory. Attributes are those of its up.json."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.var = home / "var"
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.ready: dict[str, Any] = {}

    def start(self, *options: str, within_s: float = 60.0) -> None:
        """Starts it and waits until it is ready."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o711)
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        ports = {"CAUDAL_PORT": "18700", "CAUDAL_SANDBOX_PORT": "18800"}
        environment = {**outside, **ports, "CAUDAL_VAR": str(self.var), **self._environment}
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "caudal", "up", *(options or ("--no-demo",))],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(within_s)

    def wait(self, within_s: float = 60.0) -> None:
        """Waits for up.json."""
        assert self._process is not None
        end = time.monotonic() + within_s
        while not (self.var / "up.json").exists():
            assert self._process.poll() is None, f"caudal up ended:\n{self.log}"
            assert time.monotonic() < end, f"caudal up is not ready:\n{self.log}"
            time.sleep(0.05)
        self.refresh()

    def refresh(self) -> None:
        """Reads up.json again: process ids change when a process is restarted."""
        self.ready = json.loads((self.var / "up.json").read_text())

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.home / "up.log").read_text(errors="replace")

    @property
    def api_url(self) -> str:
        return str(self.ready["api_url"])

    @property
    def sandbox_url(self) -> str:
        return str(self.ready["sandbox_url"])

    @property
    def database_url(self) -> str:
        return str(self.ready["database_url"])

    @property
    def key(self) -> str:
        return str(self.ready["demo_key"])

    @property
    def operator_key(self) -> str:
        return str(self.ready["operator_key"])

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9 of `caudal up` itself."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, within_s: float = 40.0) -> int:
        """Ctrl-C; the exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        return self._process.wait(within_s)

    def caudal(self, *arguments: str, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs a `caudal` command beside it."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        return subprocess.run(
            [sys.executable, "-m", "caudal", *arguments],
            env={**outside, "CAUDAL_VAR": str(self.var)},
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
