"""Admission and the hold on a server's row, on both databases: what is refused leaves nothing."""

import threading
import uuid
from typing import Any

import pytest

from infra.db import (
    admission,
    debts,
    flavors,
    groups,
    images,
    keypairs,
    networks,
    ports,
    quotas,
    servers,
    subnets,
    volumes,
)
from infra.db.boot_requests import Request
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.boot import BlockDeviceRequest, NetworkRequest, ServerSpec
from infra.domain.errors import BadRequest, Conflict, Forbidden, NotFound, QuotaExceeded
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.network import AddressWish, AllocationPool, Network, NetworkQuota, NewPort, Subnet
from infra.domain.quota import Usage
from infra.domain.server import Fault, Server, TaskState, Verb, VmState
from infra.domain.volume import Volume

PROJECT, OTHER, USER = "p" * 32, "o" * 32, "u" * 32
QUOTA = NetworkQuota()
STORAGE = {"volumes": 100, "gigabytes": 1000, "snapshots": 10}


class Cloud:
    """A project with what a boot can name."""

    def __init__(self, db: Database) -> None:
        self.db = db
        db.write_now(flavors.create, Flavor(id="1", name="tiny", vcpus=1, ram_mb=128, disk_gb=1))
        self.image_id = self.image()
        self.network_id = self.network(PROJECT)

    def image(self, **changes: Any) -> str:
        values: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "name": "i",
            "owner": PROJECT,
            "status": "active",
            "disk_format": "raw",
            "container_format": "bare",
            "size": 2**20,
            "virtual_size": 2**20,
            "created_at": now(),
            "updated_at": now(),
        }
        return self.db.write_now(images.create, Image.model_validate({**values, **changes})).id

    def network(self, project_id: str) -> str:
        moment, network_id = now(), str(uuid.uuid4())
        times = {"created_at": moment, "updated_at": moment}
        network = Network(id=network_id, project_id=project_id, vni=0, **times)
        self.db.write_now(networks.create, network, QUOTA)
        pools = (AllocationPool(start="10.9.0.2", end="10.9.0.14"),)
        subnet = Subnet(
            id=str(uuid.uuid4()),
            project_id=project_id,
            network_id=network_id,
            cidr="10.9.0.0/28",
            gateway_ip="10.9.0.1",
            allocation_pools=pools,
            **times,
        )
        self.db.write_now(subnets.create, subnet, QUOTA)
        return network_id

    def port(self, **changes: Any) -> str:
        values: dict[str, Any] = {"id": str(uuid.uuid4()), "project_id": PROJECT, "network_id": self.network_id}
        return self.db.write_now(ports.create, NewPort.model_validate({**values, **changes}), QUOTA).id

    def volume(self, **changes: Any) -> str:
        values: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "project_id": PROJECT,
            "user_id": USER,
            "size_gb": 1,
            "status": "creating",
            "created_at": now(),
        }
        made = self.db.write_now(volumes.create, Volume.model_validate({**values, **changes}), STORAGE)
        return self.db.write_now(volumes.set_available, made.id).id

    def request(self, count: int = 1, *, is_admin: bool = False, **spec: Any) -> Request:
        asked = {"name": "web", "flavor_id": "1", "image_id": self.image_id, **spec}
        return Request(
            server_ids=tuple(str(uuid.uuid4()) for _ in range(count)),
            reservation_id="r-1",
            request_id=f"req-{uuid.uuid4()}",
            project_id=PROJECT,
            user_id=USER,
            is_admin=is_admin,
            spec=ServerSpec.model_validate({"max_count": count, **asked}),
        )

    def boot(self, **spec: Any) -> Server:
        return self.db.write_now(admission.admit, self.request(**spec))[0]


@pytest.fixture
def cloud(database: Database) -> Cloud:
    return Cloud(database)


def test_a_request_is_admitted_once_however_often_it_is_tried(cloud: Cloud) -> None:
    request = cloud.request()
    first = cloud.db.write_now(admission.admit, request)
    assert cloud.db.write_now(admission.admit, request) == first
    assert first[0].vm_state is VmState.BUILDING
    assert first[0].networks[0].network_id == cloud.network_id
    assert cloud.db.read_now(quotas.usage, PROJECT).instances == 1


