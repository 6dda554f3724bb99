"""Routers: transactions. What a router has on networks is in ``router_interfaces.py`` and ``router_gateways.py``."""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, select

from infra.db import addresses, host_routers, network_changes, network_quotas, router_gateways, router_interfaces
from infra.db.network_rows import Selection, change, columns_of, drop_tags, insert, matches, rows_of, tags_of, within
from infra.db.tables.network import PortRow
from infra.db.tables.routing import RouterRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.network import HostRoute, NetworkQuota
from infra.domain.router import Gateway, GatewayWish, Router

COLUMNS = columns_of(
    RouterRow, "id", "project_id", "name", "description", "admin_state_up", "created_at", "updated_at", "revision"
)


def create(session: Session, router: Router, gateway: GatewayWish | None, quota: NetworkQuota) -> Router:
    """Make a router, and its port on the external network where it has a gateway.

    Raises:
        NotFound: no such external network.
        BadRequest: it is not external, or the addresses do not fit it.
        Conflict: OverQuota; no address is left, or the wanted one is taken.
    """
    network_quotas.reserve(session, router.project_id, "router", quota)
    insert(session, RouterRow(**router.model_dump(exclude={"gateway", "routes", "tags"}), routes=[]))
    if gateway is not None:
        row = row_of(session, router.id, lock=True)
        router_gateways.connect(session, row, gateway)
        host_routers.changed(session, router.id)
    return get(session, router.id)


def get(session: Session, router_id: str) -> Router:
    """Raises NotFound."""
    return _models(session, [row_of(session, router_id)])[0]


def find(session: Session, selection: Selection) -> list[Router]:
    """Routers of the project that looks."""
    conditions = matches(COLUMNS, selection.filters)
    if selection.visible_to is not None:
        conditions.append(COLUMNS["project_id"] == selection.visible_to)
    return _models(session, rows_of(session, RouterRow, COLUMNS, conditions, selection.page))


def update(session: Session, router_id: str, changes: Mapping[str, Any]) -> Router:
    """Change a router; ``gateway`` is a ``GatewayWish``, or None to have none.

    Raises:
        NotFound: no such router or external network.
        BadRequest: the gateway or the routes do not fit.
        Conflict: floating IPs need the gateway; and as ``create``.
    """
    row = row_of(session, router_id, lock=True)
    plain = dict(changes)
    if "gateway" in plain:
        wish = plain.pop("gateway")
        network_changes.mark_routers(session, [router_id])
        if wish is None:
            router_gateways.disconnect(session, row)
        else:
            router_gateways.connect(session, row, wish)
    if "routes" in plain:
        plain["routes"] = [route.model_dump() for route in plain["routes"]]
    change(row, plain)
    session.add(row)
    session.flush()
    if "routes" in plain or "gateway" in changes:
        _check_routes(session, row)
    network_changes.mark_routers(session, [router_id])
    if "gateway" in changes:
        host_routers.changed(session, router_id)
    return _models(session, [row])[0]


def delete(session: Session, router_id: str) -> None:
    """Remove a router with its gateway.

    Raises:
        NotFound: there is none.
        Conflict: RouterInUse: it has interfaces.
    """
    row = row_of(session, router_id, lock=True)
    if router_interfaces.ports_of(session, router_id):
        raise Conflict(f"Router {router_id} still has ports.", kind="RouterInUse")
    network_changes.mark_routers(session, [router_id])
    router_gateways.disconnect(session, row)
    drop_tags(session, [router_id])
    session.delete(row)
    session.flush()


def row_of(session: Session, router_id: str, *, lock: bool = False) -> RouterRow:
    """The row, for this service's own transactions. Raises NotFound."""
    row = session.get(RouterRow, router_id, with_for_update=lock or None, populate_existing=lock)
    if row is None:
        raise NotFound(f"Router {router_id} could not be found.", kind="RouterNotFound")
    return row


def _check_routes(session: Session, row: RouterRow) -> None:
    """Raises BadRequest for a next hop that the router is not beside, or that is its own address."""
    attached = router_interfaces.subnets_of(session, row.id)
    own = {ip.ip_address for ip in router_interfaces.addresses_of(session, row.id)}
    for route in row.routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if route["nexthop"] in own:
            raise _invalid(route, "the nexthop is used by router")
        if not any(hop in ipaddress.ip_network(subnet.cidr) for subnet in attached):
            raise _invalid(route, "the nexthop is not connected with router")


def _invalid(route: Mapping[str, str], reason: str) -> BadRequest:
    return BadRequest(
        f"Invalid format for routes: {route['destination']} via {route['nexthop']}, {reason}", kind="InvalidRoutes"
    )


def _models(session: Session, rows: Sequence[RouterRow]) -> list[Router]:
    tags = tags_of(session, [row.id for row in rows])
    ports = [row.gateway_port_id for row in rows if row.gateway_port_id is not None]
    fixed = addresses.of_ports(session, ports)
    query = select(PortRow.id, PortRow.network_id).where(within(PortRow.id, ports))
    networks = {row[0]: row[1] for row in session.exec(query)} if ports else {}
    return [
        Router(
            **row.model_dump(exclude={"gateway_port_id", "enable_snat", "routes"}),
            routes=tuple(HostRoute(**route) for route in row.routes),
            tags=tags[row.id],
            gateway=Gateway(
                network_id=networks[row.gateway_port_id],
                enable_snat=row.enable_snat,
                external_fixed_ips=fixed[row.gateway_port_id],
            )
            if row.gateway_port_id is not None
            else None,
        )
        for row in rows
    ]
