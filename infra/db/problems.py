"""What does not get through: for operators, who have to look at it."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from infra.db import debts, interfaces, repairs, stuck_undos, unmended
from infra.db.debts import Debt
from infra.db.interfaces import InterfaceChange
from infra.db.repairs import HeldAttachment, HeldServer
from infra.db.types import now
from infra.db.unmended import Unmended
from infra.domain.server import Server

LONG = timedelta(minutes=15)
"""No request holds a row for so long that gets on: longer than a boot's limit and its undo."""


class Problems(BaseModel):
    model_config = ConfigDict(frozen=True)

    stuck: tuple[Server, ...]
    debts: tuple[Debt, ...]
    servers: tuple[HeldServer, ...]
    attachments: tuple[HeldAttachment, ...]
    interfaces: tuple[InterfaceChange, ...]
    drift: tuple[Unmended, ...]


def find(session: Session, held: timedelta = LONG) -> Problems:
    """Undos that do not get through, clean-up that hosts owe, and rows that were held all of this time; and what the
    comparisons of hosts found and could not put right."""
    before = now() - held
    return Problems(
        stuck=tuple(stuck_undos.find(session)),
        debts=tuple(debts.owed(session)),
        servers=tuple(repairs.held_servers(session, before)),
        attachments=tuple(repairs.held_attachments(session, before)),
        interfaces=tuple(interfaces.held(session, before)),
        drift=tuple(unmended.everywhere(session)),
    )
