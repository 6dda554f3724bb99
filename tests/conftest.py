"""Fixtures that every suite shares: databases of both kinds, made from nothing for each test."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from infra.db import schema
from infra.db.engine import Database


def _postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of a private PostgreSQL server's maintenance database, on a unix socket in a temporary folder."""
    programs = _postgresql_programs()
    if programs is None:
        pytest.fail("PostgreSQL is not installed: run `make up` once, or apt-get install postgresql.")
    folder = Path(tempfile.mkdtemp(prefix="kilonova-pg-"))
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    shutil.chown(folder, user) if os.geteuid() == 0 else None
    as_user = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"] if os.geteuid() == 0 else []
    data = folder / "data"
    subprocess.run(
        [*as_user, programs / "initdb", "-D", data, "-U", "kilonova", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    log = (folder / "log").open("wb")
    options = ["-c", f"unix_socket_directories={folder}", "-c", "listen_addresses=", "-c", "fsync=off"]
    server = subprocess.Popen([*as_user, programs / "postgres", "-D", data, *options], stdout=log, stderr=log, cwd="/")
    url = f"postgresql+psycopg://kilonova@/postgres?host={folder}"
    try:
        _wait_for(url, server)
        template = Database(url.replace("/postgres?", "/template1?"))
        schema.create_all(template)
        template.close()
        yield url
    finally:
        server.terminate()
        server.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    engine = create_engine(url)
    for _ in range(200):
        try:
            engine.connect().close()
            break
        except Exception:
            try:
                server.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            raise
    engine.dispose()


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
