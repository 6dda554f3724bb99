"""Limits of projects, and what they use of them. Use is counted from the servers themselves, never kept as a number."""

from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlmodel import Session, col, select

from infra.db import servers
from infra.db.tables.compute import QuotaRow
from infra.domain.quota import Quota, Usage


def get(session: Session, project_id: str) -> Quota:
    row = session.get(QuotaRow, project_id)
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
        session.exec(postgresql_insert(QuotaRow).values(project_id=project_id, limits={}).on_conflict_do_nothing())
    query = select(QuotaRow).where(col(QuotaRow.project_id) == project_id).with_for_update()
    row = session.exec(query).first()
    return Quota.model_validate(row.limits) if row else Quota()
