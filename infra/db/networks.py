"""Networks: transactions. A network's VNI is drawn at random and unique among the networks that exist."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, false, literal, or_, true
from sqlmodel import Session, col, select

from infra.db import floating_ip_rows, network_changes, network_quotas, port_rows, subnets
from infra.db.network_rows import (
    Selection,
    change,
    columns_of,
    drop_tags,
    insert,
    matches,
    missing,
    network_row,
    rows_of,
    tags_of,
    within,
)
from infra.db.statements import Lookup
from infra.db.tables.network import NetworkRow, PortRow, SubnetRow
from infra.domain.errors import BadRequest, Conflict, Unavailable
from infra.domain.network import Network, NetworkQuota
from infra.domain.router import FLOATING_OWNER, GATEWAY_OWNER
from infra.network.ipam import random_vni

COLUMNS = {
    **columns_of(
        NetworkRow,
        "id", "project_id", "name", "description", "admin_state_up", "shared", "external", "port_security_enabled",
        "mtu", "vni", "created_at", "updated_at", "revision",
    ),
    "status": literal("ACTIVE"),
    "network_type": literal("vxlan"),
}  # fmt: skip
_VNI_DRAWS = 20
_BY_ID = Lookup(NetworkRow, "id")


def create(session: Session, network: Network, quota: NetworkQuota, *, vni: int | None = None) -> Network:
    """Make a network; ``network.vni`` is ignored.

    Args:
        vni: take this one and no other.

    Raises:
        Conflict: OverQuota; VxlanNetworkInUse where the wanted VNI is taken.
    """
    network_quotas.reserve(session, network.project_id, "network", quota)
    values = network.model_dump(exclude={"subnet_ids", "tags", "vni"}) | {
        "availability_zone_hints": list(network.availability_zone_hints)
    }
    for _ in range(_VNI_DRAWS):
        row = NetworkRow(**values, vni=vni or random_vni())
        if insert(session, row):
            return network.model_copy(update={"vni": row.vni})
        if session.get(NetworkRow, network.id) is not None:
            raise Conflict(f"Network {network.id} exists already.", kind="NetworkInUse")
        if vni is not None:
            message = f"Unable to create the network. The VNI {vni} is in use."
            raise Conflict(message, kind="VxlanNetworkInUse")
    raise Unavailable("No free VXLAN network identifier was found.", kind="NoNetworkAvailable")


def get(session: Session, network_id: str) -> Network:
    """Raises NotFound."""
    return _models(session, [network_row(session, network_id)])[0]


def get_bare(session: Session, network_id: str) -> Network:
    """A network without its subnets and tags, in one statement. Raises NotFound."""
    row = _BY_ID.first(session, network_id)
    if row is None:
        raise missing(network_id)
    return Network(**row._asdict())


def names(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """Names by id, of those that exist."""
    if not ids:
        return {}
    rows = session.exec(select(NetworkRow.id, NetworkRow.name).where(within(NetworkRow.id, ids)))
    return {row[0]: row[1] for row in rows}


def get_many(session: Session, ids: Sequence[str]) -> dict[str, Network]:
    """Those of ``ids`` that exist."""
    if not ids:
        return {}
    rows = session.exec(select(NetworkRow).where(within(NetworkRow.id, ids))).all()
    return {network.id: network for network in _models(session, rows)}


def find(session: Session, selection: Selection) -> list[Network]:
    """Networks of the project that looks, shared and external ones."""
    conditions = matches(COLUMNS, selection.filters)
    if "physical_network" in selection.filters:
        conditions.append(false())
    if selection.visible_to is not None:
        conditions.append(visible(selection.visible_to))
    return _models(session, rows_of(session, NetworkRow, COLUMNS, conditions, selection.page))


def visible(project_id: str) -> ColumnElement[bool]:
    return or_(
        col(NetworkRow.project_id) == project_id, col(NetworkRow.shared) == true(), col(NetworkRow.external) == true()
    )


def attachable(session: Session, project_id: str) -> list[Network]:
    """Networks that a server of this project gets when none is asked for: its own, or shared, and not external."""
    query = (
        select(NetworkRow)
        .where(
            or_(col(NetworkRow.project_id) == project_id, col(NetworkRow.shared) == true()),
            col(NetworkRow.external) == false(),
        )
        .order_by(col(NetworkRow.created_at), col(NetworkRow.id))
    )
    return _models(session, session.exec(query).all())


def update(session: Session, network_id: str, changes: Mapping[str, Any]) -> Network:
    """Change a network.

    Raises:
        NotFound: there is none.
        Conflict: others use what stops being shared, or routers or floating IPs what stops being external.
        BadRequest: an MTU that its ports lost.
    """
    row = network_row(session, network_id, lock="change")
    if row.shared and changes.get("shared") is False and _used_by_others(session, row):
        message = f"Unable to reconfigure sharing settings for network {row.name}. Multiple projects are using it."
        raise Conflict(message, kind="InvalidSharedSetting")
    if row.external and changes.get("external") is False and _reached_from_outside(session, network_id):
        message = f"External network {network_id} cannot be updated to be made non-external, since it has existing "
        raise Conflict(f"{message}gateway ports or floating IPs.", kind="ExternalNetworkInUse")
    smallest = 1280 if any(s.ip_version == 6 for s in _subnet_rows(session, [network_id])) else 68
    if "mtu" in changes and changes["mtu"] < smallest:
        raise BadRequest(f"Requested MTU is too small, it must be at least {smallest}.", kind="InvalidInput")
    if "mtu" in changes:
        network_changes.mark_network(session, network_id)
    change(row, changes)
    session.add(row)
    session.flush()
    return _models(session, [row])[0]


def delete(session: Session, network_id: str) -> None:
    """Remove a network with its subnets and their DHCP ports, and floating IPs that lead nowhere.

    Raises:
        NotFound: there is none.
        Conflict: NetworkInUse: it has ports.
    """
    row = network_row(session, network_id, lock="delete")
    port_rows.remove(session, floating_ip_rows.drop_unassociated(session, network_id))
    port = session.exec(
        select(PortRow.id)
        .where(PortRow.network_id == network_id, PortRow.device_owner != network_quotas.DHCP_OWNER)
        .limit(1)
    ).first()
    if port is not None:
        raise Conflict(
            f"Unable to complete operation on network {network_id}. There are one or more ports still in use on the "
            f"network, id for these ports is: {port}.",
            kind="NetworkInUse",
        )
    for subnet in _subnet_rows(session, [network_id]):
        subnets.remove(session, subnet)
    drop_tags(session, [network_id])
    session.delete(row)
    session.flush()


def _reached_from_outside(session: Session, network_id: str) -> bool:
    query = select(PortRow.id).where(
        PortRow.network_id == network_id, col(PortRow.device_owner).in_((GATEWAY_OWNER, FLOATING_OWNER))
    )
    return session.exec(query.limit(1)).first() is not None


def _used_by_others(session: Session, row: NetworkRow) -> bool:
    query = select(PortRow.id).where(PortRow.network_id == row.id, PortRow.project_id != row.project_id)
    return session.exec(query.limit(1)).first() is not None


def _subnet_rows(session: Session, network_ids: Sequence[str]) -> Sequence[SubnetRow]:
    query = select(SubnetRow).where(within(SubnetRow.network_id, network_ids))
    return session.exec(query.order_by(col(SubnetRow.created_at), col(SubnetRow.id))).all()


def _models(session: Session, rows: Sequence[NetworkRow]) -> list[Network]:
    ids = [row.id for row in rows]
    tags = tags_of(session, ids)
    subnets_by: dict[str, tuple[str, ...]] = dict.fromkeys(ids, ())
    for subnet in _subnet_rows(session, ids) if ids else ():
        subnets_by[subnet.network_id] += (subnet.id,)
    return [Network(**row.model_dump(), subnet_ids=subnets_by[row.id], tags=tags[row.id]) for row in rows]
