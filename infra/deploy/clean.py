"""Takes a stack off the machine: guests, networks, processes, files. Touches nothing that isn't this stack's."""

import shutil
from collections.abc import Callable

from infra.deploy import config, libvirtd, shell
from infra.deploy.problems import SetupError
from infra.deploy.stack import Stack
from infra.network.linux.backend import LinuxNetworkBackend
from infra.settings import Settings


def clean(settings: Settings, step: Callable[[str], object]) -> None:
    """Remove everything; the state folder goes last, so that a clean that failed can be repeated.

    Raises:
        SetupError: the folder is no stack's, or something could not be removed.
    """
    if not (settings.state / "kilonova.toml").exists():
        raise SetupError(
            f"{settings.state} holds no stack.", "There is nothing to clean, or KILONOVA_STATE_DIR is wrong."
        )
    stack = Stack(settings)
    step("stopping the programs")
    stack.stop([name for name in stack.programs if name != "libvirtd"])
    step("removing the guests")
    guests(stack)
    step("removing the networks")
    networks(settings)
    stack.stop()
    step(f"removing {settings.state}")
    shutil.rmtree(settings.state)


def guests(stack: Stack) -> None:
    """Destroy and forget every domain of this stack's own libvirtd, which is started for that."""
    directory = config.libvirt_directory(stack.settings)
    if not (directory / "etc").exists():
        return
    stack.start(["libvirtd"])
    virsh = ["virsh", "-c", libvirtd.uri(directory)]
    mend = f"Its log is {config.log_directory(stack.settings) / 'libvirtd.log'}."
    for domain in shell.run([*virsh, "list", "--uuid"], mend=mend).split():
        shell.run([*virsh, "destroy", domain], mend=mend)
    for domain in shell.run([*virsh, "list", "--all", "--uuid"], mend=mend).split():
        shell.run([*virsh, "undefine", "--managed-save", "--nvram", "--snapshots-metadata", domain], mend=mend)


def networks(settings: Settings) -> None:
    """Take down the bridges, tunnels, namespaces, DHCP servers and routers of this stack's host."""
    directory = settings.host_directory / "network"
    if not directory.exists():
        return
    backend = LinuxNetworkBackend(settings.host, directory)
    for server_id, ports in backend.plugged().items():
        for port_id in ports:
            backend.unplug(server_id, port_id)
    backend.route([])
    backend.remove_leftovers()
