"""What a host says of itself, from libvirt and its file system."""

import shutil
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any
from xml.etree import ElementTree as ET

import libvirt

from infra.compute.libvirt import node_devices, topology
from infra.compute.libvirt.connection import Connection
from infra.compute.libvirt.errors import means
from infra.compute.libvirt.probe import Accelerator
from infra.domain.host import HostReport, Inventory
from infra.domain.numa import HostCell
from infra.domain.pci import PciDevice
from infra.settings import Settings

_GIB = 1024**3


class HostFacts:
    """Hardware, which is asked for once, and what changes, which is asked for each time."""

    def __init__(self, connection: Connection, settings: Settings, accelerator: Accelerator) -> None:
        self._connection = connection
        self._settings = settings
        self._accelerator = accelerator

    def report(self) -> HostReport:
        """Raises libvirt's errors."""
        connection = self._connection.get()
        host = self._settings.host
        devices, refused = self._devices()
        return HostReport(
            name=host.name,
            inventory=self._inventory(),
            hypervisor_type="KVM" if self._accelerator.kind == "kvm" else "QEMU",
            hypervisor_version=connection.getVersion(),
            accelerator=self._accelerator.kind,
            accelerator_reason=self._accelerator.reason,
            machine_types=self._machine_types,
            cpu_info=self._cpu_info,
            numa=self._cells,
            pci_devices=devices,
            pci_refused=refused,
            traits=self._traits,
            tunnel_ip=host.tunnel_ip,
            host_ip=host.tunnel_ip,
            running_vms=connection.numOfDomains(),
        )

    def _inventory(self) -> Inventory:
        host = self._settings.host
        directory = self._settings.host_directory
        directory.mkdir(parents=True, exist_ok=True)
        _, memory_mb, cpus, *_ = self._connection.get().getInfo()
        return Inventory(
            vcpus=sum(len(cell.shared) for cell in self._cells) or cpus,
            pcpus=sum(len(cell.dedicated) for cell in self._cells),
            memory_mb=memory_mb,
            disk_gb=shutil.disk_usage(directory).total // _GIB,
            reserved_memory_mb=host.reserved_memory_mb,
            cpu_allocation_ratio=host.cpu_allocation_ratio,
            ram_allocation_ratio=host.ram_allocation_ratio,
            disk_allocation_ratio=host.disk_allocation_ratio,
        )

    def _devices(self) -> tuple[tuple[PciDevice, ...], tuple[str, ...]]:
        """PCI devices for guests, and why others that the settings offer are none. Asked for each time: the parts of a
        card come and go."""
        specs = self._settings.host.pci_device_spec
        if not specs:
            return (), ()
        try:
            found = self._connection.get().listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV)
        except libvirt.libvirtError as error:
            if means(error, libvirt.VIR_ERR_NO_SUPPORT):
                return (), ("The host's libvirt has no driver for node devices.",)
            raise
        return node_devices.offered(_descriptions(found), specs)

    @cached_property
    def _capabilities(self) -> ET.Element:
        return ET.fromstring(self._connection.get().getCapabilities())  # noqa: S314 (libvirt's own)

    @cached_property
    def _cells(self) -> tuple[HostCell, ...]:
        return topology.cells_of(self._capabilities, self._settings.host)

    @cached_property
    def _traits(self) -> tuple[str, ...]:
        return ("HW_CPU_HYPERTHREADING",) if any(cell.siblings for cell in self._cells) else ()

    @property
    def confined(self) -> tuple[int, ...]:
        """The CPUs that guests without a policy keep to; empty where no others are set aside."""
        settings = self._settings.host
        if not settings.cpu_dedicated_set and not settings.cpu_shared_set:
            return ()
        return tuple(sorted(cpu for cell in self._cells for cpu in cell.shared))

    @cached_property
    def _machine_types(self) -> tuple[str, ...]:
        machines = self._capabilities.iterfind("guest/arch[@name='x86_64']/machine")
        return tuple(sorted({machine.text for machine in machines if machine.text}))

    @cached_property
    def _cpu_info(self) -> dict[str, Any]:
        """In the form of the compute API's ``cpu_info`` of a hypervisor."""
        cpu = self._capabilities.find("host/cpu")
        if cpu is None:
            return {}
        topology = cpu.find("topology")
        return {
            "arch": cpu.findtext("arch"),
            "model": cpu.findtext("model"),
            "vendor": cpu.findtext("vendor"),
            "features": sorted(name for feature in cpu.iterfind("feature") if (name := feature.get("name"))),
            "topology": {name: int(value) for name, value in topology.items()} if topology is not None else {},
        }


def _descriptions(found: Iterable[libvirt.virNodeDevice]) -> Iterator[str]:
    for device in found:
        try:
            yield device.XMLDesc(0)
        except libvirt.libvirtError as error:
            # Gone since it was listed: a part of a card that was put together again.
            if not means(error, libvirt.VIR_ERR_NO_NODE_DEVICE):
                raise
