"""A number that grows with every change of a host, so that a cache reads only what changed since it last looked.

On PostgreSQL it is the number of the writing transaction: a sequence would be drawn before the commit, so that a
reader could see a later number first and never the earlier one. Whoever reads notes before which number nothing is
still being written (``Horizon``), and reads on from there. On SQLite, where writers wait for each other, it is counted.
"""

from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement

_ALL = "SELECT max(changed) AS n FROM hosts UNION ALL SELECT max(changed) FROM removed_hosts"
_LATEST = f"SELECT coalesce(max(n), 0) FROM ({_ALL})"


class Change(ColumnElement[int]):
    """The number of a change that is being written."""

    inherit_cache = True
    type = BigInteger()


class Horizon(ColumnElement[int]):
    """Every change with a lower number is there to be read, or never will be."""

    inherit_cache = True
    type = BigInteger()


@compiles(Change, "postgresql")
def _change(element: Change, compiler: Any, **options: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


@compiles(Change, "sqlite")
def _count(element: Change, compiler: Any, **options: Any) -> str:
    return f"({_LATEST}) + 1"


@compiles(Horizon, "postgresql")
def _horizon(element: Horizon, compiler: Any, **options: Any) -> str:
    return "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@compiles(Horizon, "sqlite")
def _latest(element: Horizon, compiler: Any, **options: Any) -> str:
    return f"({_LATEST})"
