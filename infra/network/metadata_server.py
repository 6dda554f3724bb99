"""The metadata service of a host: one server, listening at 169.254.169.254 inside every network's namespace.

Who asks is known by the network a request came in by and its source address, never by anything it says. What is
answered are the documents of that port's server; folders list themselves.
"""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol, Self

import h11

from infra.compute.metadata import GuestMetadata
from infra.network import names
from infra.network.linux import netns
from infra.network.metadata_documents import documents

_log = logging.getLogger(__name__)

PORT = 80
MAX_REQUEST_BYTES = 8192
REQUEST_SECONDS = 10.0
REPLY_SECONDS = 30.0
MAX_CONNECTIONS_OF_NETWORK = 128
MAX_CONNECTIONS_OF_ADDRESS = 16

_VERSIONS = {
    "openstack": (
        *("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22"),
        *("2018-08-27", "2020-10-14", "latest"),
    ),
    "": (
        *("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01"),
        *("2009-04-04", "latest"),
    ),
}
"""Versions that clients look for, by the folder they stand in; all answer as the latest."""


def answer(contents: Mapping[str, bytes], target: str) -> bytes | None:
    """The document or the folder's list at a request's target; None when there is nothing.

    Args:
        contents: documents by path.
        target: as in the request line; anything.
    """
    path = "/" + "/".join(part for part in target.split("?", 1)[0].split("/") if part)
    parts = path.split("/")[1:]
    root = "openstack" if parts[0] == "openstack" else ""
    place = 1 if root else 0
    if path in ("/", f"/{root}"):
        return "\n".join(_VERSIONS[root]).encode()
    if parts[place] in _VERSIONS[root]:
        parts[place] = "latest"
    path = "/" + "/".join(parts)
    if path in contents:
        return contents[path]
    if f"{path}/" in contents:
        return contents[f"{path}/"]
    inside = {name.removeprefix(f"{path}/") for name in contents if name.startswith(f"{path}/")}
    listed = sorted({name.split("/", 1)[0] + ("/" if "/" in name else "") for name in inside})
    return "\n".join(listed).encode() if listed else None


class Networks(Protocol):
    """The networks of a host, as far as this service needs to know them."""

    on_change: Callable[[], None]

    def namespaces(self) -> dict[str, str]:
        """Names of the networks' namespaces by network id."""
        ...

    def server_at(self, network_id: str, address: str) -> str | None:
        """The server whose port in the network has the address."""
        ...

    def public_at(self, network_id: str, address: str) -> str:
        """The floating IP of that port; empty where it has none."""
        ...


