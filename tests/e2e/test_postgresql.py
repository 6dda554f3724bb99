"""The same on PostgreSQL, by one setting: a boot and its end on a second control plane beside the stack's own."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from infra.deploy import config, setup
from infra.settings import Settings
from infra.temporal import attributes
from tests.e2e.world import World, free_ports, until

pytestmark = pytest.mark.postgresql
_NAMESPACE = f"on-postgresql-{secrets.token_hex(4)}"


@contextmanager
def _process(log: Path, *arguments: str) -> Iterator[None]:
    with (
        log.open("ab") as out,
        subprocess.Popen([sys.executable, "-m", *arguments], cwd=config.ROOT, stdout=out, stderr=out) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def _temporal(world: World, *arguments: str) -> None:
    program = Path(sys.executable).with_name("temporal")
    address = str(world.settings.temporal.address)
    command = [program, "operator", *arguments, "--namespace", _NAMESPACE, "--address", address]
    until(lambda: subprocess.run(command, capture_output=True).returncode == 0, " ".join(arguments), 60)


@pytest.fixture
def second(world: World, empty_postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The stack's Temporal, in another namespace, its Keycloak, and all else anew."""
    (port,) = free_ports(1)
    for name, value in {
        "API__PORT": str(port),
        "DATABASE__URL": empty_postgresql,
        "TEMPORAL__NAMESPACE": _NAMESPACE,
        "HOST__DIRECTORY": str(tmp_path / "host"),
        "HOST__NAME": "second",
        "IMAGE__DIRECTORY": str(tmp_path / "images"),
        "VOLUME__DIRECTORY": str(tmp_path / "volumes"),
    }.items():
        monkeypatch.setenv(f"KILONOVA_{name}", value)
    settings = Settings()
    _temporal(world, "namespace", "create")
    kinds = [part for name in attributes.NAMES for part in ("--name", name, "--type", "Keyword")]
    _temporal(world, "search-attribute", "create", *kinds)
    subprocess.run([sys.executable, "-m", "infra.db", "upgrade"], check=True, cwd=config.ROOT)
    log = config.log_directory(world.settings) / "on-postgresql.log"
    with ExitStack() as running:
        running.enter_context(_process(log, "api"))
        running.enter_context(_process(log, "workers", "control"))
        running.enter_context(_process(log, "workers", "compute", "--driver", "fake"))
        until(lambda: _answers(settings), "the API answers")
        network_id = setup.seed(settings)
        made = World(settings, world.stack, network_id)
        until(lambda: _hosts(made), "the host is up")
        yield made
        for rest in (made.demo, made.reader, made.admin):
            rest.close()


def _answers(settings: Settings) -> bool:
    try:
        return httpx.get(settings.api_url).status_code < 500
    except httpx.TransportError:
        return False


def _hosts(world: World) -> bool:
    hosts = world.admin.show("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
    return any(host["state"] == "up" for host in hosts)


def test_a_boot_and_its_end_on_postgresql(second: World, empty_postgresql: str) -> None:
    before = _rows(empty_postgresql)
    volume = second.demo.make("/volume/v3/volumes", {"volume": {"size": 1, "name": "data"}})["volume"]["id"]
    path = f"/volume/v3/volumes/{volume}"
    until(lambda: second.demo.show(path)["volume"]["status"] == "available", "the volume")
    disk = {"uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": -1}
    root = second.request("on-postgresql")["imageRef"]
    image = {"uuid": root, "source_type": "image", "destination_type": "local", "boot_index": 0}
    server_id = second.boot("on-postgresql", block_device_mapping_v2=[image, disk], user_data="IyEvYmluL3NoCg==")
    server = second.active(server_id)
    assert second.address(server).startswith("10.10.0.")
    assert second.demo.show(path)["volume"]["status"] == "in-use"
    second.delete(server_id)
    assert second.demo.show(path)["volume"]["status"] == "available"
    assert second.demo.delete(path).status_code == 202
    until(lambda: second.demo.get(path).status_code == 404, "the volume is gone")
    # The network's own DHCP port stays.
    until(lambda: _rows(empty_postgresql) == before, "no row is left", 60)


def _rows(url: str) -> dict[str, int]:
    tables = ("claims", "ports", "port_addresses", "volume_attachments", "server_user_data", "debts")
    engine = create_engine(url)
    with engine.connect() as connection:
        found = {table: int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()) for table in tables}
    engine.dispose()
    return found
