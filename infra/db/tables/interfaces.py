"""Rows of the interfaces that are coming to a server or leaving it. Written by ``infra/db/interfaces.py`` only."""

from datetime import datetime

from sqlmodel import Field, SQLModel

from infra.db.types import UtcDateTime


class InterfaceChangeRow(SQLModel, table=True):
    """There as long as a request holds the port: whose it is afterwards the port's own row says."""

    __tablename__ = "interface_changes"

    port_id: str = Field(primary_key=True)
    server_id: str = Field(index=True)
    project_id: str
    network_id: str
    created: bool
    """False: the user's own port, which stays when it is detached."""
    attachment_id: str
    host: str
    attempt: int
    kind: str
    """attach or detach."""
    op: str
    """Request id of the attach, detach or repair."""
    since: datetime = Field(sa_type=UtcDateTime, index=True)
