"""A host that is tidied, on libvirt and Linux networks that are real: what nobody expects there goes, and what a living
server has stays as it is."""

import asyncio
import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.compute.attempts import Attempts
from infra.compute.copies import DiskCopies
from infra.compute.guests import GuestFiles
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.upkeep import Upkeep
from infra.db.settlement import Expected
from infra.image.host_cache import HostCache
from infra.network import names
from infra.network.linux import LinuxNetworkBackend, dnsmasq, netns
from infra.settings import HostSettings, Settings
from tests.contract.compute_fixtures import GuestMaker, Libvirtd, libvirt_driver, libvirtd
from tests.contract.test_network_backend import make_nic, prefix

__all__ = ["libvirt_driver", "libvirtd"]

pytestmark = [pytest.mark.libvirt, pytest.mark.root]
IMAGE = str(uuid.uuid4())


class Control:
    """The control plane as a host sees it: what should be here, nothing owed, and nothing said of its network."""

    def __init__(self) -> None:
        self.expected: list[Expected] = []
        self._loop = asyncio.get_running_loop()

    async def request(self, method: str, path: str, **_: Any) -> Any:
        assert (method, path.rsplit("/", 1)[-1]) in {("GET", "debts"), ("GET", "servers"), ("GET", "network")}
        return {"debts": [], "servers": [json.loads(one.model_dump_json()) for one in self.expected]}

    def blocking(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(30)


class Host:
    def __init__(self, driver: LibvirtDriver, directory: Path) -> None:
        self.settings = HostSettings(name="host-1", interface_prefix=prefix(), vxlan_port=14790)
        self.directory = directory
        self.driver = driver
        self.network = LinuxNetworkBackend(self.settings, directory / "network")
        self.files = GuestFiles(directory / "instances")
        self.copies = DiskCopies(directory / "instances")
        self.cache = HostCache(directory / "images")
        (directory / "images" / "data" / IMAGE).touch()
        self.attempts = Attempts(directory / "attempts")
        self.made = GuestMaker(directory)

    def upkeep(self, control: Control) -> Upkeep:
        settings = Settings(state_dir=self.directory, host=self.settings)
        parts = (self.driver, self.network, self.files, self.copies, self.cache, self.attempts)
        return Upkeep(settings, *parts, control)  # type: ignore[arg-type]

    def boot(self, last: int, attempt: int = 1) -> tuple[str, str, str]:
        """A guest that runs, with a port, files and an image: ids of server, port and network."""
        server_id, nic = str(uuid.uuid4()), make_nic(str(uuid.uuid4()), last, vni=2**23 + last)
        self.network.plug(server_id, "web", nic)
        self.cache.keep(IMAGE, server_id)
        folder = self.directory / "instances" / server_id
        folder.mkdir()
        (folder / f"disk.{attempt}").touch()
        self.driver.define(self.made(server_id, attempt=attempt))
        self.driver.start(server_id)
        return server_id, nic.port_id, nic.network_id

    def state(self) -> dict[str, Any]:
        """Of everything that a server may have on a host."""
        shown = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
        links = {line.split(": ")[1].partition("@")[0] for line in shown.splitlines()}
        own = self.settings.interface_prefix
        return {
            "guests": {(one.server_id, one.attempt, one.power_state) for one in self.driver.domains()},
            "files": {str(path) for path in (self.directory / "instances").rglob("*")},
            "images": self.cache.users(),
            "plugged": self.network.plugged(),
            "links": {name for name in links if name.startswith(own)},
            "namespaces": {name for name in netns.names() if name.startswith(f"{own}-")},
            "servers": {str(found) for pid, found in dnsmasq.scan() if found.is_relative_to(self.directory)},
        }


@pytest.fixture
def host(libvirtd: Libvirtd, libvirt_driver: LibvirtDriver, tmp_path: Path) -> Iterator[Host]:
    made = Host(libvirt_driver, tmp_path)
    yield made
    for server_id, ports in made.network.plugged().items():
        for port_id in ports:
            made.network.unplug(server_id, port_id)
    made.network.remove_leftovers()


def plant(host: Host, living: str, network_id: str) -> None:
    """Everything that may be left behind, each on its own: no other trace of its server leads to it."""
    prefix, stray = host.settings.interface_prefix, str(uuid.uuid4())
    # All of one server, and of another only the domain.
    host.boot(20)
    alone = str(uuid.uuid4())
    host.driver.define(host.made(alone))
    # Only a port, with its network; and ports too many of the living server, in another network and in its own.
    host.network.plug(str(uuid.uuid4()), "gone", make_nic(str(uuid.uuid4()), 21, vni=2**23 + 21))
    host.network.plug(living, "web", make_nic(str(uuid.uuid4()), 22, vni=2**23 + 22))
    host.network.plug(living, "web", make_nic(network_id, 11, vni=2**23 + 10))
    # Devices and a namespace that no port file tells of.
    for name in (names.bridge(prefix, stray), names.tunnel(prefix, str(uuid.uuid4()))):
        subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "tuntap", "add", names.tap(prefix, stray), "mode", "tap"], check=True)
    subprocess.run(["ip", "netns", "add", names.namespace(prefix, stray)], check=True)
    # Files and an image's reference of servers without a domain, and an earlier attempt at the living one.
    folder = host.directory / "instances" / str(uuid.uuid4())
    folder.mkdir()
    for name in ("disk.3", "config.3", "guest.3.json", "console.log"):
        (folder / name).touch()
    host.cache.keep(IMAGE, str(uuid.uuid4()))
    (host.directory / "instances" / living / "disk.1").touch()


async def test_what_nobody_expects_goes_and_a_living_server_is_not_touched(host: Host) -> None:
    living, port_id, network_id = await asyncio.to_thread(host.boot, 10, 2)
    before = await asyncio.to_thread(host.state)
    process = _qemu(living)
    control = Control()
    control.expected = [
        Expected(server_id=living, attempts=(2,), vm_state="active", task_state=None, ports=(port_id,), images=(IMAGE,))
    ]
    assert (await host.upkeep(control).tidy()).done == ()
    await asyncio.to_thread(plant, host, living, network_id)
    planted = await asyncio.to_thread(host.state)
    assert [name for name, found in planted.items() if len(found) <= len(before[name]) and name != "plugged"] == []
    tidied = await host.upkeep(control).tidy()
    # What it removes of a living server's earlier attempts is one look, its stray ports another.
    again = await host.upkeep(control).tidy()
    assert await asyncio.to_thread(host.state) == before
    assert _qemu(living) == process
    assert [guest.server_id for guest in tidied.guests] == [living]
    assert (len(tidied.done) > 5, (await host.upkeep(control).tidy()).done) == (True, ()), again


def _qemu(server_id: str) -> list[str]:
    found = subprocess.run(["pgrep", "-f", f"qemu.*{server_id}"], capture_output=True, text=True)
    return found.stdout.split()
