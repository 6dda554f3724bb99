"""The domain of a guest is what a golden file says, and no text of a user's can change its shape."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.compute.driver import Disk, Guest, Interface
from infra.compute.libvirt.domain_xml import (
    NAMESPACE,
    attempt_of,
    device_names,
    devices_of,
    disk_element,
    disks_of,
    render,
)
from infra.domain.errors import BuildAborted

GOLDEN = Path(__file__).parent / "golden"
SERVER = "11111111-2222-3333-4444-555555555555"


def guest(**changes: object) -> Guest:
    disk = Disk(path=Path("/d/root.qcow2"), format="qcow2", device="vda", serial="root", boot_index=0)
    drive = Disk(path=Path("/d/config.iso"), format="raw", device="vdb", serial="config", read_only=True)
    interface = Interface(
        port_id="99999999-0000-0000-0000-000000000000",
        mac_address="fa:16:3e:01:02:03",
        bridge="knbr1",
        tap="kn99999999-00",
        mtu=1450,
    )
    base = Guest(
        server_id=SERVER,
        attempt=2,
        name="web & <db>",
        domain_name=f"kn-{SERVER}",
        project_id="p",
        user_id="u",
        flavor_name="m1.small",
        vcpus=2,
        memory_mb=512,
        disks=(disk, drive),
        interfaces=(interface,),
        console_log=Path("/d/console.log"),
    )
    return base.model_copy(update=changes)


def pretty(xml: str) -> str:
    tree = ET.fromstring(xml)
    ET.indent(tree)
    return ET.tostring(tree, encoding="unicode") + "\n"


KERNEL = {"kernel": Path("/i/k"), "ramdisk": Path("/i/r"), "kernel_arguments": "console=ttyS0 root=LABEL=x"}


@pytest.mark.parametrize(("name", "accelerator", "changes"), [("disk_tcg", "tcg", {}), ("kernel_kvm", "kvm", KERNEL)])
def test_the_domain_is_the_golden_one(name: str, accelerator: str, changes: dict[str, object]) -> None:
    assert pretty(render(guest(**changes), accelerator)) == (GOLDEN / f"{name}.xml").read_text()


def shape(xml: str) -> list[str]:
    return [element.tag for element in ET.fromstring(xml).iter()]


@given(text=st.text(alphabet=st.characters(), max_size=50))
def test_no_text_changes_the_shape(text: str) -> None:
    plain = render(guest(**KERNEL), "tcg")
    hostile = guest(**{**KERNEL, "kernel_arguments": text}, name=text, project_id=text, user_id=text, flavor_name=text)
    xml = render(hostile, "tcg")
    xml.encode()
    assert shape(xml) == shape(plain)


def test_a_name_survives_unless_xml_can_not_carry_it() -> None:
    tree = ET.fromstring(render(guest(name="a<b>&\"'é\x00\x1b\ud800\uffff"), "tcg"))
    assert (
        tree.findtext(f"metadata/{{{NAMESPACE}}}server/{{{NAMESPACE}}}name")
        == "a<b>&\"'é" + "\N{REPLACEMENT CHARACTER}" * 4
    )


@pytest.mark.parametrize("name", ["", "../x", "a b", "a\n", "<x/>", "-x", "x" * 201, "é"])
def test_a_domain_name_is_plain(name: str) -> None:
    with pytest.raises(BuildAborted):
        render(guest(domain_name=name), "tcg")


def test_the_attempt_is_read_back() -> None:
    server = ET.fromstring(render(guest(), "tcg")).find(f"metadata/{{{NAMESPACE}}}server")
    assert server is not None
    assert attempt_of(ET.tostring(server, encoding="unicode")) == 2
    # As libvirt returns the element: its namespace is taken out.
    assert attempt_of("<server attempt='7'/>") == 7


def test_disks_are_found_by_serial_and_target() -> None:
    xml = render(guest(), "tcg")
    assert set(disks_of(xml)) == {"root", "config"}
    assert devices_of(xml) == {"vda", "vdb"}


def test_a_serial_is_cut_to_what_virtio_carries() -> None:
    disk = Disk(path=Path("/v"), format="qcow2", device="vdc", serial=SERVER)
    assert set(disks_of(render(guest(disks=(disk,)), "tcg"))) == {SERVER[:20]}


def test_device_names_go_on_after_z() -> None:
    names = list(device_names())
    assert names[:2] == ["vda", "vdb"]
    assert names[25:27] == ["vdz", "vdaa"]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("boot_index", "order"), [(0, "1"), (3, "4"), (None, None), (-1, None)])
def test_a_disk_that_is_not_booted_from_has_no_place_in_the_order(boot_index: int | None, order: str | None) -> None:
    """libvirt refuses a place of zero, which a volume attached at boot with ``boot_index: -1`` would have had."""
    disk = Disk(path=Path("/v"), format="qcow2", device="vdc", serial=SERVER, boot_index=boot_index)
    boot = disk_element(disk).find("boot")
    assert (boot.get("order") if boot is not None else None) == order
