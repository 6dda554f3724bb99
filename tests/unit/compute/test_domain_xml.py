"""The domain of a guest is what a golden file says, and no text of a user's can change its shape."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.compute.driver import Disk, Guest, Interface
from infra.compute.libvirt.domain_xml import NAMESPACE, attempt_of, device_names, devices_of, disks_of, render
from infra.compute.libvirt.topology import cells_of
from infra.domain.errors import BadRequest, BuildAborted
from infra.domain.numa import GuestCell, HostCell
from infra.settings import HostSettings

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


CELLS = (
    GuestCell(id=1, vcpus=(0, 1), cpus=((12,), (13,)), dedicated=True, memory_mb=256, page_kib=2048, emulator=(8, 9)),
    GuestCell(id=0, vcpus=(2,), cpus=((4,),), dedicated=True, memory_mb=256, emulator=(0, 1)),
)
PINNED = {"vcpus": 3, "numa": CELLS}


@pytest.mark.parametrize(
    ("name", "accelerator", "changes"),
    [
        ("disk_tcg", "tcg", {}),
        ("kernel_kvm", "kvm", KERNEL),
        ("pinned_kvm", "kvm", PINNED),
        ("pinned_tcg", "tcg", PINNED),
        ("devices_kvm", "kvm", {"pci": ("0000:65:00.0", "0001:3b:1f.7")}),
    ],
)
def test_the_domain_is_the_golden_one(name: str, accelerator: str, changes: dict[str, object]) -> None:
    assert pretty(render(guest(**changes), accelerator)) == (GOLDEN / f"{name}.xml").read_text()


@pytest.mark.parametrize(("index", "orders"), [(0, ["1"]), (1, ["2"]), (-1, []), (None, [])])
def test_a_disk_has_a_place_in_the_boot_order_only_if_it_is_booted_from(index: int | None, orders: list[str]) -> None:
    disk = Disk(path=Path("/d/volume.qcow2"), format="qcow2", device="vdb", serial="volume", boot_index=index)
    tree = ET.fromstring(render(guest(disks=(disk,)), "tcg"))
    assert [boot.attrib["order"] for boot in tree.iterfind("devices/disk/boot")] == orders


def test_a_guest_without_a_policy_keeps_to_the_shared_cpus_where_others_are_set_aside() -> None:
    def places(shared: tuple[int, ...]) -> str | None:
        return ET.fromstring(render(guest(), "kvm", shared)).find("vcpu").get("cpuset")  # type: ignore[union-attr]

    assert places(()) is None
    assert places((0, 1, 8)) == "0,1,8"


CAPABILITIES = """<capabilities><host><topology><cells num='2'>
<cell id='0'><memory unit='KiB'>8388608</memory><pages unit='KiB' size='4'>2000000</pages>
<pages unit='KiB' size='2048'>128</pages><pages unit='KiB' size='1048576'>0</pages>
<cpus num='4'><cpu id='0' siblings='0,2'/><cpu id='1' siblings='1,3'/><cpu id='2' siblings='0,2'/>
<cpu id='3' siblings='1,3'/></cpus></cell>
<cell id='1'><memory unit='KiB'>4194304</memory><cpus num='1'><cpu id='4' siblings='4'/></cpus></cell>
</cells></topology></host></capabilities>"""


def test_a_hosts_cells_are_what_libvirt_says_they_are() -> None:
    settings = HostSettings(name="h", cpu_dedicated_set="1-4,^2")
    first, second = cells_of(ET.fromstring(CAPABILITIES), settings)
    assert first == HostCell(
        id=0, shared=(0, 2), dedicated=(1, 3), siblings=((0, 2), (1, 3)), memory_mb=8192, pages=((2048, 128),)
    )
    assert second == HostCell(id=1, dedicated=(4,), memory_mb=4096)


@pytest.mark.parametrize("sets", [{"cpu_dedicated_set": "5"}, {"cpu_dedicated_set": "1", "cpu_shared_set": "0-1"}])
def test_sets_of_cpus_that_are_not_there_or_overlap_are_refused(sets: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        cells_of(ET.fromstring(CAPABILITIES), HostSettings(name="h", **sets))


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
