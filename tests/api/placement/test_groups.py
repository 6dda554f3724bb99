"""Request groups of allocation candidates, and hosts with CPUs that are set aside."""

from infra.db import claims, hosts
from infra.db.engine import Database
from tests.api.placement.conftest import A, B, Caller
from tests.contract.hosts_help import ONE_GPU, PINNED, add, add_pinning, claim, gpus, pinned

ANSWERED = [
    ("resources1=VCPU:1&resources2=DISK_GB:1&group_policy=none", ["a", "b"]),
    ("resources1=VCPU:1&resources2=DISK_GB:1&group_policy=isolate", []),
    ("resources=VCPU:1&resources1=DISK_GB:1&group_policy=isolate", ["a", "b"]),
    ("resources=VCPU:1&resources1=DISK_GB:1", ["a", "b"]),
    ("resources=VCPU:1&resources_GOLD=VCPU:1&required_GOLD=CUSTOM_GOLD", ["a"]),
    ("resources1=VCPU:1&required1=!CUSTOM_GOLD", ["b"]),
    (f"resources=VCPU:1&resources1=VCPU:1&in_tree1={B}", ["b"]),
    ("resources=DISK_GB:50&resources1=DISK_GB:45", ["b"]),
    ("resources=DISK_GB:60&resources1=DISK_GB:45", []),
    ("resources=VCPU:1&root_required=CUSTOM_GOLD", ["a"]),
    ("resources=VCPU:1&root_required=!CUSTOM_GOLD", ["b"]),
    ("resources_A=VCPU:1&resources_B=VCPU:1&group_policy=none&same_subtree=_A,_B", ["a", "b"]),
]


async def test_every_group_of_a_request_is_served_by_one_host(admin: Caller, world: Database) -> None:
    for asked, names in ANSWERED:
        shown = await admin(f"/allocation_candidates?{asked}")
        found = [id for candidate in shown["allocation_requests"] for id in candidate["allocations"]]
        assert found == [hosts.host_id(name) for name in names], asked


async def test_amounts_and_mappings_of_groups_are_those_of_the_one_host(admin: Caller, world: Database) -> None:
    query = "resources=VCPU:1,DISK_GB:2&resources1=VCPU:2&required1=CUSTOM_GOLD"
    (candidate,) = (await admin(f"/allocation_candidates?{query}"))["allocation_requests"]
    assert candidate["allocations"] == {A: {"resources": {"VCPU": 3, "DISK_GB": 2}}}
    assert candidate["mappings"] == {"": [A], "1": [A]}


REFUSED = [
    ("1.39", "resources1=VCPU:1&resources2=VCPU:1"),
    ("1.39", "resources1=VCPU:1&resources2=VCPU:1&group_policy=apart"),
    ("1.39", "required1=CUSTOM_GOLD"),
    ("1.35", "resources=VCPU:1&required1=CUSTOM_GOLD"),
    ("1.39", "resources=VCPU:1&same_subtree=_A"),
    ("1.39", "resources01=VCPU:1"),
    ("1.32", "resources_A=VCPU:1"),
    ("1.24", "resources1=VCPU:1"),
    ("1.24", "resources=VCPU:1&group_policy=none"),
    ("1.34", "resources=VCPU:1&root_required=CUSTOM_GOLD"),
    ("1.16", "resources=VCPU:1&required=CUSTOM_GOLD"),
]


async def test_groups_that_a_version_does_not_know_or_that_say_too_little_are_refused(
    admin: Caller, world: Database
) -> None:
    for version, asked in REFUSED:
        await admin(f"/allocation_candidates?{asked}", version=version, status=400)


async def test_cpus_that_are_set_aside_are_a_class_of_their_own(admin: Caller, database: Database) -> None:
    add_pinning(database, "a")
    add(database, "b")
    database.write_now(claims.claim, pinned("s", "a"), PINNED)
    assert (await admin(f"/resource_providers/{A}/usages"))["usages"]["PCPU"] == 2
    shown = (await admin(f"/resource_providers/{A}/inventories"))["inventories"]["PCPU"]
    assert (shown["total"], shown["allocation_ratio"]) == (4, 1.0)
    assert "PCPU" not in (await admin(f"/resource_providers/{B}/inventories"))["inventories"]
    (candidate,) = (await admin("/allocation_candidates?resources=PCPU:2"))["allocation_requests"]
    assert list(candidate["allocations"]) == [A]
    assert (await admin("/allocation_candidates?resources=PCPU:3"))["allocation_requests"] == []


GPUS = "CUSTOM_PCI_10DE_1DB6"


async def test_pci_devices_are_a_class_by_vendor_and_product(admin: Caller, database: Database) -> None:
    one, *others = gpus(None, None, None)
    # Two of one IOMMU group: one of them is of no use to others while a server has the other.
    add(database, "a", pci_devices=(one, *(device.model_copy(update={"iommu_group": 0}) for device in others[:1])))
    add(database, "b", pci_devices=gpus(None, None))
    database.write_now(claims.claim, claim("s", "a"), ONE_GPU)
    shown = (await admin(f"/resource_providers/{A}/inventories"))["inventories"][GPUS]
    assert (shown["total"], shown["reserved"], shown["allocation_ratio"]) == (2, 1, 1.0)
    assert (await admin(f"/resource_providers/{A}/usages"))["usages"][GPUS] == 1
    assert (await admin("/allocations/s"))["allocations"][A]["resources"][GPUS] == 1
    for asked, found in ((1, [B]), (2, [B]), (3, [])):
        reply = await admin(f"/allocation_candidates?resources=VCPU:1,{GPUS}:{asked}")
        assert [id for candidate in reply["allocation_requests"] for id in candidate["allocations"]] == found
    assert (await admin("/allocation_candidates?resources=CUSTOM_PCI_1234_5678:1"))["allocation_requests"] == []
    assert (await admin("/resource_classes"))["resource_classes"][-1]["name"] == GPUS
    await admin(f"/resource_classes/{GPUS}")
