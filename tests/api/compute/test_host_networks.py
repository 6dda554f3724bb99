"""What a host asks of its networking, and how it hears that it changed: with a service's token only."""

import pytest

from infra.db import network_changes
from infra.domain.host_network import HostNetwork
from tests.api.compute.conftest import World
from tests.contract.hosts_help import add, report


@pytest.mark.parametrize("by", ["alice", "reader", "admin", "unscoped"])
async def test_nobody_else_is_told(lite: World, by: str) -> None:
    await lite.call("GET", "/internal/hosts/h1/network", by=by, status=403)


async def test_a_report_is_answered_with_the_number_of_changes(world: World) -> None:
    """The number that comes with what the host reads, so that it knows whether it has read the latest."""
    add(world.db, "h1")
    body = {"report": report("h1").model_dump(mode="json")}
    for number in (0, 1):
        answer = await world.call("POST", "/internal/hosts/h1/report", body, by="worker", status=200)
        assert answer.json()["network"] == number
        known = await world.call("GET", "/internal/hosts/h1/network", by="worker", status=200)
        assert HostNetwork.model_validate(known.json()) == HostNetwork(change=number)
        world.db.write_now(network_changes.mark, ("h1",))
