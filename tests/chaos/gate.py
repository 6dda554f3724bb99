"""A way from the host to the services that can be closed for one of them: they all listen on one port."""

import dataclasses
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.e2e.world import World

_WORKER = "compute-worker"
_CONNECTION = re.compile(rb"\r\nconnection:[^\r]*", re.IGNORECASE)


class _Way(socketserver.BaseRequestHandler):
    server: "_Gate"

    def handle(self) -> None:
        """One request a connection: its first line says for which service it is."""
        head = b""
        while b"\r\n\r\n" not in head:
            if not (piece := self.request.recv(65536)):
                return
            head += piece
        path = head.split(b" ", 2)[1]
        if self.server.closed and path.startswith(self.server.closed.encode()):
            return
        first, _, rest = _CONNECTION.sub(b"", head, count=1).partition(b"\r\n")
        with socket.create_connection(self.server.target) as service:
            service.sendall(first + b"\r\nConnection: close\r\n" + rest)
            threading.Thread(target=_pump, args=(self.request, service), daemon=True).start()
            _pump(service, self.request)


class _Gate(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128
    closed = ""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        super().__init__(("127.0.0.1", 0), _Way)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)


class CloseImages:
    """The host does not reach the image service for some seconds; ``around`` puts the gate in its way."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._gate: _Gate | None = None

    def __call__(self, world: World) -> None:
        assert self._gate is not None
        self._gate.closed = "/image/"
        time.sleep(self._seconds)
        self._gate.closed = ""

    @contextmanager
    def around(self, world: World) -> Iterator[None]:
        api = world.settings.api
        programs = world.stack.programs
        direct = programs[_WORKER]
        with _Gate((api.host, api.port)) as self._gate:
            threading.Thread(target=self._gate.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{self._gate.server_address[1]}"
            environment = {**direct.environment, "KILONOVA_API__PUBLIC_URL": url}
            programs[_WORKER] = dataclasses.replace(direct, environment=environment)
            world.stack.start([_WORKER])
            yield
            programs[_WORKER] = direct
            world.stack.start([_WORKER])
            self._gate.shutdown()
