"""Limits on what a project may keep in the image and volume services.

Use is never counted up and down: it is the sum over the rows that exist, taken under the lock of the project's row.
"""

from sqlalchemy import inspect
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, col, select

from infra.db.tables.storage_quota import StorageQuotaRow


def limits(session: Session, service: str, project_id: str, defaults: dict[str, int]) -> dict[str, int]:
    """The limits in force; -1 is none."""
    row = session.get(StorageQuotaRow, (service, project_id))
    return {**defaults, **(row.limits if row is not None else {})}


def lock(session: Session, service: str, project_id: str, defaults: dict[str, int]) -> dict[str, int]:
    """As ``limits``; no other transaction takes the same lock until this one ends."""
    return {**defaults, **_locked(session, service, project_id).limits}


def set_limits(session: Session, service: str, project_id: str, changes: dict[str, int]) -> None:
    row = _locked(session, service, project_id)
    row.limits = {**row.limits, **changes}
    session.add(row)


def reset(session: Session, service: str, project_id: str) -> None:
    row = _locked(session, service, project_id)
    row.limits = {}
    session.add(row)


def _locked(session: Session, service: str, project_id: str) -> StorageQuotaRow:
    postgresql = inspect(session.get_bind()).dialect.name == "postgresql"
    insert = postgresql_insert if postgresql else sqlite_insert
    values = {"service": service, "project_id": project_id, "limits": {}}
    session.execute(insert(StorageQuotaRow).values(**values).on_conflict_do_nothing())
    query = select(StorageQuotaRow).where(
        col(StorageQuotaRow.service) == service, col(StorageQuotaRow.project_id) == project_id
    )
    return session.exec(query.with_for_update()).one()
