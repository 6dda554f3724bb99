"""Hosts and requests of the scheduler's benchmark."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from infra.db.types import now
from infra.domain.flavor import Flavor
from infra.domain.host import Aggregate, Host, HostReport, Inventory
from infra.domain.numa import HostCell
from infra.domain.pci import PciAlias, PciDevice
from infra.domain.placement import PlacementGroup, PlacementRequest

REPEATS = 51
INVENTORY = Inventory(vcpus=64, memory_mb=262144, disk_gb=4000, pcpus=32)
CELLS = tuple(
    HostCell(
        id=id,
        shared=tuple(range(48 * id, 48 * id + 32)),
        dedicated=tuple(range(48 * id + 32, 48 * id + 48)),
        memory_mb=131072,
    )
    for id in (0, 1)
)
GPU = PciAlias(name="gpu", vendor_id="10de", product_id="1db6")
GPUS = tuple(
    PciDevice(address=f"0000:65:{n:02x}.0", vendor_id="10de", product_id="1db6", numa_node=n % 2, iommu_group=n)
    for n in range(4)
)


def fleet(count: int) -> Iterator[Host]:
    """Hosts of three makes, some busy, one in fifty disabled."""
    moment = now()
    for number in range(count):
        yield Host(
            id=f"id-{number}",
            report=HostReport(
                name=f"host-{number}",
                inventory=INVENTORY,
                hypervisor_type="QEMU",
                hypervisor_version=7002000 + number % 3,
                accelerator="kvm",
                io_ops=number % 4,
                numa=CELLS,
                pci_devices=GPUS if number % 10 == 0 else (),
                traits=("CUSTOM_GOLD",) if number % 2 else (),
                metrics={"heat": number % 7},
                cpu_info={"model": f"cpu-{number % 3}", "features": ["aes", "avx2"]},
            ),
            enabled=number % 50 != 7,
            ready=True,
            reported_at=moment,
            created_at=moment,
            vcpus_claimed=number * 7 % 900,
            memory_mb_claimed=number * 977 % 250_000,
            disk_gb_claimed=number * 3 % 3500,
            servers=number % 30,
        )


def request(server_id: str = "server", *, group: PlacementGroup | None = None) -> PlacementRequest:
    flavor = Flavor(
        id="1", name="m1", vcpus=4, ram_mb=4096, disk_gb=20, extra_specs={"capabilities:cpu_info:features": "<in> aes"}
    )
    properties = {"hw_architecture": "x86_64"}
    return PlacementRequest(
        server_id=server_id, project_id="p", flavor=flavor, image_properties=properties, group=group
    )


def demanding() -> dict[str, PlacementRequest]:
    """For each filter and weigher that answers special wishes only, a request with such a wish."""
    specs = {
        "trait:CUSTOM_GOLD": "required",
        "aggregate_instance_extra_specs:ssd": "true",
        "hw:cpu_policy": "dedicated",
        "pci_passthrough:alias": "gpu:1",
    }
    plain = request()
    hinted = {"same_host": "s1", "different_host": "s2", "query": '["and", [">=", "$free_ram_mb", 1024]]'}
    special = plain.model_copy(
        update={
            "flavor": plain.flavor.model_copy(update={"extra_specs": specs}),
            "availability_zone": "nova",
            "hints": hinted,
            "server_hosts": {"s1": "host-1", "s2": "host-2"},
            "excluded_hosts": ("host-3",),
            "forced_host": "host-1",
        }
    )
    members = tuple(f"host-{number}" for number in range(0, 10_000, 20))
    found = {"": special, "ComputeCapabilitiesFilter": plain}
    policies = {
        "ServerGroupAffinityFilter": "affinity",
        "ServerGroupAntiAffinityFilter": "anti-affinity",
        "ServerGroupSoftAffinityWeigher": "soft-affinity",
        "ServerGroupSoftAntiAffinityWeigher": "soft-anti-affinity",
    }
    for name, policy in policies.items():
        found[name] = request(group=PlacementGroup(id="g", policy=policy, hosts=members))
    return found


def aggregates(hosts: list[Host]) -> list[Aggregate]:
    """Two halves, one of them with metadata that most of the aggregates' filters look at."""
    names = [host.name for host in hosts]
    metadata = {"ssd": "true", "instance_type": "m1", "filter_tenant_id": "p", "max_io_ops_per_host": "3"}
    return [
        Aggregate(id=1, uuid="1", name="fast", metadata=metadata, hosts=tuple(names[::2]), created_at=now()),
        Aggregate(id=2, uuid="2", name="slow", metadata={}, hosts=tuple(names[1::2]), created_at=now()),
    ]


def median_ms(call: Callable[[], Any]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000
