"""The metadata service over loopback: who is answered what, and that no guest can hold it up."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from infra.compute.metadata import GuestMetadata
from infra.network import metadata_server
from infra.network.metadata_server import MetadataServer, answer

DOCUMENTS = {
    "/openstack/latest/meta_data.json": b'{"uuid": "server-1"}',
    "/openstack/latest/user_data": b"#!/bin/sh\n",
    "/latest/user-data": b"#!/bin/sh\n",
    "/latest/meta-data/instance-id": b"i-1",
    "/latest/meta-data/public-keys/": b"0=mine",
    "/latest/meta-data/public-keys/0/openssh-key": b"ssh-ed25519 AAAA",
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/openstack/latest/meta_data.json", b'{"uuid": "server-1"}'),
        ("/openstack/2018-08-27/meta_data.json", b'{"uuid": "server-1"}'),
        ("/openstack/latest/meta_data.json?x=1", b'{"uuid": "server-1"}'),
        ("//openstack//latest/meta_data.json/", b'{"uuid": "server-1"}'),
        ("/openstack/latest", b"meta_data.json\nuser_data"),
        ("/openstack/1999-01-01/meta_data.json", None),
        ("/2009-04-04/user-data", b"#!/bin/sh\n"),
        ("/latest", b"meta-data/\nuser-data"),
        ("/latest/meta-data/", b"instance-id\npublic-keys/"),
        ("/latest/meta-data/public-keys", b"0=mine"),
        ("/latest/meta-data/public-keys/", b"0=mine"),
        ("/latest/meta-data/public-keys/0", b"openssh-key"),
        ("/latest/meta-data/public-keys/0/openssh-key", b"ssh-ed25519 AAAA"),
        ("/latest/meta-data/inst", None),
        ("/../../etc/passwd", None),
        ("http://169.254.169.254/latest/user-data", None),
    ],
)
def test_documents_and_folders(target: str, expected: bytes | None) -> None:
    assert answer(DOCUMENTS, target) == expected


def test_versions_are_listed() -> None:
    assert b"latest" in (answer(DOCUMENTS, "/openstack/") or b"").split(b"\n")
    assert b"2009-04-04" in (answer(DOCUMENTS, "/") or b"").split(b"\n")
    assert answer({}, "/openstack/latest") is None


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that in 10 seconds")


GUEST = GuestMetadata(
    server_id="server-1", name="one", hostname="one.novalocal", project_id="p", user_data=b"#!/bin/sh\n"
)


class World:
    """A service on loopback for one network, in which 127.0.0.1 is server-1 until a test says otherwise."""

    def __init__(self) -> None:
        self.networks = {"network-1": "no-such-namespace"}
        self.ports: dict[tuple[str, str], str] = {("network-1", "127.0.0.1"): "server-1"}
        self.public: dict[tuple[str, str], str] = {}
        self.metadata: Callable[[str], GuestMetadata | None] = {GUEST.server_id: GUEST}.get
        self.listeners: list[socket.socket] = []
        self.on_change: Callable[[], None] = lambda: None
        self.server = MetadataServer(self, lambda server_id: self.metadata(server_id), self.listen)

    def namespaces(self) -> dict[str, str]:
        return self.networks

    def server_at(self, network_id: str, address: str) -> str | None:
        return self.ports.get((network_id, address))

    def public_at(self, network_id: str, address: str) -> str:
        return self.public.get((network_id, address), "")

    def listen(self, namespace: str, address: str, port: int) -> socket.socket:
        assert (address, port) == ("169.254.169.254", 80)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.listeners.append(listener)
        self.address = listener.getsockname()
        return listener

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.address)

    async def send(self, data: bytes) -> bytes:
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def get(self, path: str, *headers: str, method: str = "GET") -> tuple[int, bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: 169.254.169.254", *headers, "", ""]
        head, _, body = (await self.send("\r\n".join(lines).encode())).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    async with made.server:
        yield made


async def test_a_server_reads_its_floating_ip(world: World) -> None:
    assert await world.get("/latest/meta-data/public-ipv4") == (200, b"")
    world.public["network-1", "127.0.0.1"] = "203.0.113.9"
    assert await world.get("/latest/meta-data/public-ipv4") == (200, b"203.0.113.9")


async def test_a_server_reads_its_own_documents(world: World) -> None:
    assert await world.get("/latest/meta-data/hostname") == (200, b"one.novalocal")
    assert await world.get("/openstack/latest/meta_data.json", method="HEAD") == (200, b"")
    assert (await world.get("/nothing"))[0] == 404
    assert (await world.get("/latest/user-data", method="POST"))[0] == 405


async def test_what_a_request_says_of_its_sender_is_ignored(world: World) -> None:
    world.ports[("network-1", "10.0.0.9")] = "server-1"
    del world.ports[("network-1", "127.0.0.1")]
    spoofed = "X-Forwarded-For: 10.0.0.9", "X-Instance-ID: server-1", "Forwarded: for=10.0.0.9"
    assert (await world.get("/latest/user-data", *spoofed))[0] == 404


async def test_an_unknown_server_gets_nothing(world: World) -> None:
    world.metadata = lambda server_id: None
    assert (await world.get("/openstack"))[0] == 404


async def test_a_failing_provider_is_an_error_without_details(world: World) -> None:
    def fail(server_id: str) -> None:
        raise ValueError("secret")

    world.metadata = fail
    status, body = await world.get("/latest/user-data")
    assert status == 500
    assert b"secret" not in body


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400), (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n", 431)],
)
async def test_malformed_and_huge_requests_are_refused(world: World, data: bytes, status: int) -> None:
    assert (await world.send(data)).startswith(f"HTTP/1.1 {status} ".encode())


async def test_slow_clients_are_cut_and_do_not_stop_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_server, "REQUEST_SECONDS", 0.2)
    slow = [await world.connect() for _ in range(3)]
    slow[0][1].write(b"GET / HT")
    assert await world.get("/latest/meta-data/hostname") == (200, b"one.novalocal")
    for reader, writer in slow:
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_client_that_never_reads_is_cut(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_server, "REPLY_SECONDS", 0.2)
    world.metadata = lambda server_id: GUEST.model_copy(update={"user_data": b"x" * 50_000_000})
    _, writer = await world.connect()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write(b"GET /latest/user-data HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: bool(world.server._open))
    await until(lambda: not world.server._open)
    writer.transport.abort()


async def test_one_address_can_not_take_all_connections(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata_server, "MAX_CONNECTIONS_OF_ADDRESS", 2)
    held = [await world.connect() for _ in range(2)]
    await until(lambda: sum(world.server._open.values()) == 4)
    with pytest.raises((ConnectionError, IndexError)):
        await world.get("/latest/user-data")
    for _, writer in held:
        writer.close()
    await until(lambda: not world.server._open)
    assert (await world.get("/latest/user-data"))[0] == 200


async def test_networks_come_and_go(world: World) -> None:
    first = world.address
    world.networks.clear()
    await world.server.refresh()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(*first)
    world.networks["network-1"] = "no-such-namespace"
    await asyncio.to_thread(world.on_change)
    await until(lambda: len(world.listeners) == 2)
    assert (await world.get("/latest/user-data"))[0] == 200


async def test_a_network_that_refuses_is_tried_again(world: World) -> None:
    def refuse(namespace: str, address: str, port: int) -> socket.socket:
        raise OSError("no such namespace")

    world.networks["network-2"] = "later"
    world.server._listen = refuse
    await world.server.refresh()
    world.ports[("network-2", "127.0.0.1")] = "server-1"
    world.server._listen = world.listen
    await world.server.refresh()
    assert (await world.get("/latest/user-data"))[0] == 200
    assert len(world.listeners) == 2
