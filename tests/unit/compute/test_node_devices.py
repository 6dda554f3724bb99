"""What libvirt says of a host's PCI devices, as stored files, and what of it servers may have."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infra.compute.libvirt.node_devices import offered
from infra.domain.pci import PciDevice, PciDeviceSpec

FILES = sorted((Path(__file__).parent / "node_devices").glob("*.xml"))
ACCELERATOR = PciDevice(
    address="0000:65:00.0", vendor_id="10de", product_id="1db6", type="type-PCI", numa_node=1, iommu_group=12
)
CARD = PciDevice(
    address="0000:3b:00.0", vendor_id="8086", product_id="10fb", type="type-PF", numa_node=0, iommu_group=30
)
PART = PciDevice(
    address="0000:3b:10.0",
    vendor_id="8086",
    product_id="10ed",
    type="type-VF",
    physical_function="0000:3b:00.0",
    numa_node=0,
    iommu_group=71,
)


def seen(*specs: dict[str, str]) -> tuple[tuple[PciDevice, ...], tuple[str, ...]]:
    return offered([path.read_text() for path in FILES], [PciDeviceSpec(**spec) for spec in specs])


def test_every_device_that_can_be_given_to_a_guest_is_offered_and_the_others_say_why_not() -> None:
    assert seen({}) == (
        (CARD, PART, ACCELERATOR),
        (
            "PCI device 0000:00:03.0 (1af4:1041) is in no IOMMU group: the host has no IOMMU, or it is not enabled.",
            "PCI device 0000:64:00.0 (8086:2030) is a bridge.",
        ),
    )
    assert seen() == ((), ())


@pytest.mark.parametrize(
    ("spec", "devices"),
    [
        ({"vendor_id": "10DE"}, [ACCELERATOR]),
        ({"vendor_id": "8086", "product_id": "10ed"}, [PART]),
        ({"product_id": "10fb", "vendor_id": "*"}, [CARD]),
        ({"address": "*:65:00.*"}, [ACCELERATOR]),
        ({"address": ":3b:"}, [CARD, PART]),
        ({"address": "0000:3b:10.0"}, [PART]),
        # Of a card, its parts too.
        ({"address": "0000:3b:0.0"}, [CARD, PART]),
        ({"address": "0000:3b:0.0", "product_id": "10ed"}, [PART]),
        ({"address": "1:*:*.*"}, []),
    ],
)
def test_settings_choose_by_vendor_product_and_address(spec: dict[str, str], devices: list[PciDevice]) -> None:
    assert seen(spec) == (tuple(devices), ())


def test_what_several_settings_offer_is_offered_once() -> None:
    assert seen({"vendor_id": "10de"}, {"address": "*:65:*.*"}) == ((ACCELERATOR,), ())


@pytest.mark.parametrize(
    "spec",
    [
        {"vendor_id": "10d"},
        {"vendor_id": "0x10de"},
        {"address": "0000:65:00.0.1"},
        {"address": "0:0:0:0.0"},
        {"address": "6*:00.0"},
        {"address": "0000:123:00.0"},
        {"physical_network": "physnet1"},
    ],
)
def test_settings_of_a_wrong_form_are_refused(spec: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        PciDeviceSpec(**spec)
