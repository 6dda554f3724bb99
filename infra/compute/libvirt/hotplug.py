"""Disks and interfaces that come and go while a domain is defined: in the running guest and in its definition alike."""

import time
from collections.abc import Callable
from xml.etree import ElementTree as ET

import libvirt

from infra.compute.driver import Disk, Interface
from infra.compute.libvirt import domain_xml
from infra.compute.libvirt.errors import means
from infra.domain.errors import HostRejected

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_POLL_SECONDS = 0.1
# A guest that is still booting does not see the request: it is made again.
_ASK_SECONDS = 5.0
Devices = Callable[[str], dict[str, ET.Element]]
"""Devices of one kind in a domain's XML, by the name that they are known by."""
_NOT_THERE = (
    libvirt.VIR_ERR_DEVICE_MISSING,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_NO_DOMAIN,
)


def attach_disk(domain: libvirt.virDomain, disk: Disk) -> None:
    """Add ``disk`` wherever it is missing: definition, running guest, or both."""
    _attach(domain, domain_xml.disks_of, disk.serial[:20], domain_xml.disk_element(disk))


def detach_disk(domain: libvirt.virDomain, serial: str, timeout_seconds: float) -> None:
    """Remove the disk; returns when the guest has let go of it.

    Raises:
        HostRejected: soft, it has not within ``timeout_seconds``.
    """
    _detach(domain, domain_xml.disks_of, serial[:20], "disk", timeout_seconds)


def attach_interface(domain: libvirt.virDomain, interface: Interface) -> None:
    """As ``attach_disk``."""
    _attach(domain, domain_xml.interfaces_of, interface.port_id, domain_xml.interface_element(interface))


def detach_interface(domain: libvirt.virDomain, port_id: str, timeout_seconds: float) -> None:
    """As ``detach_disk``."""
    _detach(domain, domain_xml.interfaces_of, port_id, "interface", timeout_seconds)


def serials(domain: libvirt.virDomain) -> list[str]:
    try:
        return sorted(_devices(domain, domain_xml.disks_of, _LIVE if domain.isActive() else _CONFIG))
    except libvirt.libvirtError as error:
        if means(error, libvirt.VIR_ERR_NO_DOMAIN):
            return []
        raise


def free_device(domain: libvirt.virDomain) -> str:
    """The first disk target that neither the definition nor the running guest uses.

    Raises:
        HostRejected: the guest has as many disks as it can.
    """
    used = domain_xml.devices_of(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
    if domain.isActive():
        used |= domain_xml.devices_of(domain.XMLDesc())
    for name in domain_xml.device_names():
        if name not in used and name != "vda":
            return name
    raise HostRejected("The server has as many disks as it can")


def _attach(domain: libvirt.virDomain, of: Devices, name: str, element: ET.Element) -> None:
    flags = _CONFIG if name not in _devices(domain, of, _CONFIG) else 0
    if domain.isActive() and name not in _devices(domain, of, _LIVE):
        flags |= _LIVE
    if flags:
        domain.attachDeviceFlags(ET.tostring(element, encoding="unicode"), flags)


def _detach(domain: libvirt.virDomain, of: Devices, name: str, what: str, timeout_seconds: float) -> None:
    _remove(domain, of, name, _CONFIG)
    end = time.monotonic() + timeout_seconds
    ask_at = 0.0
    while domain.isActive() and name in _devices(domain, of, _LIVE):
        now = time.monotonic()
        if now >= ask_at:
            _remove(domain, of, name, _LIVE)
            ask_at = time.monotonic() + _ASK_SECONDS
            continue
        if now >= end:
            raise HostRejected(f"The guest did not let go of the {what} within {timeout_seconds:.0f} s", soft=True)
        time.sleep(_POLL_SECONDS)


def _devices(domain: libvirt.virDomain, of: Devices, scope: int) -> dict[str, ET.Element]:
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE if scope == _CONFIG else 0
    return of(domain.XMLDesc(flags))


def _remove(domain: libvirt.virDomain, of: Devices, name: str, scope: int) -> None:
    element = _devices(domain, of, scope).get(name)
    if element is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(element, encoding="unicode"), scope)
    except libvirt.libvirtError as error:
        # Gone meanwhile, or the guest has been asked already and thinks about it: the caller looks again.
        pending = means(error, libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_INTERNAL_ERROR) and scope == _LIVE
        if not pending and not means(error, *_NOT_THERE):
            raise
