"""One row a project and storage service: what is locked while a project's use is summed up and added to."""

from sqlmodel import Field, SQLModel

from infra.db.types import Json


class StorageQuotaRow(SQLModel, table=True):
    __tablename__ = "storage_quotas"

    service: str = Field(primary_key=True)
    """``image`` or ``volume``."""
    project_id: str = Field(primary_key=True)
    limits: dict[str, int] = Field(sa_type=Json)
    """Limits that an administrator set for this project, in place of the settings'."""
