import pytest

from infra.db import keypairs
from infra.db.engine import Database
from infra.domain.errors import BadRequest, Conflict, NotFound, QuotaExceeded


def make(database: Database, name: str, user: str = "u", limit: int = 100) -> None:
    database.write_now(keypairs.create, user, name, "ssh", "ssh-ed25519 AAAA", "aa:bb", limit=limit)


def test_a_key_belongs_to_its_user(database: Database) -> None:
    make(database, "k")
    made = database.read_now(keypairs.get, "u", "k")
    assert (made.public_key, made.fingerprint, made.type) == ("ssh-ed25519 AAAA", "aa:bb", "ssh")
    assert made.created_at.tzinfo is not None
    with pytest.raises(NotFound):
        database.read_now(keypairs.get, "other", "k")
    with pytest.raises(NotFound):
        database.write_now(keypairs.delete, "other", "k")
    database.write_now(keypairs.delete, "u", "k")
    assert database.read_now(keypairs.list_keypairs, "u") == []


def test_names_are_unique_for_a_user(database: Database) -> None:
    make(database, "k")
    make(database, "k", user="other")
    with pytest.raises(Conflict):
        make(database, "k")


def test_no_more_keys_than_the_limit(database: Database) -> None:
    make(database, "a", limit=1)
    with pytest.raises(QuotaExceeded):
        make(database, "b", limit=1)
    make(database, "b", limit=-1)


def test_lists_are_paged_by_name(database: Database) -> None:
    for name in ("c", "a", "b"):
        make(database, name)
    assert [k.name for k in database.read_now(keypairs.list_keypairs, "u", limit=1, marker="a")] == ["b"]
    with pytest.raises(BadRequest):
        database.read_now(keypairs.list_keypairs, "u", marker="z")
