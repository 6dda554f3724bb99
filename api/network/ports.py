"""``/v2.0/ports``. Workers make, bind and remove ports here too, in one call a network interface.

To a service the ``port`` in the answers of POST and PUT has a ``nic``, what a host needs to plug it, and a
``host_network``, who may reach it.
"""

import uuid
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from sqlmodel import Session

from api.auth import Context, MemberDep, ReaderDep, ServiceDep
from api.deps import ServicesDep
from api.network import body as bodies
from api.network import policy, query, views
from api.network.context import changing, quota_of
from api.network.schemas import PortCreate, PortUpdate
from infra.db import floating_ips, host_networks, networks, port_bindings, ports, router_interfaces
from infra.domain.errors import BadRequest
from infra.domain.host_network import HostNetwork
from infra.domain.network import Network, NetworkQuota, NewPort, Nic, Port
from infra.domain.router import INTERFACE_OWNER

router = APIRouter(prefix="/v2.0/ports")
FILTERS: query.Filters = {
    **query.filters(
        text=("network_id", "mac_address", "status", "device_id", "device_owner", "host", "vnic_type"),
        booleans=("admin_state_up", "port_security_enabled"),
        host="binding:host_id",
        vnic_type="binding:vnic_type",
    ),
    "fixed_ips": ("fixed_ips", str),
    "security_groups": ("security_group_ids", str),
    **query.TAGS,
}


class Made(NamedTuple):
    """A port, and to a service what its host needs of it."""

    port: Port
    nic: Nic | None = None
    host_network: HostNetwork | None = None


@router.get("")
async def index(ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    listing = query.read(request, FILTERS, policy.visible_to(ctx))
    shown = await found.db.read(ports.find, listing.selection)
    return query.answer(request, found, "ports", [views.port(it, ctx) for it in shown], listing)


@router.get("/{port_id}")
async def show(port_id: str, ctx: ReaderDep, found: ServicesDep, request: Request) -> Response:
    it, network = await found.db.read(_with_network, port_id)
    policy.see_port(ctx, it, network)
    return JSONResponse({"port": query.only(views.port(it, ctx), query.fields(request))})


@router.get("/{port_id}/nic")
async def nic(port_id: str, ctx: ServiceDep, found: ServicesDep) -> Response:
    """What a host needs to plug the port: ``infra.domain.network.Nic``."""

    def work(session: Session) -> Nic:
        return port_bindings.nic(session, ports.get(session, port_id))

    return JSONResponse((await found.db.read(work)).model_dump(mode="json"))


@router.post("")
async def create(ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    wanted, bulk = bodies.several(body, "port", "ports", PortCreate)
    if bulk and ctx.idempotency_key is not None:
        raise BadRequest("An idempotency key stands for one port.", kind="HTTPBadRequest")
    new = [_new(ctx, each) for each in wanted]

    def work(session: Session) -> list[Made]:
        return [_create(session, ctx, each, quota_of(found)) for each in new]

    made = await changing(ctx, found, work, lambda made: _host_told(made[0]))
    if bulk:
        return JSONResponse({"ports": [views.port(it.port, ctx) for it in made]}, 201)
    return JSONResponse(_answer(ctx, made[0]), 201)


@router.put("/{port_id}")
async def update(port_id: str, ctx: MemberDep, found: ServicesDep, body: bodies.JsonDep) -> Response:
    changes = bodies.one(body, "port", PortUpdate).given()

    def work(session: Session) -> Made:
        before, network = _with_network(session, port_id)
        policy.change_port(ctx, before, network, changes)
        wanted = dict(changes)
        if "extra_dhcp_opts" in changes:
            wanted["extra_dhcp_opts"] = _merged(before.extra_dhcp_opts, changes["extra_dhcp_opts"])
        if not ctx.is_service:
            return Made(_updated(session, before, wanted))
        return _described(session, port_bindings.update(session, port_id, wanted, ctx.idempotency_key))

    return JSONResponse(_answer(ctx, await changing(ctx, found, work, _host_told)))


@router.delete("/{port_id}")
async def delete(port_id: str, ctx: MemberDep, found: ServicesDep) -> Response:
    def work(session: Session) -> bool:
        if ctx.is_service:
            # That others forget the address of a server that is gone waits for their reports; its floating IP does not.
            leads = floating_ips.of_ports(session, [port_id])
            port_bindings.delete(session, port_id, ctx.idempotency_key)
            return bool(leads)
        policy.delete_port(ctx, *_with_network(session, port_id))
        ports.delete(session, port_id)
        return True

    await changing(ctx, found, work, urgent=bool)
    return Response(status_code=204)


def _updated(session: Session, before: Port, changes: dict[str, Any]) -> Port:
    after = ports.update(session, before.id, changes)
    if before.device_owner == INTERFACE_OWNER:
        router_interfaces.check_apart(
            session, before.device_id, [ip.subnet_id for ip in after.fixed_ips], but=before.id
        )
    return after


def _with_network(session: Session, port_id: str) -> tuple[Port, Network]:
    it = ports.get(session, port_id)
    return it, networks.get_bare(session, it.network_id)


def _new(ctx: Context, wanted: PortCreate) -> NewPort:
    values = wanted.given()
    given_id = values.pop("id", None)
    for name in ("id", "status"):
        if name in wanted.model_fields_set and not ctx.is_service:
            raise BadRequest(f"Unrecognized or read-only attribute(s) '{name}'.", kind="HTTPBadRequest")
    if "extra_dhcp_opts" in values:
        values["extra_dhcp_opts"] = _merged((), values["extra_dhcp_opts"])
    project = policy.project_for(ctx, wanted.project_id, wanted.tenant_id)
    return NewPort(**{**values, "id": given_id or str(uuid.uuid4()), "project_id": project})


def _create(session: Session, ctx: Context, new: NewPort, quota: NetworkQuota) -> Made:
    policy.attach(ctx, networks.get_bare(session, new.network_id), new)
    if not ctx.is_service:
        return Made(ports.create(session, new, quota))
    key = ctx.idempotency_key
    made = ports.create(session, new, quota) if key is None else port_bindings.create(session, new, key, quota)
    return _described(session, made)


def _described(session: Session, port: Port) -> Made:
    described = host_networks.of_port(session, port.host, port.id) if port.host else None
    return Made(port, port_bindings.nic(session, port), described)


def _host_told(made: Made) -> str:
    """The host whose worker made the call."""
    return made.port.host if made.host_network is not None else ""


def _answer(ctx: Context, made: Made) -> dict[str, Any]:
    more = {"nic": made.nic, "host_network": made.host_network}
    found = {name: it.model_dump(mode="json") for name, it in more.items() if it is not None}
    return {"port": views.port(made.port, ctx) | found}


def _merged(before: tuple[dict[str, Any], ...], given: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """Options by name and IP version; one without a value is taken away."""
    options = {(option["opt_name"], option["ip_version"]): option for option in (*before, *given)}
    return tuple(option for option in options.values() if option["opt_value"] is not None)
