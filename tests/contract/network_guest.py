"""A guest without a virtual machine: a namespace whose one interface stands in a network's bridge as a tap would."""

import http.client
import os
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from infra.network.backend import Plugged
from infra.network.linux import links, netns

_SCRIPT = '#!/bin/sh\n[ "$1" = bound ] || exit 0\nenv > "$LEASE"\n'


class Guest:
    def __init__(self, namespace: str, directory: Path) -> None:
        self.namespace = namespace
        self._directory = directory

    def dhcp(self, *, tries: int = 10) -> dict[str, str] | None:
        """What a DHCP client learnt, as its variables; None when nobody answered. Configures nothing."""
        script, lease = self._directory / "script", self._directory / "lease"
        script.write_text(_SCRIPT)
        script.chmod(0o755)
        lease.unlink(missing_ok=True)
        asked = ["-O", "staticroutes", "-O", "mtu", "-O", "hostname", "-O", "dns"]
        retries = ["-t", str(tries), "-T", "1", "-A", "1"]
        command = ["busybox", "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-s", str(script), *retries, *asked]
        environment = {"PATH": os.environ["PATH"], "LEASE": str(lease)}
        self.run(lambda: subprocess.run(command, env=environment, capture_output=True, timeout=60))
        if not lease.exists():
            return None
        return dict(line.split("=", 1) for line in lease.read_text().splitlines() if "=" in line)

    def configure(self, address: str, length: int, routes: dict[str, str]) -> None:
        """Take an address and routes, by destination, as a guest does after DHCP."""

        def work() -> None:
            with IPRoute() as ip:
                device = links.index("eth0")
                ip.addr("replace", index=device, address=address, prefixlen=length)
                for destination, gateway in routes.items():
                    ip.route("replace", dst=destination, gateway=gateway)

        self.run(work)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of what the metadata service answers."""

        def work() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("169.254.169.254", 80, timeout=10)
            try:
                connection.request("GET", path, headers=headers or {})
                reply = connection.getresponse()
                return reply.status, reply.read()
            finally:
                connection.close()

        return self.run(work)

    def run(self, work: Callable[[], Any]) -> Any:
        return netns.run_in(self.namespace, work)


@contextmanager
def guest(plugged: Plugged, mac: str, directory: Path) -> Iterator[Guest]:
    """A guest with this MAC address on the port's tap."""
    name = f"guest-{uuid.uuid4()}"
    folder = directory / name
    folder.mkdir()
    netns.run_in(name, lambda: None)
    with IPRoute() as ip:
        peer = {"ifname": "eth0", "net_ns_fd": name, "address": mac}
        ip.link("add", ifname=plugged.tap, kind="veth", peer=peer)
        ip.link("set", index=links.index(plugged.tap), master=links.index(plugged.bridge), state="up")

        def up() -> None:
            Path("/proc/sys/net/ipv6/conf/eth0/accept_dad").write_text("0")
            with IPRoute() as within:
                within.link("set", index=links.index("eth0"), mtu=plugged.mtu, state="up")

        netns.run_in(name, up)
        try:
            yield Guest(name, folder)
        finally:
            links.remove(ip, [plugged.tap])
            netns.remove(name)
            shutil.rmtree(folder)


def together(*works: Callable[[], object]) -> None:
    """Do all at once, each in a thread; the first error is raised."""
    errors: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