def test_several_servers_are_one_transaction_and_as_many_as_the_quota_allows(cloud: Cloud) -> None:
    cloud.db.write_now(quotas.put, PROJECT, {"instances": 3})
    made = cloud.db.write_now(admission.admit, cloud.request(5, min_count=2))
    assert [server.name for server in made] == ["web-1", "web-2", "web-3"]
    with pytest.raises(QuotaExceeded):
        cloud.db.write_now(admission.admit, cloud.request())
    assert cloud.db.read_now(quotas.usage, PROJECT) == Usage(instances=3, cores=3, ram=384)


@pytest.mark.parametrize("limit", ["instances", "cores", "ram"])
def test_requests_at_once_never_pass_the_quota(cloud: Cloud, limit: str) -> None:
    cloud.db.write_now(quotas.put, PROJECT, {limit: 3 if limit != "ram" else 400})
    outcomes: list[str] = []

    def ask() -> None:
        try:
            cloud.db.write_now(admission.admit, cloud.request())
            outcomes.append("admitted")
        except QuotaExceeded:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["admitted"] * 3 + ["refused"] * 5


def _volume(volume_id: str | None, **changes: Any) -> dict[str, Any]:
    device = BlockDeviceRequest.model_validate({"source_type": "volume", "id": volume_id, **changes})
    return {"block_devices": (device,)}