class MetadataServer:
    """Serves all networks of a host from one event loop, for as long as its context lasts.

    Args:
        networks: those of this host. Their ``on_change`` is taken while the service runs.
        metadata: what to tell a server; None when it is not known. Called in a thread, may block.
        listen: makes the listening socket in a namespace.
    """

    def __init__(
        self,
        networks: Networks,
        metadata: Callable[[str], GuestMetadata | None],
        listen: Callable[[str, str, int], socket.socket] = netns.listen_in,
    ) -> None:
        self._networks = networks
        self._metadata = metadata
        self._listen = listen
        self._listeners: dict[str, tuple[tuple[str, int | None], asyncio.Server]] = {}
        self._open: Counter[tuple[str, str]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._networks.on_change = self.notify
        await self.refresh()
        return self

    async def __aexit__(self, *error: object) -> None:
        """Stop listening and cut what is being answered."""
        self._loop = None
        self._networks.on_change = lambda: None
        async with self._lock:
            for _, server in self._listeners.values():
                server.close()
            self._listeners.clear()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def notify(self) -> None:
        """Look anew which networks there are, soon; may be called from any thread."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: self._keep(loop.create_task(self.refresh())))

    async def refresh(self) -> None:
        """Listen in exactly the networks there are. One that refuses is tried again at the next call."""
        async with self._lock:
            wanted = await asyncio.to_thread(self._wanted)
            for network_id, (place, server) in list(self._listeners.items()):
                if wanted.get(network_id) != place:
                    server.close()
                    del self._listeners[network_id]
            for network_id, place in wanted.items():
                if network_id not in self._listeners:
                    try:
                        listener = await asyncio.to_thread(self._listen, place[0], names.METADATA_IP, PORT)
                    except OSError:
                        _log.warning("no metadata in network %s yet", network_id, exc_info=True)
                        continue
                    server = await asyncio.start_server(self._handler(network_id), sock=listener)
                    self._listeners[network_id] = (place, server)

    def _wanted(self) -> dict[str, tuple[str, int | None]]:
        return {key: (namespace, netns.inode(namespace)) for key, namespace in self._networks.namespaces().items()}

    def _handler(self, network_id: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._keep(asyncio.ensure_future(self._connection(network_id, reader, writer)))

        return accepted

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, network_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        async with self._admitted(network_id, address, writer) as admitted:
            if not admitted:
                return
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
            try:
                async with asyncio.timeout(REQUEST_SECONDS):
                    status, method, body = await self._reply(connection, reader, network_id, address)
                async with asyncio.timeout(REPLY_SECONDS):
                    await _send(connection, writer, status, b"" if method == b"HEAD" else body, len(body))
            except (TimeoutError, OSError):
                # The guest is slow or gone; nobody is left to tell.
                writer.transport.abort()

    @asynccontextmanager
    async def _admitted(self, network_id: str, address: str, writer: asyncio.StreamWriter) -> AsyncIterator[bool]:
        keys = ((network_id, ""), (network_id, address))
        limits = (MAX_CONNECTIONS_OF_NETWORK, MAX_CONNECTIONS_OF_ADDRESS)
        admitted = all(self._open[key] < limit for key, limit in zip(keys, limits, strict=True))
        self._open.update(keys)
        try:
            yield admitted
        finally:
            self._open.subtract(keys)
            self._open += Counter()
            if admitted:
                writer.close()
            else:
                writer.transport.abort()

    async def _reply(
        self, connection: h11.Connection, reader: asyncio.StreamReader, network_id: str, address: str
    ) -> tuple[int, bytes, bytes]:
        """Status, the request's method and body."""
        try:
            request = await _request(connection, reader)
        except h11.RemoteProtocolError as error:
            return error.error_status_hint, b"", b"Bad Request\n"
        if request.method not in (b"GET", b"HEAD"):
            return 405, request.method, b"Method Not Allowed\n"
        try:
            found = await asyncio.to_thread(self._find, network_id, address, request.target.decode("latin-1"))
        except Exception:
            _log.exception("no metadata for %s in network %s", address, network_id)
            return 500, request.method, b"Internal Server Error\n"
        return (404, request.method, b"Not Found\n") if found is None else (200, request.method, found)

    def _find(self, network_id: str, address: str, target: str) -> bytes | None:
        server_id = self._networks.server_at(network_id, address)
        guest = self._metadata(server_id) if server_id is not None else None
        if guest is None:
            return None
        return answer(documents(guest, self._networks.public_at(network_id, address)), target)


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise h11.RemoteProtocolError("no request")
        data = await reader.read(MAX_REQUEST_BYTES)
        connection.receive_data(data)
        if not data:
            raise ConnectionResetError


async def _send(
    connection: h11.Connection, writer: asyncio.StreamWriter, status: int, body: bytes, length: int
) -> None:
    kind = b"application/json" if body[:1] in (b"{", b"[") else b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(length).encode()), (b"connection", b"close")]
    # Draining then waits for the last byte, so that no guest that never reads holds its connection for ever.
    writer.transport.set_write_buffer_limits(0)
    writer.write(connection.send(h11.Response(status_code=status, headers=headers)) or b"")
    if body:
        writer.write(connection.send(h11.Data(data=body)) or b"")
    await writer.drain()
