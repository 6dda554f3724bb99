"""Rows of floating IPs, for those who remove what they lead to; ``floating_ips.py`` holds the rules."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, update
from sqlmodel import Session, col, select

from infra.db import network_changes
from infra.db.network_rows import drop_tags, within
from infra.db.tables.routing import FloatingIpRow
from infra.db.types import now
from infra.domain.errors import BadRequest

NOWHERE: dict[str, Any] = {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}


def disassociate(session: Session, port_ids: Sequence[str]) -> None:
    """Floating IPs that led to these ports lead nowhere, and stay their projects'."""
    led = within(FloatingIpRow.port_id, port_ids)
    router_ids = session.exec(select(FloatingIpRow.router_id).where(led)).all()
    if not router_ids:
        return
    network_changes.mark_routers(session, router_ids)
    revised = {"revision": col(FloatingIpRow.revision) + 1, "updated_at": now()}
    session.execute(update(FloatingIpRow).where(led).values({**NOWHERE, **revised}))


def check_kept(session: Session, port_id: str, addresses: Collection[str]) -> None:
    """Raises BadRequest if a port would lose an address that a floating IP leads to."""
    for address in session.exec(select(FloatingIpRow.fixed_ip_address).where(FloatingIpRow.port_id == port_id)):
        if address not in addresses:
            message = f"Fixed IP {address} of port {port_id} has a floating IP: disassociate it first."
            raise BadRequest(message, kind="BadRequest")


def drop_unassociated(session: Session, network_id: str) -> list[str]:
    """Delete a network's floating IPs that lead nowhere; returns their ports, which are left."""
    return drop(session, col(FloatingIpRow.floating_network_id) == network_id, col(FloatingIpRow.port_id).is_(None))


def drop(session: Session, *conditions: ColumnElement[bool]) -> list[str]:
    """Delete floating IPs; returns their ports, which are left."""
    found = session.exec(select(FloatingIpRow).where(*conditions)).all()
    ids = [row.id for row in found]
    network_changes.mark_routers(session, [row.router_id for row in found])
    network_changes.mark_ports(session, [row.port_id for row in found])
    drop_tags(session, ids)
    session.execute(delete(FloatingIpRow).where(within(FloatingIpRow.id, ids)))
    return [row.floating_port_id for row in found]
