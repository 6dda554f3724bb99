"""The database: SQLite by default, PostgreSQL by one setting. Transactions only; tables are in ``tables/``.

Functions of the aggregate modules take a ``Session`` first and run inside one transaction:
``await db.write(servers.create, spec)``. No I/O but the database's happens in there.

On SQLite they run on the caller's loop: a transaction takes a fraction of a millisecond, a thread hop costs more.
Writers begin IMMEDIATE, since a deferred transaction that reads first fails with "database is locked" in spite
of the busy time-out. On PostgreSQL they run in a thread, and are tried again when the server says that two
transactions collided, or when the connection was lost before the commit. Connections are not tried out before each use:
that would be one more round trip in every transaction.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, create_engine

P = ParamSpec("P")
T = TypeVar("T")

_COLLISIONS = {"40001", "40P01"}
"""PostgreSQL's serialization_failure and deadlock_detected."""
_TRIES = 8


class Database:
    """One engine and the ways to use it.

    Args:
        url: SQLAlchemy URL of SQLite or ``postgresql+psycopg``.
        synchronous: durability of a commit on SQLite; NORMAL survives a kill, FULL a power loss. PostgreSQL is
            always as durable as its server is set to be.
        pool_size: connections to PostgreSQL, and threads that use them.
    """

    def __init__(self, url: str | URL, *, synchronous: Literal["NORMAL", "FULL"] = "NORMAL", pool_size: int = 10):
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._threads: ThreadPoolExecutor | None = None
        if self.is_sqlite:
            self.engine = _sqlite(self.url, synchronous)
        else:
            self.engine = create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=0,
                hide_parameters=True,
                connect_args={"options": "-c timezone=UTC"},
            )
            self._threads = ThreadPoolExecutor(pool_size, thread_name_prefix="database")

    def write_now(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(session, ...)`` in one transaction on this thread and commit it."""
        for attempt in range(1, _TRIES + 1):
            began_commit = False
            try:
                with Session(self.engine, expire_on_commit=False) as session, session.begin():
                    if self.is_sqlite:
                        session.connection().exec_driver_sql("BEGIN IMMEDIATE")
                    result, began_commit = fn(session, *args, **kwargs), True
                return result
            except DBAPIError as e:
                collided = getattr(e.orig, "sqlstate", None) in _COLLISIONS
                # A connection that was lost before the commit took everything with it; later, nobody knows.
                lost = e.connection_invalidated and not began_commit
                if attempt == _TRIES or not (collided or lost):
                    raise
        raise AssertionError("unreachable")

    def read_now(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``fn(session, ...)`` on one consistent snapshot on this thread."""
        for attempt in range(1, _TRIES + 1):
            with Session(self.engine, expire_on_commit=False) as session:
                if self.is_sqlite:
                    session.connection().exec_driver_sql("BEGIN")
                try:
                    return fn(session, *args, **kwargs)
                except DBAPIError as e:
                    if attempt == _TRIES or not e.connection_invalidated:
                        raise
                finally:
                    session.rollback()
        raise AssertionError("unreachable")

    async def write(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._threads is None:
            return self.write_now(fn, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self.write_now(fn, *args, **kwargs)
        )

    async def read(self, fn: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._threads is None:
            return self.read_now(fn, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: self.read_now(fn, *args, **kwargs)
        )

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=True, cancel_futures=True)
        self.engine.dispose()


def _sqlite(url: URL, synchronous: str) -> Engine:
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": 20, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, record: Any) -> None:
        # The driver must not begin transactions by itself: write_now and read_now say how each begins.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "busy_timeout=20000",
            "cache_size=-16000",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def is_duplicate(error: Exception) -> bool:
    """True if a unique or primary key refused the row, on either database."""
    original = getattr(error, "orig", None)
    if getattr(original, "sqlstate", None) == "23505":
        return True
    return isinstance(original, sqlite3.IntegrityError) and "UNIQUE" in str(original)
