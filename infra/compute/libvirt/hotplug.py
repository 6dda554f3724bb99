"""Disks that come and go while a domain is defined: in the running guest and in its definition alike."""

import time
from xml.etree import ElementTree as ET

import libvirt

from infra.compute.driver import Disk
from infra.compute.libvirt import domain_xml
from infra.compute.libvirt.errors import means
from infra.domain.errors import HostRejected

_LIVE = libvirt.VIR_DOMAIN_AFFECT_LIVE
_CONFIG = libvirt.VIR_DOMAIN_AFFECT_CONFIG
_POLL_SECONDS = 0.1
# A guest that is still booting does not see the request: it is made again.
_ASK_SECONDS = 5.0
_NOT_THERE = (
    libvirt.VIR_ERR_DEVICE_MISSING,
    libvirt.VIR_ERR_INVALID_ARG,
    libvirt.VIR_ERR_OPERATION_INVALID,
    libvirt.VIR_ERR_NO_DOMAIN,
)


def attach(domain: libvirt.virDomain, disk: Disk) -> None:
    """Add ``disk`` wherever it is missing: definition, running guest, or both."""
    serial = disk.serial[:20]
    flags = _CONFIG if serial not in _disks(domain, _CONFIG) else 0
    if domain.isActive() and serial not in _disks(domain, _LIVE):
        flags |= _LIVE
    if flags:
        domain.attachDeviceFlags(ET.tostring(domain_xml.disk_element(disk), encoding="unicode"), flags)


def detach(domain: libvirt.virDomain, serial: str, timeout_seconds: float) -> None:
    """Remove the disk; returns when the guest has let go of it.

    Raises:
        HostRejected: soft, it has not within ``timeout_seconds``.
    """
    serial = serial[:20]
    _remove(domain, serial, _CONFIG)
    end = time.monotonic() + timeout_seconds
    ask_at = 0.0
    while domain.isActive() and serial in _disks(domain, _LIVE):
        now = time.monotonic()
        if now >= ask_at:
            _remove(domain, serial, _LIVE)
            ask_at = time.monotonic() + _ASK_SECONDS
            continue
        if now >= end:
            raise HostRejected(f"The guest did not let go of the disk within {timeout_seconds:.0f} s", soft=True)
        time.sleep(_POLL_SECONDS)


def serials(domain: libvirt.virDomain) -> list[str]:
    try:
        return sorted(_disks(domain, _LIVE if domain.isActive() else _CONFIG))
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


def _disks(domain: libvirt.virDomain, scope: int) -> dict[str, ET.Element]:
    flags = libvirt.VIR_DOMAIN_XML_INACTIVE if scope == _CONFIG else 0
    return domain_xml.disks_of(domain.XMLDesc(flags))


def _remove(domain: libvirt.virDomain, serial: str, scope: int) -> None:
    element = _disks(domain, scope).get(serial)
    if element is None:
        return
    try:
        domain.detachDeviceFlags(ET.tostring(element, encoding="unicode"), scope)
    except libvirt.libvirtError as error:
        # Gone meanwhile, or the guest has been asked already and thinks about it: the caller looks again.
        pending = means(error, libvirt.VIR_ERR_OPERATION_FAILED, libvirt.VIR_ERR_INTERNAL_ERROR) and scope == _LIVE
        if not pending and not means(error, *_NOT_THERE):
            raise
