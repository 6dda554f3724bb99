"""Ports: transactions. What workers do to them beside (bind, fence) is in ``port_bindings.py``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_
from sqlalchemy import update as update_rows
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from infra.db import addresses, floating_ip_rows, network_changes, network_quotas, port_rows, security_groups
from infra.db.engine import is_duplicate
from infra.db.network_rows import LOCKS, Selection, change, columns_of, matches, missing, rows_of, touch, within
from infra.db.statements import Lookup, run
from infra.db.tables.network import AddressRow, NetworkRow, PortRow, PortSecurityGroupRow
from infra.db.types import now
from infra.domain.errors import Conflict, NotFound
from infra.domain.network import NetworkQuota, NewPort, Port
from infra.domain.router import INTERFACE_OWNER

COLUMNS = columns_of(
    PortRow,
    "id", "project_id", "network_id", "name", "description", "mac_address", "admin_state_up", "status",
    "device_id", "device_owner", "host", "vnic_type", "port_security_enabled", "created_at", "updated_at",
    "revision",
)  # fmt: skip
_IN_USE = Lookup(NetworkRow, "id", lock=LOCKS["use"])
_SET_STATUS = (
    update_rows(PortRow)
    .where(col(PortRow.device_id) == bindparam("of_device"), col(PortRow.host) != "")
    .values(status=bindparam("to_status"))
)
_ELSEWHERE = {"fixed_ips", "security_group_ids", "mac_address", "tags"}
"""Attributes that ``update`` sets otherwise than by a plain column."""


def create(session: Session, new: NewPort, quota: NetworkQuota, *, bound_by: str = "") -> Port:
    """Make a port with its addresses.

    Args:
        bound_by: idempotency key of the worker's call.

    Raises:
        NotFound: no such network or security group.
        BadRequest: the addresses do not fit the network.
        Conflict: OverQuota, MacAddressInUse, IpAddressInUse, IpAddressGenerationFailure, PortInUse (the id).
    """
    network = _IN_USE.first(session, new.network_id)
    if network is None:
        raise missing(new.network_id)
    network_quotas.reserve(session, new.project_id, "port", quota)
    secured = network.port_security_enabled if new.port_security_enabled is None else new.port_security_enabled
    groups = _groups(session, new, secured)
    _check_security(new.id, secured, groups, new.allowed_address_pairs)
    time = now()
    values = new.model_dump(exclude={"fixed_ips", "mac_address", "security_group_ids", "port_security_enabled"})
    values |= {"port_security_enabled": secured, "created_at": time, "updated_at": time, "bound_by": bound_by}
    values |= {name: list(values[name]) for name in ("allowed_address_pairs", "extra_dhcp_opts")}
    row = port_rows.add(session, values, new.mac_address)
    port_rows.join_groups(session, new.id, groups)
    fixed_ips = addresses.allocate(session, new.network_id, new.id, new.fixed_ips)
    network_changes.mark_port(session, (new.host,), groups)
    return Port(**row.model_dump(), fixed_ips=fixed_ips, security_group_ids=groups)


def get(session: Session, port_id: str) -> Port:
    """Raises NotFound."""
    return port_rows.models(session, [row_of(session, port_id)])[0]


def get_many(session: Session, ids: Sequence[str]) -> dict[str, Port]:
    """Those of ``ids`` that exist."""
    if not ids:
        return {}
    rows = session.exec(select(PortRow).where(within(PortRow.id, ids))).all()
    return {port.id: port for port in port_rows.models(session, rows)}


def set_status_of_device(session: Session, device_id: str, status: str) -> None:
    """What a guest's power does to its ports: ``ACTIVE`` or ``DOWN``."""
    run(session, _SET_STATUS, {"of_device": device_id, "to_status": status})


def of_devices(session: Session, device_ids: Sequence[str]) -> dict[str, list[Port]]:
    """Ports that workers bound, by the server that has them, oldest first.

    A user may write any ``device_id`` on a port of their own; that binds nothing and doesn't count.
    """
    found: dict[str, list[Port]] = {device_id: [] for device_id in device_ids}
    if device_ids:
        query = select(PortRow).where(within(PortRow.device_id, device_ids), PortRow.bound_by != "")
        rows = session.exec(query.order_by(col(PortRow.created_at), col(PortRow.id))).all()
        for port in port_rows.models(session, rows):
            found[port.device_id].append(port)
    return found


def find(session: Session, selection: Selection) -> list[Port]:
    """Ports of the project that looks, and all ports on its networks.

    Beside columns and tags ``selection.filters`` may hold ``subnet_id``, ``ip_address`` and ``ip_address_substr``
    (of one fixed IP) and ``security_group_ids``.
    """
    conditions = [*matches(COLUMNS, selection.filters), *_by_address(selection.filters)]
    if "security_group_ids" in selection.filters:
        member = select(PortSecurityGroupRow.port_id).where(
            col(PortSecurityGroupRow.port_id) == col(PortRow.id),
            within(PortSecurityGroupRow.security_group_id, selection.filters["security_group_ids"]),
        )
        conditions.append(member.exists())
    if selection.visible_to is not None:
        own = select(NetworkRow.id).where(NetworkRow.project_id == selection.visible_to)
        on_own = col(PortRow.network_id).in_(own)
        conditions.append(or_(col(PortRow.project_id) == selection.visible_to, on_own))
    return port_rows.models(session, rows_of(session, PortRow, COLUMNS, conditions, selection.page))


