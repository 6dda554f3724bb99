from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from sqlmodel import Session

from infra.db import quotas, servers
from infra.db.engine import Database
from infra.domain.flavor import Flavor
from infra.domain.quota import Quota
from infra.domain.server import Server, VmState


def server(number: int, project: str = "p", vm_state: VmState = VmState.ACTIVE) -> Server:
    moment = datetime.now(UTC)
    return Server(
        id=f"s{number}",
        project_id=project,
        user_id="u",
        name="n",
        hostname="n",
        flavor=Flavor(id="1", name="f", vcpus=2, ram_mb=512, disk_gb=1),
        image_id=None,
        vm_state=vm_state,
        reservation_id="r-1",
        created_at=moment,
        updated_at=moment,
    )


def test_limits_are_the_defaults_until_they_are_changed(database: Database) -> None:
    assert database.read_now(quotas.get, "p") == Quota()
    database.write_now(quotas.put, "p", {"cores": 3})
    database.write_now(quotas.put, "p", {"ram": -1})
    assert database.read_now(quotas.get, "p") == Quota(cores=3, ram=-1)
    assert database.read_now(quotas.get, "q") == Quota()
    database.write_now(quotas.reset, "p")
    assert database.read_now(quotas.get, "p") == Quota()


def test_use_is_what_the_projects_servers_hold(database: Database) -> None:
    database.write_now(servers.insert, server(1))
    database.write_now(servers.insert, server(2, vm_state=VmState.ERROR))
    database.write_now(servers.insert, server(3, vm_state=VmState.DELETED))
    database.write_now(servers.insert, server(4, project="q"))
    used = database.read_now(quotas.usage, "p")
    assert (used.instances, used.cores, used.ram) == (2, 4, 1024)


def test_two_admissions_of_a_project_wait_for_each_other(database: Database) -> None:
    """Each admits a server only while there are none: without the lock, several would."""

    def admit(session: Session, number: int) -> bool:
        quotas.lock(session, "p")
        free = quotas.usage(session, "p").instances == 0
        if free:
            servers.insert(session, server(number))
        return free

    with ThreadPoolExecutor(8) as pool:
        admitted = list(pool.map(lambda number: database.write_now(admit, number), range(8)))
    assert admitted.count(True) == 1
