"""Limits of projects, and what they use of them. Use is counted from the servers themselves, never kept as a number."""

from sqlmodel import Session

from infra.db import servers
from infra.db.statements import Addition, Lookup
from infra.db.tables.compute import QuotaRow
from infra.domain.quota import Quota, Usage

_BY_PROJECT = Lookup(QuotaRow, "project_id")
_LOCKED = Lookup(QuotaRow, "project_id", lock={})
_ADDITION = Addition(QuotaRow)


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
    count, cores, ram = servers.usage(session, project_id)
    return Usage(instances=count, cores=cores, ram=ram)


def lock(session: Session, project_id: str) -> Quota:
    """Keep other admissions of this project waiting until this transaction ends, and return its limits.

    SQLite's writers are alone in any case.
    """
    if session.get_bind().dialect.name == "postgresql":
        _ADDITION.add(session, {"project_id": project_id, "limits": {}})
    row = _LOCKED.first(session, project_id)
    return Quota.model_validate(row.limits) if row else Quota()
