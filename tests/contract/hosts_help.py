"""Hosts for tests of placement."""

from typing import Any

from sqlmodel import Session

from infra.db import claims, groups, hosts
from infra.db.engine import Database
from infra.domain.fitting import Wish
from infra.domain.host import Claim, HostReport, Inventory
from infra.domain.numa import CellWish, HostCell, NumaWish
from infra.domain.pci import PciAlias, PciDevice, PciWish

PINNED = Wish(topology=NumaWish(cells=(CellWish(vcpus=(0, 1), memory_mb=512),), dedicated=True))
GPU = PciAlias(name="gpu", vendor_id="10de", product_id="1db6")
ONE_GPU = Wish(devices=(PciWish(count=1, any_of=(GPU,)),))
INVENTORY = Inventory(vcpus=4, memory_mb=8192, disk_gb=100, cpu_allocation_ratio=2.0)


def report(name: str, *, inventory: Inventory = INVENTORY, **more: Any) -> HostReport:
    values: dict[str, Any] = {"hypervisor_type": "QEMU", "hypervisor_version": 7002000, "accelerator": "tcg", **more}
    return HostReport(name=name, inventory=inventory, **values)


def add(db: Database, *names: str, **more: Any) -> None:
    """Enrolled and ready."""
    for name in names:
        db.write_now(hosts.enrol, report(name, **more))
        db.write_now(hosts.set_ready, name, True)


def add_pinning(db: Database, *names: str, **more: Any) -> None:
    """Hosts with two cells, each with one core of two CPUs that are set aside."""
    cells = tuple(
        HostCell(id=id, shared=(id,), dedicated=own, siblings=(own,), memory_mb=4096)
        for id, own in enumerate([(2, 3), (4, 5)])
    )
    add(db, *names, inventory=INVENTORY.model_copy(update={"pcpus": 4}), numa=cells, **more)


def gpus(*nodes: int | None) -> tuple[PciDevice, ...]:
    """A device on each of these NUMA nodes, in a group of its own."""
    return tuple(
        PciDevice(address=f"0000:65:{n:02x}.0", vendor_id="10de", product_id="1db6", numa_node=node, iommu_group=n)
        for n, node in enumerate(nodes)
    )


def pinned(server_id: str, host: str, cpus: int = 2) -> Claim:
    """Of a server that has its CPUs to itself."""
    return claim(server_id, host, vcpus=0).model_copy(update={"pcpus": cpus})


def claim(
    server_id: str, host: str, *, attempt: int = 1, vcpus: int = 1, memory_mb: int = 512, disk_gb: int = 1
) -> Claim:
    return Claim(server_id=server_id, host=host, attempt=attempt, vcpus=vcpus, memory_mb=memory_mb, disk_gb=disk_gb)


def group(session: Session, policy: str, members: list[str], rule: int = 1) -> None:
    """A group ``g`` of servers."""
    groups.create(session, id="g", project_id="p", user_id="u", name="g", policy=policy, max_server_per_host=rule)
    for member in members:
        groups.add_member(session, "g", member)


def check_sums(db: Database) -> None:
    """What hosts count as claimed is the sum of the claims, and within capacity."""
    held = db.read_now(claims.everywhere)
    for host in db.read_now(hosts.snapshot):
        own = [claim for claim in held if claim.host == host.name]
        sums = (sum(c.vcpus for c in own), sum(c.memory_mb for c in own), sum(c.disk_gb for c in own), len(own))
        assert sums == (host.vcpus_claimed, host.memory_mb_claimed, host.disk_gb_claimed, host.servers)
        assert sum(c.pcpus for c in own) == host.pcpus_claimed
        assert all(host.used[name] <= terms.capacity for name, terms in host.terms.items())
        cpus = [cpu for c in own for cell in c.numa if cell.dedicated for choice in cell.cpus for cpu in choice]
        assert len(cpus) == len(set(cpus)) == host.pcpus_claimed
        assert sorted(cpus) == sorted(cpu for use in host.numa_used for cpu in use.dedicated)
        devices = sorted(device.address for c in own for device in c.pci)
        assert len(devices) == len(set(devices))
        assert devices == [device.address for device in host.pci_used]
