"""The first server: booted with the ``openstack`` client, asked over ssh who it is."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from infra.deploy import clients, config, seeds, shell
from infra.deploy.problems import SetupError
from infra.deploy.rest import Cloud
from infra.network.names import namespace
from infra.settings import Settings

NAME = "demo-1"
OPTIONS = (
    *("--image", seeds.IMAGE, "--flavor", "m1.tiny", "--network", seeds.NETWORK),
    *("--key-name", seeds.KEY, "--config-drive", "true"),
)
_BUILD_SECONDS = 600
_SSH_SECONDS = 600
"""An emulated guest on a busy machine takes minutes."""
_HOST_SECONDS = 120


@dataclass(frozen=True)
class Demo:
    server_id: str
    address: str
    uname: str
    created: bool


def wait_for_host(admin: Cloud, settings: Settings) -> str:
    """Return when a compute host is enabled and up; what it is, for people.

    Raises:
        SetupError: none is within two minutes.
    """
    deadline = time.monotonic() + _HOST_SECONDS
    while time.monotonic() < deadline:
        for host in admin.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]:
            if host["state"] == "up" and host["status"] == "enabled":
                return f"{host['hypervisor_hostname']} ({host['hypervisor_type']}, {host['vcpus']} vCPUs)"
        time.sleep(0.5)
    log = config.log_directory(settings) / "compute-worker.log"
    raise SetupError(f"No compute host came up within {_HOST_SECONDS} s.", f"Its worker's log is {log}.")


def boot(settings: Settings, network_id: str) -> Demo:
    """Boot ``demo-1`` unless it is there, and ask it for its ``uname -a``.

    Raises:
        SetupError: it is in ERROR, or doesn't answer on ssh in ten minutes.
    """
    demo = Cloud(settings, "kilonova")
    server = _find(demo)
    created = server is None
    if server is None:
        try:
            clients.openstack(settings, "server", "create", *OPTIONS, "--wait", NAME)
        except SetupError:
            # The client only says that it failed; a server in ERROR says why.
            if _find(demo) is None:
                raise
    elif server["status"] == "SHUTOFF":
        clients.openstack(settings, "server", "start", NAME)
    server = _settled(demo)
    if server is None or server["status"] == "ERROR":
        fault = json.dumps((server or {}).get("fault", {}).get("message", "it is gone"))
        raise SetupError(
            f"The server {NAME} did not boot: {fault}.", f"Delete it and run this again: {_delete(settings)}."
        )
    address = str(server["addresses"][seeds.NETWORK][0]["addr"])
    return Demo(server["id"], address, _uname(settings, network_id, address), created)


def ssh(settings: Settings, network_id: str, address: str) -> list[str]:
    """The command, without what to run, that reaches a guest from this host: through its network's namespace."""
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=5")
    inside = ["ip", "netns", "exec", namespace(settings.host.interface_prefix, network_id)]
    flags = [flag for option in options for flag in ("-o", option)]
    return [*inside, "ssh", "-i", str(clients.key_file(settings)), *flags, "-o", "BatchMode=yes", f"cirros@{address}"]


def _find(demo: Cloud) -> dict[str, Any] | None:
    servers = demo.get("/compute/v2.1/servers/detail", name=f"^{NAME}$")["servers"]
    return servers[0] if servers else None


def _settled(demo: Cloud) -> dict[str, Any] | None:
    """The server once it is not being built any more: an earlier set-up may have been stopped in between."""
    deadline = time.monotonic() + _BUILD_SECONDS
    while (server := _find(demo)) is not None and server["status"] == "BUILD" and time.monotonic() < deadline:
        time.sleep(0.5)
    return server


def _uname(settings: Settings, network_id: str, address: str) -> str:
    command = [*ssh(settings, network_id, address), "uname", "-a"]
    deadline = time.monotonic() + _SSH_SECONDS
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return done.stdout.strip()
        if time.monotonic() > deadline:
            said = shell.last_line(done.stderr)
            what = f"{NAME} did not answer ssh on {address} within {_SSH_SECONDS} s: {said}."
            raise SetupError(what, f"Its console: . {settings.state}/activate; openstack console log show {NAME}.")
        time.sleep(0.5)


def _delete(settings: Settings) -> str:
    return f". {settings.state}/activate; openstack server delete {NAME}"
