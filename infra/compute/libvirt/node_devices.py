"""PCI devices of a host, from libvirt's descriptions of its node devices: which of them guests may have. Pure.

Format: https://libvirt.org/formatnode.html.
"""

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

from infra.domain.pci import PciDevice, PciDeviceSpec

_BRIDGE = "0x06"
"""How the class of every bridge begins, to another bus or to the processor."""


def offered(
    descriptions: Iterable[str], specs: Sequence[PciDeviceSpec]
) -> tuple[tuple[PciDevice, ...], tuple[str, ...]]:
    """The devices that the host's settings offer and that can be given to guests, by address; and a sentence for each
    other one that they offer, saying why it can't."""
    devices, refused = [], []
    for description in descriptions:
        element = ET.fromstring(description).find("capability[@type='pci']")  # noqa: S314 (libvirt's own)
        if element is None:
            continue
        device = device_of(element)
        if not any(spec.offers(device) for spec in specs):
            continue
        why = _why_not(element)
        if why is None:
            devices.append(device)
        else:
            refused.append(f"PCI device {device.address} ({device.vendor_id}:{device.product_id}) {why}.")
    return tuple(sorted(devices, key=lambda device: device.address)), tuple(sorted(refused))


def device_of(element: ET.Element) -> PciDevice:
    """What the ``pci`` capability of a node device says of it."""
    card = element.find("capability[@type='phys_function']/address")
    divides = element.find("capability[@type='virt_functions']") is not None
    node, group = element.find("numa"), element.find("iommuGroup")
    return PciDevice(
        address=_address({name: element.findtext(name, "0") for name in ("domain", "bus", "slot", "function")}),
        vendor_id=_number(element, "vendor"),
        product_id=_number(element, "product"),
        type="type-VF" if card is not None else "type-PF" if divides else "type-PCI",
        physical_function=_address(card.attrib) if card is not None else None,
        numa_node=int(node.get("node", "0")) if node is not None else None,
        iommu_group=int(group.get("number", "0")) if group is not None else None,
    )


def _why_not(element: ET.Element) -> str | None:
    if element.findtext("class", "").startswith(_BRIDGE):
        return "is a bridge"
    if element.find("iommuGroup") is None:
        return "is in no IOMMU group: the host has no IOMMU, or it is not enabled"
    return None


def _number(element: ET.Element, name: str) -> str:
    found = element.find(name)
    return f"{int(found.get('id', '0'), 16) if found is not None else 0:04x}"


def _address(parts: dict[str, str]) -> str:
    """Of numbers in decimal, or in hexadecimal with 0x."""
    domain, bus, slot, function = (int(parts[name], 0) for name in ("domain", "bus", "slot", "function"))
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"
