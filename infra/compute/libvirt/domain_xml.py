"""A guest as libvirt's domain XML, and back. Pure: no libvirt, no I/O.

Format: https://libvirt.org/formatdomain.html. All text goes through an XML writer, and characters that XML can't
carry are replaced, so that no name can add or break an element.
"""

import re
import string
from collections.abc import Iterator
from xml.etree import ElementTree as ET

from infra.compute.driver import Disk, Guest, Interface
from infra.compute.libvirt import topology
from infra.domain.errors import BuildAborted

NAMESPACE = "urn:kilonova:server:1"
"""Of the metadata element by which a domain is known as ours."""
HOTPLUG_PORTS = 8
"""PCI Express ports left free for disks and interfaces that come later."""
_TRANSLATION_CACHE_MIB = "32"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# The built-in pcie-root, which has no port of its own.
_FIRST_PORT = 1
_ALIAS = "ua-"
"""What libvirt takes for an alias that is its user's to choose."""

ET.register_namespace("kilonova", NAMESPACE)


def _text(value: str) -> str:
    """``value`` with what XML 1.0 has no form for (control characters, lone surrogates) replaced."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value)


def _add(parent: ET.Element, tag: str, text: str | None = None, /, **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, {name.rstrip("_"): _text(value) for name, value in attributes.items()})
    element.text = None if text is None else _text(text)
    return element


def render(guest: Guest, accelerator: str, shared: tuple[int, ...] = ()) -> str:
    """The domain of ``guest``; ``accelerator`` is ``kvm`` or ``tcg``, ``shared`` the CPUs of guests without a policy.

    Raises:
        BuildAborted: the domain's name is not one that every hypervisor takes.
    """
    if _NAME.fullmatch(guest.domain_name) is None:
        raise BuildAborted("The domain's name holds characters that hypervisors do not take")
    domain = ET.Element("domain", {"type": "kvm" if accelerator == "kvm" else "qemu"})
    _add(domain, "name", guest.domain_name)
    _add(domain, "uuid", guest.server_id)
    _add_metadata(domain, guest)
    _add(domain, "memory", str(guest.memory_mb), unit="MiB")
    _add(domain, "vcpu", str(guest.vcpus), placement="static")
    _add_system_information(domain, guest)
    _add_firmware(domain, guest)
    _add_processor(domain, accelerator)
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _add(domain, f"on_{event}", action)
    topology.add_to(domain, guest, accelerator, shared)
    _add_devices(domain, guest)
    return ET.tostring(domain, encoding="unicode")


def _add_metadata(domain: ET.Element, guest: Guest) -> None:
    server = _add(_add(domain, "metadata"), f"{{{NAMESPACE}}}server", id=guest.server_id, attempt=str(guest.attempt))
    values = {
        "name": guest.name,
        "project": guest.project_id,
        "user": guest.user_id,
        "flavor": guest.flavor_name,
    }
    for tag, value in values.items():
        _add(server, f"{{{NAMESPACE}}}{tag}", value)


def _add_system_information(domain: ET.Element, guest: Guest) -> None:
    """SMBIOS tables; cloud-init knows an OpenStack guest by the product's name."""
    system = _add(_add(domain, "sysinfo", type="smbios"), "system")
    values = {
        "manufacturer": "Kilonova",
        "product": "OpenStack Nova",
        "serial": guest.server_id,
        "uuid": guest.server_id,
        "family": "Virtual Machine",
    }
    for name, value in values.items():
        _add(system, "entry", value, name=name)


def _add_firmware(domain: ET.Element, guest: Guest) -> None:
    firmware = _add(domain, "os")
    _add(firmware, "type", "hvm", arch="x86_64", machine=guest.machine)
    if guest.kernel is not None:
        _add(firmware, "kernel", str(guest.kernel))
        if guest.ramdisk is not None:
            _add(firmware, "initrd", str(guest.ramdisk))
        if guest.kernel_arguments is not None:
            _add(firmware, "cmdline", guest.kernel_arguments)
    _add(firmware, "smbios", mode="sysinfo")


def _add_processor(domain: ET.Element, accelerator: str) -> None:
    features = _add(domain, "features")
    _add(features, "acpi")
    _add(features, "apic")
    if accelerator == "kvm":
        _add(domain, "cpu", mode="host-passthrough", check="none")
    else:
        # QEMU's own size of the cache of translated code is a multiple of a small guest's memory.
        _add(_add(features, "tcg"), "tb-cache", _TRANSLATION_CACHE_MIB, unit="MiB")
        _add(domain, "cpu", mode="maximum", check="none")
    clock = _add(domain, "clock", offset="utc")
    _add(clock, "timer", name="pit", tickpolicy="delay")
    _add(clock, "timer", name="rtc", tickpolicy="catchup")
    _add(clock, "timer", name="hpet", present="no")