REFUSED: dict[str, Any] = {
    "unknown flavor": (BadRequest, lambda cloud: {"flavor_id": "99"}),
    "unknown image": (BadRequest, lambda cloud: {"image_id": str(uuid.uuid4())}),
    "image without data": (BadRequest, lambda cloud: {"image_id": cloud.image(status="queued", size=None)}),
    "image larger than the disk": (BadRequest, lambda cloud: {"image_id": cloud.image(virtual_size=2**31)}),
    "image that is not what it claims": (
        BadRequest,
        lambda cloud: {"image_id": cloud.image(disk_format="qcow2", virtual_size=None)},
    ),
    "another project's image": (
        BadRequest,
        lambda cloud: {"image_id": cloud.image(owner=OTHER, visibility="private")},
    ),
    "unknown key": (BadRequest, lambda cloud: {"key_name": "none"}),
    "unknown network": (BadRequest, lambda cloud: {"networks": (NetworkRequest(network_id=str(uuid.uuid4())),)}),
    "another project's network": (
        BadRequest,
        lambda cloud: {"networks": (NetworkRequest(network_id=cloud.network(OTHER)),)},
    ),
    "unknown port": (BadRequest, lambda cloud: {"networks": (NetworkRequest(port_id=str(uuid.uuid4())),)}),
    "another project's port": (
        BadRequest,
        lambda cloud: {"networks": (NetworkRequest(port_id=cloud.port(project_id=OTHER)),)},
    ),
    "address outside the network": (
        BadRequest,
        lambda cloud: {"networks": (NetworkRequest(network_id=cloud.network_id, fixed_ip="10.8.0.9"),)},
    ),
    "unknown volume": (BadRequest, lambda cloud: _volume(str(uuid.uuid4()))),
    "volume that can't be booted from": (
        BadRequest,
        lambda cloud: {"image_id": None, **_volume(cloud.volume(), boot_index=0)},
    ),
    "nothing to boot from": (BadRequest, lambda cloud: {"image_id": None}),
    "blank volume without a size": (BadRequest, lambda cloud: _volume(None, source_type="blank")),
    "unknown zone": (BadRequest, lambda cloud: {"availability_zone": "mars"}),
    "a host, by somebody": (Forbidden, lambda cloud: {"availability_zone": "nova:h1"}),
    "unknown group": (BadRequest, lambda cloud: {"scheduler_hints": {"group": str(uuid.uuid4())}}),
    "unknown security group": (BadRequest, lambda cloud: {"security_groups": ("none",)}),
    "too much metadata": (QuotaExceeded, lambda cloud: {"metadata": {str(n): "" for n in range(129)}}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_request_names_wrongly_is_refused_and_leaves_nothing(cloud: Cloud, case: str) -> None:
    kind, spec = REFUSED[case]
    request = cloud.request(**spec(cloud))
    with pytest.raises(kind):
        cloud.db.write_now(admission.admit, request)
    assert cloud.db.read_now(servers.find, request.server_ids[0]) is None
    assert cloud.db.read_now(quotas.usage, PROJECT).instances == 0


def test_an_address_in_use_is_a_conflict(cloud: Cloud) -> None:
    cloud.port(fixed_ips=(AddressWish(ip_address="10.9.0.7"),))
    asked = (NetworkRequest(network_id=cloud.network_id, fixed_ip="10.9.0.7"),)
    with pytest.raises(Conflict):
        cloud.db.write_now(admission.admit, cloud.request(networks=asked))


def test_without_a_network_named_several_are_ambiguous_and_none_is_none(cloud: Cloud) -> None:
    cloud.network(PROJECT)
    with pytest.raises(Conflict):
        cloud.db.write_now(admission.admit, cloud.request())
    assert cloud.db.write_now(admission.admit, cloud.request(networks=()))[0].networks == ()


def test_a_key_of_the_users_own_is_taken(cloud: Cloud) -> None:
    cloud.db.write_now(keypairs.create, USER, "mine", "ssh", "ssh-ed25519 AAAA", "aa:bb", limit=10)
    assert cloud.boot(key_name="mine").key_name == "mine"


def test_a_verb_that_was_overtaken_by_a_delete_writes_nothing_more(cloud: Cloud) -> None:
    server = cloud.boot()
    op = str(server.op)
    assert cloud.db.write_now(servers.place, server.id, op, "h1", 1, None)
    cloud.db.write_now(servers.mark_deleting, server.id, "req-delete")
    fault = Fault(code=500, message="late", created=now())
    assert not cloud.db.write_now(servers.set_active, server.id, op, 1)
    assert not cloud.db.write_now(servers.set_error, server.id, op, fault, None)
    assert not cloud.db.write_now(servers.place, server.id, op, "h2", 2, None)
    found = cloud.db.read_now(servers.get, server.id)
    assert (found.task_state, found.host, found.vm_state) == (TaskState.DELETING, "h1", VmState.BUILDING)


def test_one_verb_at_a_time_and_a_repeat_of_it_finds_its_hold(cloud: Cloud) -> None:
    server = cloud.boot()
    cloud.db.write_now(servers.place, server.id, str(server.op), "h1", 1, None)
    cloud.db.write_now(servers.set_active, server.id, str(server.op), 1)
    cloud.db.write_now(servers.begin_verb, server.id, Verb.STOP, "req-1")
    assert cloud.db.write_now(servers.begin_verb, server.id, Verb.STOP, "req-1").op == "req-1"
    with pytest.raises(Conflict):
        cloud.db.write_now(servers.begin_verb, server.id, Verb.REBOOT_HARD, "req-2")
    assert not cloud.db.write_now(servers.end_verb, server.id, "req-2", vm_state=VmState.ACTIVE)
    assert cloud.db.write_now(servers.end_verb, server.id, "req-1", vm_state=VmState.STOPPED, power_state=4)
    assert cloud.db.read_now(servers.get, server.id).status == "SHUTOFF"
    with pytest.raises(Conflict):
        cloud.db.write_now(servers.begin_verb, server.id, Verb.STOP, "req-3")


def test_a_deleted_server_is_not_found_and_gives_its_quota_back(cloud: Cloud) -> None:
    server = cloud.boot()
    cloud.db.write_now(servers.mark_deleting, server.id, "req-d")
    cloud.db.write_now(servers.set_deleted, server.id)
    for call in (servers.mark_deleting, servers.get):
        with pytest.raises(NotFound):
            cloud.db.write_now(lambda s, call=call: call(s, server.id, *(["req-e"] if call is not servers.get else [])))
    assert cloud.db.read_now(quotas.usage, PROJECT).instances == 0


def test_a_deleted_server_is_in_no_group(cloud: Cloud) -> None:
    server, other = cloud.boot(), cloud.boot()
    group = {"id": "g", "project_id": PROJECT, "user_id": "u", "name": "g", "policy": "affinity"}
    cloud.db.write_now(groups.create, **group)
    for member in (server, other):
        cloud.db.write_now(groups.add_member, "g", member.id)
    cloud.db.write_now(servers.set_deleted, server.id)
    assert cloud.db.read_now(groups.get, "g").members == (other.id,)


def test_a_debt_is_written_once_and_paid_once(cloud: Cloud) -> None:
    debt = debts.Debt(host="h1", server_id="s", attempt=2, what="did not answer")
    for _ in range(2):
        cloud.db.write_now(debts.owe, debt)
    assert cloud.db.read_now(debts.owed, "h1") == [debt]
    for _ in range(2):
        cloud.db.write_now(debts.pay, "h1", "s", 2)
    assert cloud.db.read_now(debts.owed) == []
