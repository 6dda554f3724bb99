"""Fixtures that every suite shares: databases of both kinds, made from nothing for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from infra.db import schema
from infra.db.engine import Database
from tests import postgresql as server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a private PostgreSQL server's maintenance database, on a unix socket in a temporary folder."""
    with server.running("-c", "fsync=off") as url:
        template = Database(url.replace("/postgres?", "/template1?"))
        schema.create_all(template)
        template.close()
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with all tables; every test that uses it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        db = Database(f"sqlite:///{tmp_path / 'kilonova.db'}")
        schema.create_all(db)
        yield db
        db.close()
        return
    yield from new_postgresql_database(request.getfixturevalue("postgresql"))


@pytest.fixture
def postgresql_database(postgresql: str) -> Iterator[Database]:
    """The same on PostgreSQL alone, for what SQLite has no form of."""
    yield from new_postgresql_database(postgresql)


def new_postgresql_database(url: str) -> Iterator[Database]:
    """Yields one with all tables, on the server of this URL, and drops it."""
    name = f"t{os.urandom(6).hex()}"
    admin = create_engine(url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    db = Database(url.replace("/postgres?", f"/{name}?"))
    yield db
    db.close()
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def empty_postgresql(postgresql: str) -> Iterator[str]:
    """URL of a PostgreSQL database without tables."""
    name = f"t{os.urandom(6).hex()}"
    admin = create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    yield postgresql.replace("/postgres?", f"/{name}?")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()
