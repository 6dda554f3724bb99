"""What operators ask: hosts, services, zones, aggregates, quotas, and what projects ask of limits and groups."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlmodel import Session, col

from infra.db import claims, hosts, quotas
from infra.db.tables.hosts import HostRow
from tests.api.compute.conftest import ALICE, BOB, World
from tests.api.compute.test_server_views import HOST, active_server
from tests.contract.hosts_help import ONE_GPU, claim, gpus

SIZES = {
    *("cpu_info", "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used"),
    *("free_disk_gb", "disk_available_least", "running_vms", "current_workload"),
}
BRIEF = {"id", "hypervisor_hostname", "state", "status"}
DETAIL = BRIEF | {"host_ip", "hypervisor_type", "hypervisor_version", "service"}


def enrol(world: World, name: str = "h1") -> str:
    return world.db.write_now(hosts.enrol, HOST.model_copy(update={"name": name})).id


async def test_hypervisors_are_shown_as_their_version_has_them(world: World) -> None:
    host_id = enrol(world)
    how: dict[str, Any] = {"by": "admin"}
    (brief,) = (await world.get("/os-hypervisors", **how))["hypervisors"]
    assert set(brief) == BRIEF
    assert isinstance(brief["id"], int)
    (shown,) = (await world.get("/os-hypervisors/detail", **how))["hypervisors"]
    assert set(shown) == DETAIL | SIZES
    assert isinstance(shown["cpu_info"], str)
    assert (shown["vcpus"], shown["memory_mb"], shown["state"]) == (8, 8192, "up")
    assert (await world.get(f"/os-hypervisors/{brief['id']}", **how))["hypervisor"] == shown
    shown = (await world.get(f"/os-hypervisors/{host_id}", version="2.53", **how))["hypervisor"]
    assert (shown["id"], type(shown["cpu_info"])) == (host_id, dict)
    (shown,) = (await world.get("/os-hypervisors/detail", version="2.88", **how))["hypervisors"]
    assert set(shown) == DETAIL | {"uptime"}
    total = (await world.get("/os-hypervisors/statistics", **how))["hypervisor_statistics"]
    assert set(total) == SIZES - {"cpu_info"} | {"count"}
    assert total["count"] == 1
    await world.call("GET", "/v2.1/os-hypervisors/statistics", version="2.88", status=404, **how)
    await world.call("GET", "/v2.1/os-hypervisors/1", status=404, **how)
    await world.call("GET", "/v2.1/os-hypervisors", status=403)


async def test_the_devices_of_a_hypervisor_and_why_others_are_none(world: World) -> None:
    why = "PCI device 0000:00:05.0 (1af4:1001) is in no IOMMU group."
    report = HOST.model_copy(update={"name": "h1", "pci_devices": gpus(None, 1), "pci_refused": (why,)})
    world.db.write_now(hosts.enrol, report)
    world.db.write_now(hosts.set_ready, "h1", True)
    world.db.write_now(claims.claim, claim("s", "h1"), ONE_GPU)
    for version in ("2.1", "2.88"):
        (shown,) = (await world.get("/os-hypervisors/detail", by="admin", version=version))["hypervisors"]
        found = [(d["address"], d["numa_node"], d["free"]) for d in shown["kilonova:pci_devices"]]
        assert found == [("0000:65:00.0", None, False), ("0000:65:01.0", 1, True)]
        assert shown["kilonova:pci_refused"] == [why]


async def test_the_servers_of_a_hypervisor(world: World) -> None:
    server_id = await active_server(world)
    listed = await world.get("/os-hypervisors?with_servers=true", by="admin", version="2.53")
    assert listed["hypervisors"][0]["servers"] == [{"uuid": server_id, "name": "web"}]
    path = "/os-hypervisors?hypervisor_hostname_pattern="
    assert len((await world.get(path + "H", by="admin", version="2.53"))["hypervisors"]) == 1
    await world.call("GET", f"/v2.1{path}other", by="admin", version="2.53", status=404)
    old = await world.get("/os-hypervisors/h1/servers", by="admin")
    assert old["hypervisors"][0]["servers"] == [{"uuid": server_id, "name": "web"}]


def silence(session: Session, name: str) -> None:
    past = datetime.now(UTC) - timedelta(hours=1)
    session.execute(update(HostRow).where(col(HostRow.name) == name).values(reported_at=past))


async def test_services_are_enabled_disabled_and_forced_down(world: World) -> None:
    host_id = enrol(world)
    how: dict[str, Any] = {"by": "admin"}
    (first,) = (await world.get("/os-services", **how))["services"]
    fields = {"id", "binary", "host", "zone", "status", "state", "updated_at", "disabled_reason"}
    assert set(first) == fields
    assert (first["binary"], first["zone"], first["state"]) == ("nova-compute", "nova", "up")
    (shown,) = (await world.get("/os-services?host=h1&binary=nova-compute", version="2.53", **how))["services"]
    assert set(shown) == fields | {"forced_down"}
    assert shown["id"] == host_id
    assert (await world.get("/os-services?host=h2", **how))["services"] == []
    assert (await world.get("/os-services?binary=nova-scheduler", **how))["services"] == []
    path = f"/v2.1/os-services/{host_id}"
    body = {"status": "disabled", "disabled_reason": "repair"}
    changed = (await world.call("PUT", path, body, version="2.53", status=200, **how)).json()["service"]
    assert (changed["status"], changed["disabled_reason"]) == ("disabled", "repair")
    changed = (await world.call("PUT", path, {"forced_down": True}, version="2.53", status=200, **how)).json()
    assert (changed["service"]["state"], changed["service"]["forced_down"]) == ("down", True)
    enable = {"host": "h1", "binary": "nova-compute"}
    old = await world.call("PUT", "/v2.1/os-services/enable", enable, status=200, **how)
    assert old.json() == {"service": enable | {"status": "enabled"}}
    down = enable | {"forced_down": False}
    await world.call("PUT", "/v2.1/os-services/force-down", down, version="2.11", status=200, **how)
    world.db.write_now(silence, "h1")
    assert (await world.get("/os-services", **how))["services"][0]["state"] == "down"
    await world.call("DELETE", path, version="2.53", status=204, **how)
    assert (await world.get("/os-services", **how))["services"] == []


@pytest.mark.parametrize(
    ("path", "body", "version", "status"),
    [
        ("enable", {"host": "h1"}, "2.1", 400),
        ("enable", {"host": "h1", "binary": "nova-scheduler"}, "2.1", 404),
        ("enable", {"host": "h2", "binary": "nova-compute"}, "2.1", 404),
        ("disable-log-reason", {"host": "h1", "binary": "nova-compute"}, "2.1", 400),
        ("{id}", {}, "2.53", 400),
        ("{id}", {"status": "off"}, "2.53", 400),
        ("{id}", {"status": "enabled", "disabled_reason": "x"}, "2.53", 400),
        ("no-such", {"status": "enabled"}, "2.53", 404),
    ],
)
async def test_bad_changes_of_services(lite: World, path: str, body: Any, version: str, status: int) -> None:
    host_id = enrol(lite)
    path = path.format(id=host_id)
    await lite.call("PUT", f"/v2.1/os-services/{path}", body, by="admin", version=version, status=status)
    await lite.call("PUT", f"/v2.1/os-services/{host_id}", {"forced_down": True}, version="2.53", status=403)
    assert lite.db.read_now(hosts.get, "h1").enabled


async def test_zones_are_what_aggregates_make_of_hosts(world: World) -> None:
    enrol(world)
    enrol(world, "h2")
    body = {"aggregate": {"name": "fast", "availability_zone": "az1"}}
    made = (await world.call("POST", "/v2.1/os-aggregates", body, by="admin", status=200)).json()["aggregate"]
    assert set(made) == {"id", "name", "availability_zone", "created_at", "updated_at", "deleted_at", "deleted"}
    action = f"/v2.1/os-aggregates/{made['id']}/action"
    added = await world.call("POST", action, {"add_host": {"host": "h2"}}, by="admin", status=200)
    assert added.json()["aggregate"]["hosts"] == ["h2"]
    zones = (await world.get("/os-availability-zone"))["availabilityZoneInfo"]
    assert [(zone["zoneName"], zone["hosts"]) for zone in zones] == [("az1", None), ("nova", None)]
    detail = (await world.get("/os-availability-zone/detail", by="admin"))["availabilityZoneInfo"]
    state = detail[0]["hosts"]["h2"]["nova-compute"]
    assert (state["active"], state["available"]) == (True, True)
    await world.call("GET", "/v2.1/os-availability-zone/detail", status=403)
    await world.call("DELETE", f"/v2.1/os-aggregates/{made['id']}", by="admin", status=400)
    await world.call("POST", action, {"remove_host": {"host": "h2"}}, by="admin", status=200)
    metadata = {"set_metadata": {"metadata": {"ssd": "true", "availability_zone": None}}}
    changed = await world.call("POST", action, metadata, by="admin", version="2.41", status=200)
    assert changed.json()["aggregate"]["metadata"] == {"ssd": "true"}
    assert len(changed.json()["aggregate"]["uuid"]) == 36
    rename = {"aggregate": {"name": "faster"}}
    await world.call("PUT", f"/v2.1/os-aggregates/{made['id']}", rename, by="admin", status=200)
    assert [a["name"] for a in (await world.get("/os-aggregates", by="admin"))["aggregates"]] == ["faster"]
    assert (await world.call("DELETE", f"/v2.1/os-aggregates/{made['id']}", by="admin", status=200)).content == b""
    await world.call("GET", f"/v2.1/os-aggregates/{made['id']}", by="admin", status=404)


@pytest.mark.parametrize(
    "body", [{}, {"add_host": None}, {"add_host": {}}, {"add_host": {"host": "h"}, "remove_host": {}}]
)
async def test_bad_actions_on_aggregates(lite: World, body: Any) -> None:
    new = {"aggregate": {"name": "a"}}
    made = (await lite.call("POST", "/v2.1/os-aggregates", new, by="admin", status=200)).json()["aggregate"]
    await lite.call("POST", f"/v2.1/os-aggregates/{made['id']}/action", body, by="admin", status=400)
    await lite.call("POST", "/v2.1/os-aggregates/x/action", {"add_host": {"host": "h"}}, by="admin", status=404)
    for wrong in ({"name": "a\x00"}, {"name": ""}, {"name": "b", "availability_zone": "a:b"}, {"name": "b", "x": 1}):
        await lite.call("POST", "/v2.1/os-aggregates", {"aggregate": wrong}, by="admin", status=400)
    await lite.call("POST", "/v2.1/os-aggregates", new, status=403)


NETWORK_LIMITS = {
    *("maxTotalFloatingIps", "totalFloatingIpsUsed", "maxSecurityGroups", "totalSecurityGroupsUsed"),
    "maxSecurityGroupRules",
}
LIMITS = {
    *("maxTotalInstances", "totalInstancesUsed", "maxTotalCores", "totalCoresUsed", "maxTotalRAMSize", "totalRAMUsed"),
    *("maxServerMeta", "maxTotalKeypairs", "maxServerGroups", "totalServerGroupsUsed", "maxServerGroupMembers"),
}


async def test_limits_count_what_the_project_has(world: World) -> None:
    await world.boot()
    absolute = (await world.get("/limits"))["limits"]["absolute"]
    assert set(absolute) == LIMITS | NETWORK_LIMITS | {"maxImageMeta", "maxPersonality", "maxPersonalitySize"}
    assert (absolute["totalInstancesUsed"], absolute["totalCoresUsed"], absolute["totalRAMUsed"]) == (1, 1, 512)
    assert all(isinstance(value, int) for value in absolute.values())
    for version, more in (("2.36", {"maxImageMeta", "maxPersonality", "maxPersonalitySize"}), ("2.57", set())):
        assert set((await world.get("/limits", version=version))["limits"]["absolute"]) == LIMITS | more
    await world.call("GET", f"/v2.1/limits?tenant_id={ALICE}", by="bob", status=403)
    other = await world.get(f"/limits?tenant_id={ALICE}", by="admin")
    assert other["limits"]["absolute"]["totalInstancesUsed"] == 1


async def test_quotas_are_seen_by_their_project_and_set_by_administrators(world: World) -> None:
    path = f"/v2.1/os-quota-sets/{ALICE}"
    first = (await world.get(f"/os-quota-sets/{ALICE}"))["quota_set"]
    names = {"instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members"}
    network = {"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}
    files = {"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}
    assert set(first) == names | network | files | {"id"}
    assert set((await world.get(f"/os-quota-sets/{ALICE}", version="2.57"))["quota_set"]) == names | {"id"}
    await world.boot()
    await world.call("PUT", path, {"quota_set": {"cores": 40, "fixed_ips": 5}}, by="admin", status=200)
    detail = (await world.get(f"/os-quota-sets/{ALICE}/detail"))["quota_set"]
    assert detail["cores"] == {"limit": 40, "in_use": 1, "reserved": 0}
    assert (await world.get(f"/os-quota-sets/{ALICE}/defaults"))["quota_set"]["cores"] == 20
    await world.call("PUT", path, {"quota_set": {"cores": 41}}, status=403)
    await world.call("GET", path, by="bob", status=403)
    bad: list[Any] = [{"cores": -2}, {"cores": "x"}, {"cores": 2**31}, {"no_such": 1}, {"instances": 0}]
    for wrong in bad:
        await world.call("PUT", path, {"quota_set": wrong}, by="admin", status=400)
    await world.call("PUT", path, {"quota_set": {"instances": 0, "force": True}}, by="admin", status=200)
    await world.call("DELETE", path, by="admin", status=202)
    assert world.db.read_now(quotas.get, ALICE).cores == 20


async def test_server_groups_are_their_projects(world: World) -> None:
    body: dict[str, Any] = {"server_group": {"name": "g", "policies": ["anti-affinity"]}}
    made = (await world.call("POST", "/v2.1/os-server-groups", body, status=200)).json()["server_group"]
    assert made == {"id": made["id"], "name": "g", "policies": ["anti-affinity"], "members": [], "metadata": {}}
    server = {"name": "web", "flavorRef": "1", "imageRef": "11111111-1111-4111-8111-111111111111"}
    boot = {"server": server, "os:scheduler_hints": {"group": made["id"]}}
    server_id = (await world.call("POST", "/v2.1/servers", boot, status=202)).json()["server"]["id"]
    shown = (await world.get(f"/os-server-groups/{made['id']}", version="2.64"))["server_group"]
    assert (shown["members"], shown["policy"]) == ([server_id], "anti-affinity")
    assert shown["rules"] == {"max_server_per_host": 1}
    assert (await world.get(f"/servers/{server_id}", version="2.71"))["server"]["server_groups"] == [made["id"]]
    await world.call("GET", f"/v2.1/os-server-groups/{made['id']}", by="bob", status=404)
    await world.call("DELETE", f"/v2.1/os-server-groups/{made['id']}", by="bob", status=404)
    boot["server"] = server
    await world.call("POST", "/v2.1/servers", boot, by="bob", status=400)
    assert (await world.get("/os-server-groups", by="bob"))["server_groups"] == []
    assert len((await world.get("/os-server-groups?all_projects=True", by="admin"))["server_groups"]) == 1
    await world.call("DELETE", f"/v2.1/os-server-groups/{made['id']}", status=204)
    world.db.write_now(quotas.put, BOB, {"server_groups": 0})
    await world.call("POST", "/v2.1/os-server-groups", body, by="bob", status=403)


@pytest.mark.parametrize(
    ("group", "version"),
    [
        ({"name": "g"}, "2.1"),
        ({"name": "g", "policies": []}, "2.1"),
        ({"name": "g", "policies": ["affinity", "anti-affinity"]}, "2.1"),
        ({"name": "g", "policies": ["soft-affinity"]}, "2.14"),
        ({"name": "g", "policies": ["legacy"]}, "2.1"),
        ({"name": "g", "policy": "affinity"}, "2.63"),
        ({"name": "g", "policies": ["affinity"]}, "2.64"),
        ({"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 2}}, "2.64"),
        ({"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}, "2.64"),
        ({"name": "", "policy": "affinity"}, "2.64"),
        ({"name": "a\x00", "policy": "affinity"}, "2.64"),
    ],
)
async def test_bad_server_groups(lite: World, group: Any, version: str) -> None:
    await lite.call("POST", "/v2.1/os-server-groups", {"server_group": group}, version=version, status=400)


async def test_small_resources_answer_in_their_form(lite: World) -> None:
    server_id = await lite.boot()
    assert await lite.get("/extensions") == {"extensions": []}
    assert await lite.get(f"/servers/{server_id}/os-server-password") == {"password": ""}
    assert await lite.get("/os-migrations", by="admin") == {"migrations": []}
