"""NUMA cells and CPUs between libvirt's XML and ours: a host's from its capabilities, a guest's into its domain.

Formats: https://libvirt.org/formatcaps.html and https://libvirt.org/formatdomain.html. Pure.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from infra.compute.driver import Guest
from infra.domain.errors import BadRequest
from infra.domain.extra_specs import cpu_set
from infra.domain.numa import HostCell
from infra.settings import HostSettings

_KIB_IN_MIB = 1024
_SMALL_KIB = 4


def shared_cpus(every: Iterable[int], settings: HostSettings) -> tuple[int, ...]:
    """CPUs of guests without a policy.

    Raises:
        BadRequest: the host's settings name CPUs that are not there, or one CPU twice.
    """
    cpus, dedicated, shared = set(every), cpu_set(settings.cpu_dedicated_set), cpu_set(settings.cpu_shared_set)
    if not cpus.issuperset((*dedicated, *shared)) or set(dedicated) & set(shared):
        raise BadRequest("host.cpu_dedicated_set and host.cpu_shared_set must be disjoint sets of this host's CPUs.")
    return shared or tuple(sorted(cpus.difference(dedicated)))


def cells_of(capabilities: ET.Element, settings: HostSettings) -> tuple[HostCell, ...]:
    """The host's cells, from libvirt's capabilities. Raises BadRequest as ``shared_cpus`` does."""
    cells = list(capabilities.iterfind("host/topology/cells/cell"))
    shared = frozenset(shared_cpus((cpu for cell in cells for cpu in _cpus(cell)), settings))
    dedicated = frozenset(cpu_set(settings.cpu_dedicated_set))
    return tuple(
        HostCell(
            id=int(cell.get("id", "0")),
            shared=tuple(sorted(shared.intersection(_cpus(cell)))),
            dedicated=tuple(sorted(dedicated.intersection(_cpus(cell)))),
            siblings=tuple(sorted(_siblings(cell))),
            memory_mb=int(cell.findtext("memory", "0")) // _KIB_IN_MIB,
            pages=tuple(sorted(_pages(cell))),
            socket=_socket(cell),
        )
        for cell in cells
    )


def _cpus(cell: ET.Element) -> list[int]:
    return [int(cpu.get("id", "0")) for cpu in cell.iterfind("cpus/cpu")]


def _siblings(cell: ET.Element) -> set[tuple[int, ...]]:
    cores = {cpu_set(cpu.get("siblings", "")) for cpu in cell.iterfind("cpus/cpu")}
    return {core for core in cores if len(core) > 1}


def _socket(cell: ET.Element) -> int | None:
    """None where the cell's CPUs are in several, or libvirt does not say."""
    sockets = {cpu.get("socket_id") for cpu in cell.iterfind("cpus/cpu")}
    return int(socket) if len(sockets) == 1 and (socket := sockets.pop()) is not None else None


def _pages(cell: ET.Element) -> list[tuple[int, int]]:
    found = [(int(pages.get("size", "0")), int(pages.text or "0")) for pages in cell.iterfind("pages")]
    return [(size, count) for size, count in found if size > _SMALL_KIB and count]


def add_to(domain: ET.Element, guest: Guest, accelerator: str, shared: tuple[int, ...]) -> None:
    """Bind a guest to the CPUs and the memory that its claim names.

    Args:
        shared: the CPUs of guests without a policy; empty: any.
    """
    vcpu, cpu = domain.find("vcpu"), domain.find("cpu")
    assert vcpu is not None
    assert cpu is not None
    if not guest.numa:
        if shared:
            vcpu.set("cpuset", _set(shared))
        return
    pins = {vcpu_id: cpus for cell in guest.numa for vcpu_id, cpus in zip(cell.vcpus, cell.cpus, strict=True)}
    everywhere = sorted({cpu for cpus in pins.values() for cpu in cpus})
    emulator = sorted({cpu for cell in guest.numa for cpu in cell.emulator}) or everywhere
    vcpu.set("cpuset", _set(everywhere))
    tuning = ET.SubElement(domain, "cputune")
    # Interpreted guests have no thread for each vCPU that could be bound: all of them share the guest's CPUs.
    for vcpu_id, cpus in sorted(pins.items()) if accelerator == "kvm" else ():
        ET.SubElement(tuning, "vcpupin", vcpu=str(vcpu_id), cpuset=_set(cpus))
    ET.SubElement(tuning, "emulatorpin", cpuset=_set(emulator))
    memory = ET.SubElement(domain, "numatune")
    ET.SubElement(memory, "memory", mode="strict", nodeset=_set(sorted(cell.id for cell in guest.numa)))
    numa = ET.SubElement(cpu, "numa")
    for index, cell in enumerate(guest.numa):
        ET.SubElement(memory, "memnode", cellid=str(index), mode="strict", nodeset=str(cell.id))
        memory_mb = str(cell.memory_mb)
        ET.SubElement(numa, "cell", id=str(index), cpus=_set(cell.vcpus), memory=memory_mb, unit="MiB")
    huge = [(index, cell.page_kib) for index, cell in enumerate(guest.numa) if cell.page_kib is not None]
    if huge:
        pages = ET.SubElement(ET.SubElement(domain, "memoryBacking"), "hugepages")
        for index, size_kib in huge:
            ET.SubElement(pages, "page", size=str(size_kib), unit="KiB", nodeset=str(index))


def _set(cpus: Iterable[int]) -> str:
    return ",".join(str(cpu) for cpu in cpus)
