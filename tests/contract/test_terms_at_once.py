"""Terms that an operator sets while the host reports: neither writes over the other, on both databases."""

import threading

import pytest
from sqlmodel import Session

from infra.db import claims, hosts, inventories
from infra.db.engine import Database
from infra.domain.errors import ClaimLost, Conflict
from infra.domain.inventory import Terms
from tests.contract.hosts_help import INVENTORY, add, claim, report

BIGGER = INVENTORY.model_copy(update={"memory_mb": 16384})
RESERVED = {"VCPU": Terms(total=4, reserved=3)}


def test_a_report_that_comes_meanwhile_keeps_what_was_set(database: Database) -> None:
    add(database, "a")
    generation = database.read_now(hosts.get, "a").generation

    def say() -> None:
        own = Database(database.url)
        own.write_now(hosts.report, report("a", inventory=BIGGER))
        own.close()

    reporting = threading.Thread(target=say)

    def set_terms(session: Session) -> None:
        inventories.set_terms(session, "a", generation, RESERVED)
        reporting.start()
        reporting.join(0.3)
        assert reporting.is_alive(), "the report was written before the terms were"

    database.write_now(set_terms)
    reporting.join(60)
    host = database.read_now(hosts.get, "a")
    assert (host.terms["VCPU"].reserved, host.terms["MEMORY_MB"].total) == (3, 16384)
    database.write_now(claims.claim, claim("s", "a", vcpus=1, memory_mb=9000))
    with pytest.raises(ClaimLost):
        database.write_now(claims.claim, claim("t", "a", vcpus=1))


def test_terms_of_who_has_not_seen_the_report_are_refused(database: Database) -> None:
    add(database, "a")
    generation = database.read_now(hosts.get, "a").generation
    database.write_now(hosts.report, report("a", inventory=BIGGER))
    with pytest.raises(Conflict, match="generation"):
        database.write_now(inventories.set_terms, "a", generation, RESERVED)
    host = database.read_now(hosts.get, "a")
    assert (host.terms_set, host.terms["VCPU"].reserved) == ({}, 0)
