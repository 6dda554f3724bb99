"""What workers do to ports: make and bind them for an attempt, take that back, and read what a host needs.

Every call carries the idempotency key of its effect, ``<server>/<attempt>/<step>``: a repeat finds what was made
before, what arrives after its undo is refused, and a late undo of an earlier attempt changes nothing.
"""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session, select

from infra.db import idempotency, network_changes, networks, ports, subnets
from infra.db.network_rows import touch
from infra.db.tables.network import PortRow
from infra.domain.errors import Conflict
from infra.domain.keys import port_key
from infra.domain.network import NetworkQuota, NewPort, Nic, NicAddress, Port, Subnet

_UNBOUND: dict[str, Any] = {"device_id": "", "device_owner": "", "host": "", "binding_profile": {}, "status": "DOWN"}


def create(session: Session, new: NewPort, key: str, quota: NetworkQuota) -> Port:
    """Make a port once for a key; the same key again returns the port made before.

    Raises:
        Conflict: AttemptClosed: the key was buried; and as ``ports.create``.
    """
    earlier = idempotency.first_use(session, key, new.id)
    if earlier is not None:
        found = ports.get_many(session, [earlier])
        if not found:
            raise Conflict(f"The port of idempotency key {key} was deleted.", kind="AttemptClosed")
        return found[earlier]
    return ports.create(session, new, quota, bound_by=key)


def update(session: Session, port_id: str, changes: Mapping[str, Any], key: str | None) -> Port:
    """Bind a port, unbind it (``device_id`` empty) or report on it.

    Raises:
        NotFound: there is no such port.
        Conflict: PortInUse: another device has it; AttemptClosed: this binding was undone before.
    """
    if changes.get("device_id") == "":
        return _unbind(session, port_id, changes, key)
    row = ports.row_of(session, port_id, lock=True)
    device = changes.get("device_id")
    if device is not None:
        if key is not None:
            idempotency.first_use(session, key, port_id)
        if row.device_id not in ("", device):
            raise in_use(row.id, row.network_id, row.device_id)
        row.bound_by = key or device
    return ports.update(session, port_id, changes)


def _unbind(session: Session, port_id: str, changes: Mapping[str, Any], key: str | None) -> Port:
    row = ports.row_of(session, port_id, lock=True)
    if key is not None:
        idempotency.bury(session, key)
        if row.device_id not in ("", idempotency.attempt_of(key)[0]) or _superseded(row.bound_by, key):
            return ports.get(session, port_id)
    row.bound_by = ""
    return ports.update(session, port_id, {**_UNBOUND, **changes})


def delete(session: Session, port_id: str, key: str | None) -> None:
    """Remove a port and bury its key; "not there" is success, and so is a port that a later attempt made since."""
    if key is not None:
        idempotency.bury(session, key)
    row = session.get(PortRow, port_id, with_for_update=True)
    if row is not None and not (key is not None and _superseded(row.bound_by, key)):
        ports.delete(session, port_id)


def of_attempt(session: Session, host: str, server_id: str, attempt: int, *, but: int | None = None) -> list[str]:
    """Ports that attempts up to this one, ``but`` one that lives, bound to a host for a server, by id."""
    query = select(PortRow).where(PortRow.device_id == server_id, PortRow.host == host, PortRow.bound_by != "")
    numbers = {row.id: idempotency.attempt_of(row.bound_by)[1] for row in session.exec(query)}
    return sorted(port_id for port_id, number in numbers.items() if number <= attempt and number != but)


def hand_over(session: Session, server_id: str, old_host: str, host: str, attempt: int) -> None:
    """What a server has on a host is another attempt's now, there or elsewhere, with its addresses."""
    query = select(PortRow).where(PortRow.device_id == server_id, PortRow.host == old_host, PortRow.bound_by != "")
    for row in session.exec(query):
        row.host, row.bound_by = host, port_key(server_id, attempt, row.id)
        touch(row)
        session.add(row)
    network_changes.mark(session, (old_host, host))


def unbind(session: Session, port_id: str) -> None:
    """Let go of a port that is the user's own."""
    row = ports.row_of(session, port_id, lock=True)
    row.bound_by = ""
    ports.update(session, port_id, _UNBOUND)


def in_use(port_id: str, network_id: str, device_id: str) -> Conflict:
    return Conflict(
        f"Unable to complete operation on port {port_id} for network {network_id}. Port already has an attached "
        f"device {device_id}.",
        kind="PortInUse",
    )


def nic(session: Session, port: Port) -> Nic:
    """The port as a host needs it: with its network's VNI and MTU, and what DHCP serves for each address."""
    network = networks.get_bare(session, port.network_id)
    subnet_ids = [ip.subnet_id for ip in port.fixed_ips]
    rows = {subnet.id: subnet for subnet in subnets.of_network(session, network.id)} if subnet_ids else {}
    dhcp = subnets.dhcp_address(session, subnet_ids)
    return Nic(
        port_id=port.id,
        network_id=network.id,
        vni=network.vni,
        mtu=network.mtu,
        mac_address=port.mac_address,
        addresses=tuple(_address(ip.ip_address, rows[ip.subnet_id], dhcp.get(ip.subnet_id)) for ip in port.fixed_ips),
    )


def _address(ip_address: str, subnet: Subnet, dhcp_ip: str | None) -> NicAddress:
    return NicAddress(
        ip_address=ip_address,
        cidr=subnet.cidr,
        gateway_ip=subnet.gateway_ip,
        dns_nameservers=subnet.dns_nameservers,
        host_routes=subnet.host_routes,
        enable_dhcp=subnet.enable_dhcp,
        dhcp_ip=dhcp_ip,
    )


def _superseded(bound_by: str, key: str) -> bool:
    """True if a later attempt for the same server holds what ``key`` is about."""
    holder, asking = idempotency.attempt_of(bound_by), idempotency.attempt_of(key)
    return holder[0] == asking[0] and holder[1] > asking[1]
