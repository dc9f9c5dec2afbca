"""Free ports, and the promise that no other `caudal up` of this machine takes the same between choosing and using."""

from __future__ import annotations

import errno
import socket

from caudal.app.state import UpError


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


def address(host: str, port: int) -> str:
    """The URL at which a server that listens on `host` is found from this machine."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{near}]:{port}" if ":" in near else f"http://{near}:{port}"
