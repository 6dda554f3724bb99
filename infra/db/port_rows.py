"""Rows of ports and what belongs to them; ``ports.py`` and ``subnets.py`` hold the rules."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete
from sqlmodel import Session, col, select

from infra.db import addresses, floating_ip_rows
from infra.db.network_rows import drop_tags, insert, tags_of, within
from infra.db.tables.network import PortRow, PortSecurityGroupRow
from infra.db.types import now
from infra.domain.errors import Conflict, Unavailable
from infra.domain.network import Port
from infra.network.ipam import random_mac

_MAC_DRAWS = 20


def add(session: Session, values: Mapping[str, Any], mac_address: str | None) -> PortRow:
    """Insert a port; without a MAC address it gets one that is unique on its network.

    Raises:
        Conflict: MacAddressInUse, or PortInUse where a port with this id exists.
    """
    for _ in range(_MAC_DRAWS):
        row = PortRow(**values, mac_address=mac_address or random_mac())
        if insert(session, row):
            return row
        if session.get(PortRow, values["id"]) is not None:
            raise Conflict(f"Port {values['id']} exists already.", kind="PortInUse")
        if mac_address is not None:
            raise mac_in_use(values["network_id"], mac_address)
    raise Unavailable("No free MAC address was found.", kind="MacAddressGenerationFailure")


def add_own(
    session: Session, project_id: str, network_id: str, owner: str, device_id: str, *, status: str = "ACTIVE"
) -> str:
    """Insert a port of the service's own, without addresses yet; returns its id.

    Args:
        project_id: empty for a port that is no project's.
    """
    time = now()
    values = {
        "id": str(uuid.uuid4()), "project_id": project_id, "network_id": network_id, "name": "", "description": "",
        "admin_state_up": True, "status": status, "device_id": device_id, "device_owner": owner, "host": "",
        "binding_profile": {}, "vnic_type": "normal", "port_security_enabled": False, "allowed_address_pairs": [],
        "extra_dhcp_opts": [], "created_at": time, "updated_at": time,
    }  # fmt: skip
    return add(session, values, None).id


def mac_in_use(network_id: str, mac_address: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {mac_address} is in use.",
        kind="MacAddressInUse",
    )


def remove(session: Session, ids: Sequence[str]) -> None:
    """Delete ports with their addresses, group memberships and tags; floating IPs that led to them lead nowhere."""
    floating_ip_rows.disassociate(session, ids)
    addresses.release(session, ids)
    set_groups(session, ids, ())
    drop_tags(session, ids)
    session.execute(delete(PortRow).where(within(PortRow.id, ids)))


def set_groups(session: Session, ids: Sequence[str], group_ids: Iterable[str]) -> None:
    session.execute(delete(PortSecurityGroupRow).where(within(PortSecurityGroupRow.port_id, ids)))
    for port_id in ids:
        join_groups(session, port_id, group_ids)


def join_groups(session: Session, port_id: str, group_ids: Iterable[str]) -> None:
    insert(
        session, *(PortSecurityGroupRow(port_id=port_id, security_group_id=group) for group in sorted(set(group_ids)))
    )


def models(session: Session, rows: Sequence[PortRow]) -> list[Port]:
    ids = [row.id for row in rows]
    if not ids:
        return []
    fixed, tags = addresses.of_ports(session, ids), tags_of(session, ids)
    groups: dict[str, tuple[str, ...]] = dict.fromkeys(ids, ())
    query = select(PortSecurityGroupRow).where(within(PortSecurityGroupRow.port_id, ids))
    for link in session.exec(query.order_by(col(PortSecurityGroupRow.security_group_id))):
        groups[link.port_id] += (link.security_group_id,)
    return [
        Port(**row.model_dump(), fixed_ips=fixed[row.id], tags=tags[row.id], security_group_ids=groups[row.id])
        for row in rows
    ]