def update(session: Session, port_id: str, changes: Mapping[str, Any]) -> Port:
    """Change a port. ``fixed_ips`` is a sequence of ``AddressWish``: addresses that fit it already are kept.

    Raises:
        NotFound: no such port or security group.
        BadRequest, Conflict: as ``create``; PortBound for addresses of a port that a host serves; BadRequest for one
            that a floating IP leads to.
    """
    row = row_of(session, port_id, lock=True)
    before = port_rows.models(session, [row])[0]
    _check_bound(before, changes)
    after = before.model_copy(update={k: v for k, v in changes.items() if k != "fixed_ips"})
    _check_security(port_id, after.port_security_enabled, after.security_group_ids, after.allowed_address_pairs)
    if changes.get("mac_address", row.mac_address) != row.mac_address:
        _set_mac(session, row, changes["mac_address"])
    if "security_group_ids" in changes:
        security_groups.check_usable(session, changes["security_group_ids"], row.project_id)
        port_rows.set_groups(session, [port_id], changes["security_group_ids"])
    if "fixed_ips" in changes:
        addresses.conform(session, row.network_id, port_id, changes["fixed_ips"])
        kept = {ip.ip_address for ip in addresses.of_ports(session, [port_id])[port_id]}
        floating_ip_rows.check_kept(session, port_id, kept)
    change(row, {k: list(v) if isinstance(v, tuple) else v for k, v in changes.items() if k not in _ELSEWHERE})
    session.add(row)
    session.flush()
    made = port_rows.models(session, [row])[0]
    if _enforced(made) != _enforced(before):
        groups = {*before.security_group_ids, *made.security_group_ids}
        network_changes.mark_port(session, (before.host, made.host), groups)
    if made.revision == before.revision and made != before:
        touch(row)
        session.flush()
        made = made.model_copy(update={"revision": row.revision, "updated_at": row.updated_at})
    return made


def delete(session: Session, port_id: str) -> None:
    """Remove a port and free its addresses.

    Raises:
        NotFound: there is none.
        Conflict: ServicePortInUse: it is the service's own (DHCP, routers).
    """
    row = row_of(session, port_id, lock=True)
    if row.device_owner.startswith("network:"):
        raise Conflict(
            f"Port {port_id} cannot be deleted directly via the port API: has device owner {row.device_owner}.",
            kind="ServicePortInUse",
        )
    groups = port_rows.models(session, [row])[0].security_group_ids
    port_rows.remove(session, [port_id])
    network_changes.mark_port(session, (row.host,), groups)


def row_of(session: Session, port_id: str, *, lock: bool = False) -> PortRow:
    """The row, for this service's own transactions. Raises NotFound."""
    row = session.get(PortRow, port_id, with_for_update=lock or None)
    if row is None:
        raise NotFound(f"Port {port_id} could not be found.", kind="PortNotFound")
    return row


def _enforced(port: Port) -> tuple[object, ...]:
    """What hosts do something about."""
    sources = port.mac_address, port.fixed_ips, port.allowed_address_pairs
    return port.host, port.admin_state_up, port.port_security_enabled, port.security_group_ids, *sources


def _groups(session: Session, new: NewPort, secured: bool) -> tuple[str, ...]:
    if new.security_group_ids is not None:
        security_groups.check_usable(session, new.security_group_ids, new.project_id)
        return tuple(sorted(set(new.security_group_ids)))
    if not secured or new.device_owner.startswith("network:"):
        return ()
    return (security_groups.default_of(session, new.project_id),)


def _check_security(port_id: str, secured: bool, groups: Iterable[str], pairs: Sequence[Any]) -> None:
    if secured:
        return
    if tuple(groups):
        message = f"Port {port_id} has security groups: port security can't be disabled."
        raise Conflict(message, kind="PortSecurityPortHasSecurityGroup")
    if pairs:
        message = "Port Security must be enabled in order to have allowed address pairs on a port."
        raise Conflict(message, kind="AddressPairAndPortSecurityRequired")


def _check_bound(before: Port, changes: Mapping[str, Any]) -> None:
    """A host serves DHCP for what it was told when it plugged the port."""
    wanted = changes.get("fixed_ips")
    same = wanted is None or [(w.subnet_id, w.ip_address) for w in wanted] == [
        (ip.subnet_id, ip.ip_address) for ip in before.fixed_ips
    ]
    if (
        before.host
        and before.device_owner != INTERFACE_OWNER
        and not (same and changes.get("mac_address", before.mac_address) == before.mac_address)
    ):
        raise Conflict(
            f"Unable to complete operation on port {before.id}, port is already bound, port type: bridge, "
            f"its addresses can't change until it is detached.",
            kind="PortBound",
        )


def _set_mac(session: Session, row: PortRow, mac_address: str) -> None:
    taken = select(PortRow.id).where(PortRow.network_id == row.network_id, PortRow.mac_address == mac_address)
    if session.exec(taken).first() is not None:
        raise port_rows.mac_in_use(row.network_id, mac_address)
    try:
        with session.begin_nested():
            row.mac_address = mac_address
    except IntegrityError as e:
        if is_duplicate(e):
            raise port_rows.mac_in_use(row.network_id, mac_address) from None
        raise


def _by_address(filters: Mapping[str, Sequence[Any]]) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = []
    if "subnet_id" in filters:
        wanted.append(within(AddressRow.subnet_id, filters["subnet_id"]))
    if "ip_address" in filters:
        wanted.append(within(AddressRow.ip_address, filters["ip_address"]))
    if "ip_address_substr" in filters:
        parts = [col(AddressRow.ip_address).contains(part, autoescape=True) for part in filters["ip_address_substr"]]
        wanted.append(or_(*parts))
    if not wanted:
        return []
    return [select(AddressRow.port_id).where(col(AddressRow.port_id) == col(PortRow.id), and_(*wanted)).exists()]
