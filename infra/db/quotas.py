"""Limits of projects, and what they use of them. Use is counted from the servers themselves, never kept as a number."""

from typing import Any

from sqlalchemy import bindparam, func, literal_column, select
from sqlmodel import Session

from infra.db.statements import Addition, Lookup, run, table_of
from infra.db.tables.compute import QuotaRow
from infra.db.tables.servers import LIVING, ServerRow
from infra.domain.quota import Quota, Usage

_BY_PROJECT = Lookup(QuotaRow, "project_id")
_LOCKED = Lookup(QuotaRow, "project_id", lock={})
_ADDITION = Addition(QuotaRow)
_SERVER = table_of(ServerRow)


def _held_of(name: str) -> Any:
    """By the flavor, and by a move from it or to it."""
    more = func.coalesce(_SERVER.c.move[f"more_{name}"].as_integer(), 0)
    return func.coalesce(func.sum(_SERVER.c.flavor[name].as_integer() + more), 0).label(name)


_USAGE = (
    select(func.count().label("servers"), _held_of("vcpus"), _held_of("ram_mb"))
    .select_from(_SERVER)
    .where(_SERVER.c.project_id == bindparam("of_project"), literal_column(LIVING))
)


def get(session: Session, project_id: str) -> Quota:
    row = _BY_PROJECT.first(session, project_id)
    return Quota.model_validate(row.limits) if row else Quota()


def put(session: Session, project_id: str, limits: dict[str, int]) -> Quota:
    """Change the limits named (fields of ``Quota``), keep the others."""
    row = session.get(QuotaRow, project_id) or QuotaRow(project_id=project_id, limits={})
    row.limits = {**row.limits, **limits}
    session.add(row)
    return Quota.model_validate(row.limits)


def reset(session: Session, project_id: str) -> None:
    """Back to the defaults."""
    row = session.get(QuotaRow, project_id)
    if row is not None:
        row.limits = {}
        session.add(row)


def usage(session: Session, project_id: str) -> Usage:
    """By servers that are not deleted."""
    row = run(session, _USAGE, {"of_project": project_id}).one()
    return Usage(instances=row.servers, cores=row.vcpus, ram=row.ram_mb)


def lock(session: Session, project_id: str) -> Quota:
    """Keep other admissions of this project waiting until this transaction ends, and return its limits.

    SQLite's writers are alone in any case.
    """
    if session.get_bind().dialect.name == "postgresql":
        _ADDITION.add(session, {"project_id": project_id, "limits": {}})
    row = _LOCKED.first(session, project_id)
    return Quota.model_validate(row.limits) if row else Quota()
