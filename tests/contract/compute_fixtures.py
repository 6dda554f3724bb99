"""What tests of hypervisors need: a libvirtd of their own, a guest that answers, a bridge."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import pytest

from infra.compute import disks
from infra.compute.driver import Disk, Guest, Interface
from infra.compute.libvirt.connection import Connection
from infra.compute.libvirt.driver import LibvirtDriver
from infra.compute.libvirt.probe import Accelerator
from infra.deploy import libvirtd as deployed
from infra.deploy.guest import GuestFiles
from infra.settings import HostSettings, Settings
from tests import kept


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        time.sleep(0.05)


class Libvirtd:
    """A libvirtd of the tests' own; guests outlive its restarts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.uri = deployed.uri(directory)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.directory / "libvirtd.log").open("ab") as log:
            self._process = subprocess.Popen(deployed.command(self.directory), stderr=log, start_new_session=True)
        wait_until(self._answers, 30, "libvirtd")

    def kill(self) -> None:
        """Like a crash: no chance to tidy up."""
        os.kill(int((self.directory / "libvirtd.pid").read_text()), signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def pause(self) -> None:
        os.kill(int((self.directory / "libvirtd.pid").read_text()), signal.SIGSTOP)

    def unpause(self) -> None:
        os.kill(int((self.directory / "libvirtd.pid").read_text()), signal.SIGCONT)

    def stop(self) -> None:
        connection = libvirt.open(self.uri)
        for domain in connection.listAllDomains():
            if domain.isActive():
                domain.destroy()
        connection.close()
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            libvirt.open(self.uri).close()
        except libvirt.libvirtError:
            return False
        return True


@pytest.fixture(scope="session")
def libvirtd() -> Iterator[Libvirtd]:
    if os.geteuid() != 0 or shutil.which("libvirtd") is None:
        pytest.skip("needs root and libvirtd")
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    directory = Path(tempfile.mkdtemp(prefix="kn-libvirtd-", dir="/tmp"))
    deployed.prepare(directory)
    daemon = Libvirtd(directory)
    daemon.start()
    yield daemon
    daemon.stop()
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def guest_files() -> GuestFiles:
    return kept.guest()


@pytest.fixture(scope="session")
def bridge(libvirtd: Libvirtd) -> Iterator[str]:
    # Each module that imports this has one of its own.
    name = f"knct{secrets.token_hex(4)}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield name
    subprocess.run(["ip", "link", "delete", name], check=True)


@pytest.fixture
def libvirt_driver(libvirtd: Libvirtd, tmp_path: Path) -> Iterator[LibvirtDriver]:
    connection = Connection(libvirtd.uri)
    driver = make_driver(libvirtd, connection, tmp_path)
    yield driver
    for state in driver.domains():
        driver.destroy(state.server_id)
    connection.close()


def make_driver(libvirtd: Libvirtd, connection: Connection, state: Path, **settings: Any) -> LibvirtDriver:
    host = HostSettings(name="host-1", libvirt_uri=libvirtd.uri, **{"guest_nice": 0, **settings})
    return LibvirtDriver(connection, Settings(state_dir=state, host=host), Accelerator("tcg", "The tests ask for it."))


@dataclass
class GuestMaker:
    """Makes guests with an empty root disk (which never boot), or with a kernel and ramdisk."""

    directory: Path
    bridge: str = "none"
    files: GuestFiles | None = None

    def __call__(self, server_id: str | None = None, **changes: object) -> Guest:
        server = server_id or str(uuid.uuid4())
        guest = Guest(
            server_id=server,
            attempt=1,
            name="a server",
            domain_name=f"kn-{server}",
            project_id="project-1",
            user_id="user-1",
            flavor_name="m1.tiny",
            vcpus=1,
            memory_mb=128,
            disks=(self.disk("vda", boot_index=0),),
            console_log=self.directory / f"{server}.log",
        )
        if self.files is not None:
            arguments = "console=ttyS0 no_timer_check quiet"
            boot = {"kernel": self.files.kernel, "ramdisk": self.files.ramdisk, "kernel_arguments": arguments}
            guest = guest.model_copy(update=boot)
        return guest.model_copy(update=changes)

    def disk(self, device: str, serial: str | None = None, boot_index: int | None = None) -> Disk:
        serial = serial or str(uuid.uuid4())
        path = self.directory / f"{serial}.qcow2"
        disks.create_blank(path, 64 * 1024**2)
        return Disk(path=path, format="qcow2", device=device, serial=serial, boot_index=boot_index)

    def interface(self) -> Interface:
        port = str(uuid.uuid4())
        mac = "fa:16:3e:" + ":".join(port[index : index + 2] for index in (0, 2, 4))
        return Interface(port_id=port, mac_address=mac, bridge=self.bridge, tap=f"kn{port[:11]}", mtu=1400)


def console(guest: Guest) -> str:
    return guest.console_log.read_text(errors="replace") if guest.console_log.exists() else ""
