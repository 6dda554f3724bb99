"""What is stuck shows on its server until the run that tries it is through, whatever others say."""

import pytest

from infra.db import servers, stuck_undos
from infra.db.engine import Database
from infra.db.types import now
from tests.contract.servers_help import server as small


def inserted(database: Database) -> str:
    made = small(now(), vm_state="active")
    database.write_now(servers.insert, made)
    return made.id


def shown(database: Database, server_id: str) -> str | None:
    return database.read_now(servers.get, server_id).stuck_undo


def test_the_oldest_shows_until_its_own_run_is_through(database: Database) -> None:
    server_id = inserted(database)
    attach = f"server/{server_id}/volume/v"
    database.write_now(stuck_undos.say, server_id, attach, "volumes.detach: no answer")
    database.write_now(stuck_undos.say, server_id, f"server/{server_id}", "hypervisor.remove: no answer")
    assert shown(database, server_id) == "volumes.detach: no answer"
    database.write_now(stuck_undos.say, server_id, f"server/{server_id}", None)
    assert shown(database, server_id) == "volumes.detach: no answer"
    database.write_now(stuck_undos.say, server_id, attach, "volumes.detach: another reason")
    assert shown(database, server_id) == "volumes.detach: another reason"
    assert [server.id for server in database.read_now(stuck_undos.find)] == [server_id]
    database.write_now(stuck_undos.say, server_id, attach, None)
    assert (shown(database, server_id), database.read_now(stuck_undos.find)) == (None, [])


def test_nothing_of_a_deleted_server_is_stuck(database: Database) -> None:
    server_id = inserted(database)
    database.write_now(stuck_undos.say, server_id, f"server/{server_id}", "ports.delete: no answer")
    database.write_now(servers.set_deleted, server_id)
    assert database.read_now(stuck_undos.find) == []


@pytest.mark.parametrize("what", ["hypervisor.remove: no answer", None])
def test_of_a_server_that_never_was_nothing_shows(database: Database, what: str | None) -> None:
    database.write_now(stuck_undos.say, "11111111-1111-4111-8111-111111111111", "server/x", what)
    assert database.read_now(stuck_undos.find) == []