def _add_devices(domain: ET.Element, guest: Guest) -> None:
    devices = _add(domain, "devices")
    # One port for each virtio device, the random number generator among them, and for each device of the host.
    ports = len(guest.disks) + len(guest.interfaces) + 1 + len(guest.pci) + HOTPLUG_PORTS
    _add(devices, "controller", type="pci", index="0", model="pcie-root")
    for index in range(_FIRST_PORT, _FIRST_PORT + ports):
        _add(devices, "controller", type="pci", index=str(index), model="pcie-root-port")
    _add(devices, "controller", type="usb", model="none")
    for disk in guest.disks:
        devices.append(disk_element(disk))
    for interface in guest.interfaces:
        devices.append(interface_element(interface))
    for address in guest.pci:
        devices.append(_host_device_element(address))
    serial = _add(devices, "serial", type="pty")
    _add(serial, "log", file=str(guest.console_log), append="on")
    _add(serial, "target", type="isa-serial", port="0")
    generator = _add(devices, "rng", model="virtio")
    _add(generator, "backend", "/dev/urandom", model="random")
    _add(devices, "memballoon", model="none")


def disk_element(disk: Disk) -> ET.Element:
    """The ``disk`` element, for a whole domain or for a disk that comes later."""
    element = ET.Element("disk", {"type": "file", "device": "disk"})
    _add(element, "driver", name="qemu", type=disk.format, cache="writeback", discard="unmap")
    _add(element, "source", file=str(disk.path))
    _add(element, "target", dev=disk.device, bus="virtio")
    if disk.read_only:
        _add(element, "readonly")
    _add(element, "serial", disk.serial[:20])
    # A negative index says that the disk is not booted from (Nova's -1).
    if disk.boot_index is not None and disk.boot_index >= 0:
        _add(element, "boot", order=str(disk.boot_index + 1))
    return element


def interface_element(interface: Interface) -> ET.Element:
    """The ``interface`` element, for a whole domain or for an interface that comes later."""
    element = ET.Element("interface", {"type": "bridge"})
    _add(element, "mac", address=interface.mac_address)
    _add(element, "source", bridge=interface.bridge)
    _add(element, "target", dev=interface.tap)
    _add(element, "model", type="virtio")
    _add(element, "mtu", size=str(interface.mtu))
    # Guests boot from disk or kernel; loading the boot ROM of each interface would only cost time.
    _add(element, "rom", enabled="no")
    _add(element, "alias", name=f"{_ALIAS}{interface.port_id}")
    return element


def _host_device_element(address: str) -> ET.Element:
    """A PCI device of the host, which libvirt takes from the host's driver at the start and gives back at the end."""
    element = ET.Element("hostdev", {"mode": "subsystem", "type": "pci", "managed": "yes"})
    domain, bus, slot, function = re.split("[:.]", address)
    place = {"domain": domain, "bus": bus, "slot": slot, "function": function}
    _add(_add(element, "source"), "address", **{name: f"0x{part}" for name, part in place.items()})
    return element


def attempt_of(metadata: str) -> int:
    """The attempt's number in a domain's metadata element, as libvirt returns it."""
    return int(ET.fromstring(metadata).get("attempt", "0"))  # noqa: S314 (written by ``render``, read from libvirt)


def disks_of(domain_xml: str) -> dict[str, ET.Element]:
    """The ``disk`` elements of a domain by serial; a disk without one is left out."""
    elements = ET.fromstring(domain_xml).iterfind("devices/disk")  # noqa: S314
    return {serial: element for element in elements if (serial := element.findtext("serial"))}


def interfaces_of(domain_xml: str) -> dict[str, ET.Element]:
    """The ``interface`` elements of a domain by port."""
    elements = ET.fromstring(domain_xml).iterfind("devices/interface")  # noqa: S314
    aliases = {element: element.find("alias") for element in elements}
    return {
        alias.get("name", "").removeprefix(_ALIAS): element for element, alias in aliases.items() if alias is not None
    }


def devices_of(domain_xml: str) -> set[str]:
    """The disk targets in use: ``vda``, ..."""
    targets = ET.fromstring(domain_xml).iterfind("devices/disk/target")  # noqa: S314
    return {target.get("dev", "") for target in targets}


def device_names() -> Iterator[str]:
    """``vda``, ``vdb``, ..., ``vdz``, ``vdaa``, ..., ``vdzz``."""
    for first in ("", *string.ascii_lowercase):
        for last in string.ascii_lowercase:
            yield f"vd{first}{last}"
