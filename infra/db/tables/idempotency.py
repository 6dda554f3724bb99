from datetime import datetime

from sqlmodel import Field, SQLModel

from infra.db.types import UtcDateTime


class IdempotencyRow(SQLModel, table=True):
    __tablename__ = "idempotency_keys"

    key: str = Field(primary_key=True)
    resource_id: str
    buried: bool = False
    created_at: datetime = Field(sa_type=UtcDateTime, index=True)
