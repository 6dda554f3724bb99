from infra.db import hosts
from infra.db.engine import Database
from infra.domain.host import HostReport, Inventory
from tests.api.network.conftest import Caller


async def test_a_host_shows_as_its_agent(database: Database, alice: Caller, admin: Caller) -> None:
    inventory = Inventory(vcpus=1, memory_mb=1, disk_gb=1)
    for name in ("h1", "h2"):
        report = HostReport(
            name=name, inventory=inventory, hypervisor_type="fake", hypervisor_version=1, accelerator="none",
            tunnel_ip="10.1.1.1",
        )  # fmt: skip
        database.write_now(hosts.enrol, report)
    database.write_now(hosts.force_down, "h2", True)
    (agent,) = (await admin("GET", "/agents?host=h1&alive=True", status=200))["agents"]
    assert agent["configurations"]["tunneling_ip"] == "10.1.1.1"
    assert (await admin("GET", f"/agents/{agent['id']}", status=200))["agent"] == agent
    assert [it["host"] for it in (await admin("GET", "/agents?alive=false"))["agents"]] == ["h2"]
    assert await alice("GET", "/agents", status=200) == {"agents": []}
    await alice("GET", f"/agents/{agent['id']}", status=403)
    await admin("GET", "/agents/none", status=404)
    await admin("GET", "/agents?colour=red", status=400)
