"""Free ports, and the promise that no other `caudal up` of this machine takes the same between choosing and using.

And who listens: API processes share one port, so that an answer from it says only that one of them is there.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path

from caudal.app.state import UpError

_LISTENING = "0A"


class Ports:
    """Ports promised to us until `release`.

    The promise is a name in the abstract socket namespace: taken in one step, gone with the process, no file.
    """

    def __init__(self, host: str) -> None:
        self._host, self._promises = host, list[socket.socket]()

    def take(self, first: int) -> int:
        """`first` or the next free port after it; 0 means any. Raises UpError when none is left."""
        for port in range(first, 65536) if first else (_any_port(self._host) for _ in range(100)):
            promise = socket.socket(socket.AF_UNIX)
            try:
                promise.bind(f"\0caudal-port-{port}")
            except OSError:
                promise.close()
                continue
            if _is_free(self._host, port):
                self._promises.append(promise)
                return port
            promise.close()
        raise UpError(f"no free port from {first} on {self._host}")

    def take_row(self, first: int, count: int) -> int:
        """The first of so many free ports in a row, from `first` on. Raises UpError when there are none."""
        start = first
        while True:
            taken = [self.take(start)]
            while len(taken) < count and taken[-1] == taken[0] + len(taken) - 1:
                taken.append(self.take(taken[-1] + 1))
            if taken[-1] == taken[0] + count - 1:
                return taken[0]
            start = taken[-1]
            self._give_back(1)

    def _give_back(self, count: int) -> None:
        for _ in range(count):
            self._promises.pop().close()

    def release(self) -> None:
        """Give all promises back."""
        while self._promises:
            self._promises.pop().close()


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a former server that linger
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise UpError(f"cannot listen on {host}: {error.strerror}") from error
    return True


def _any_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def listens(pid: int, port: int) -> bool:
    """Whether this very process listens on a TCP port; read from /proc (Linux, `man 5 proc`)."""
    sockets = set[str]()
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{fields[9]}]")
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(file.readlink()) in sockets:
                    return True
    return False


def address(host: str, port: int) -> str:
    """The URL at which a server that listens on `host` is found from this machine."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"
