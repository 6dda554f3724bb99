"""Who may do what, as Neutron's default policy has it.

Things of other projects that a caller can't see are "not found"; things that can be seen but not changed are
"forbidden". A worker that acts with a user's token has that user's rights over networks and addresses, and a
worker's own over bindings.
"""

from collections.abc import Iterable

from api.auth import Context
from infra.domain.errors import BadRequest, Conflict, Forbidden, NotFound
from infra.domain.network import Network, NewPort, Port, Subnet
from infra.domain.router import INTERFACE_OWNER, FloatingIp, Router


def forbidden(action: str) -> Forbidden:
    return Forbidden(f"rule:{action} is disallowed by policy", kind="PolicyNotAuthorized")


def trusted(ctx: Context) -> bool:
    """An administrator, or a worker that acts for nobody else."""
    return ctx.is_admin or ctx.identity.has("service")


def visible_to(ctx: Context) -> str | None:
    """The project whose things a list shows; None for all."""
    return None if trusted(ctx) else ctx.project_id


def project_for(ctx: Context, project_id: str | None, tenant_id: str | None) -> str:
    """The project that a new resource belongs to."""
    wanted = project_id or tenant_id
    if project_id and tenant_id and project_id != tenant_id:
        raise BadRequest("'project_id' and 'tenant_id' do not match.", kind="HTTPBadRequest")
    if wanted is None or wanted == ctx.identity.project_id:
        return ctx.project_id
    if not (trusted(ctx) or ctx.is_service):
        raise BadRequest(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin "
            "privileges",
            kind="HTTPBadRequest",
        )
    return wanted


def owns(ctx: Context, project_id: str) -> bool:
    return trusted(ctx) or ctx.identity.project_id == project_id


def see_network(ctx: Context, network: Network) -> None:
    if not (owns(ctx, network.project_id) or network.shared or network.external):
        raise NotFound(f"Network {network.id} could not be found.", kind="NetworkNotFound")


def change_network(ctx: Context, network: Network, action: str) -> None:
    see_network(ctx, network)
    if not owns(ctx, network.project_id):
        raise forbidden(action)


def admin_attributes(ctx: Context, resource: str, names: Iterable[str]) -> None:
    """Refuse attributes that only administrators set."""
    for name in names:
        if not trusted(ctx):
            raise forbidden(f"{resource}:{name}")


def see_subnet(ctx: Context, subnet: Subnet, network: Network) -> None:
    if not (owns(ctx, subnet.project_id) or owns(ctx, network.project_id) or network.shared):
        raise NotFound(f"Subnet {subnet.id} could not be found.", kind="SubnetNotFound")


def change_subnet(ctx: Context, subnet: Subnet, network: Network, action: str) -> None:
    see_subnet(ctx, subnet, network)
    if not (owns(ctx, subnet.project_id) or owns(ctx, network.project_id)):
        raise forbidden(action)


def attach(ctx: Context, network: Network, new: NewPort) -> None:
    """May this port be made on this network?"""
    see_network(ctx, network)
    mine = owns(ctx, network.project_id)
    if not (mine or network.shared):
        raise forbidden("create_port:network_id")
    if not mine:
        _net_owner_only(
            "create_port", new.mac_address, new.fixed_ips, new.port_security_enabled, new.allowed_address_pairs
        )
    if new.device_owner.startswith("network:") and not trusted(ctx):
        raise forbidden("create_port:device_owner")
    if not (ctx.is_service or trusted(ctx)) and (new.host or new.binding_profile):
        raise forbidden("create_port:binding:host_id" if new.host else "create_port:binding:profile")


def _net_owner_only(action: str, mac: object, fixed_ips: object, security: object, pairs: object) -> None:
    if mac:
        raise forbidden(f"{action}:mac_address")
    if isinstance(fixed_ips, tuple) and any(wish.ip_address is not None for wish in fixed_ips):
        raise forbidden(f"{action}:fixed_ips:ip_address")
    if security is not None:
        raise forbidden(f"{action}:port_security_enabled")
    if pairs:
        raise forbidden(f"{action}:allowed_address_pairs")


def see_port(ctx: Context, port: Port, network: Network) -> None:
    if not (ctx.is_service or owns(ctx, port.project_id) or owns(ctx, network.project_id)):
        raise NotFound(f"Port {port.id} could not be found.", kind="PortNotFound")


def change_port(ctx: Context, port: Port, network: Network, changes: dict[str, object]) -> None:
    """May these attributes of this port be changed?"""
    see_port(ctx, port, network)
    if ctx.is_service or trusted(ctx):
        return
    if not owns(ctx, port.project_id):
        raise forbidden("update_port")
    for name, wire in (("host", "binding:host_id"), ("binding_profile", "binding:profile"), ("status", "status")):
        if name in changes:
            raise forbidden(f"update_port:{wire}")
    if not owns(ctx, network.project_id):
        _net_owner_only(
            "update_port", changes.get("mac_address"), changes.get("fixed_ips"),
            changes.get("port_security_enabled"), changes.get("allowed_address_pairs"),
        )  # fmt: skip
    moved = [n for n in ("device_id", "device_owner") if n in changes and changes[n] != getattr(port, n)]
    services_own = port.device_owner.startswith("network:") and port.device_owner != INTERFACE_OWNER
    given = str(changes.get("device_owner", "")).startswith("network:")
    if services_own or ((given or port.device_owner == INTERFACE_OWNER) and moved):
        raise forbidden("update_port:device_owner")
    if port.host and moved:
        raise held(port)


def delete_port(ctx: Context, port: Port, network: Network) -> None:
    see_port(ctx, port, network)
    bound = port.host and not port.device_owner.startswith("network:")
    if bound and not ctx.is_service and not trusted(ctx):
        raise held(port)


def see_router(ctx: Context, router: Router) -> None:
    if not owns(ctx, router.project_id):
        raise NotFound(f"Router {router.id} could not be found.", kind="RouterNotFound")


def see_floating_ip(ctx: Context, floating_ip: FloatingIp) -> None:
    if not owns(ctx, floating_ip.project_id):
        raise NotFound(f"Floating IP {floating_ip.id} could not be found", kind="FloatingIPNotFound")


def held(port: Port) -> Conflict:
    """A guest uses the port: who gets its address next would meet the guest there."""
    return Conflict(
        f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an attached "
        f"device {port.device_id}.",
        kind="PortInUse",
    )
