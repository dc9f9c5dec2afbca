"""Services that share a port: each has to be there itself."""

import asyncio
import sys
from pathlib import Path

from caudal.app.children import Children, Service
from caudal.app.ports import Ports, address

LISTENS_WHEN_TOLD = """
import http.server, pathlib, socket, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

class Shared(http.server.HTTPServer):
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

told = pathlib.Path(sys.argv[2])
while not told.exists():
    time.sleep(0.01)
Shared(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


async def test_one_that_answers_does_not_make_another_on_the_same_port_ready(tmp_path: Path) -> None:
    ports = Ports("127.0.0.1")
    port = ports.take(0)
    first, second = (
        Service(
            name=name,
            command=(sys.executable, "-I", "-S", "-c", LISTENS_WHEN_TOLD, str(port), str(tmp_path / name)),
            environment={},
            health_url=address("127.0.0.1", port),
        )
        for name in ("web", "web-2")
    )
    children = Children(tmp_path, say=lambda text: None, changed=lambda name, pid: None)
    try:
        for service in (first, second):
            children.start(service)
        (tmp_path / "web").touch()
        await children.ready([first], timeout_s=60.0)
        waiting = asyncio.create_task(children.ready([first, second], timeout_s=60.0))
        done, _ = await asyncio.wait({waiting}, timeout=0.5)
        assert not done
        (tmp_path / "web-2").touch()
        await waiting
    finally:
        await children.stop("web", "web-2")
        ports.release()
