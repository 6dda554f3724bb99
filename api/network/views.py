"""Resources on the wire, as the Networking API v2.0 reference shows them."""

from datetime import datetime
from typing import Any, Protocol

from api.auth import Context
from api.network import policy
from api.network.schemas import ZONE
from infra.domain.network import Network, NetworkQuota, Port, SecurityGroup, SecurityGroupRule, Subnet
from infra.domain.router import FloatingIp, Router, RouterInterface

Json = dict[str, Any]


class _Standard(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def project_id(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def updated_at(self) -> datetime: ...
    @property
    def revision(self) -> int: ...


def _standard(resource: _Standard) -> Json:
    return {
        "id": resource.id,
        "project_id": resource.project_id,
        "tenant_id": resource.project_id,
        "description": resource.description,
        "created_at": _time(resource.created_at),
        "updated_at": _time(resource.updated_at),
        "revision_number": resource.revision,
    }


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def network(it: Network, ctx: Context) -> Json:
    view = {
        **_standard(it),
        "name": it.name,
        "status": "ACTIVE",
        "admin_state_up": it.admin_state_up,
        "shared": it.shared,
        "router:external": it.external,
        "port_security_enabled": it.port_security_enabled,
        "mtu": it.mtu,
        "subnets": list(it.subnet_ids),
        "availability_zone_hints": list(it.availability_zone_hints),
        "availability_zones": [ZONE],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "tags": list(it.tags),
    }
    if policy.trusted(ctx):
        view |= {
            "provider:network_type": "vxlan",
            "provider:physical_network": None,
            "provider:segmentation_id": it.vni,
        }
    return view


def subnet(it: Subnet) -> Json:
    return {
        **_standard(it),
        "name": it.name,
        "network_id": it.network_id,
        "ip_version": it.ip_version,
        "cidr": it.cidr,
        "gateway_ip": it.gateway_ip,
        "enable_dhcp": it.enable_dhcp,
        "dns_nameservers": list(it.dns_nameservers),
        "host_routes": [route.model_dump() for route in it.host_routes],
        "allocation_pools": [pool.model_dump() for pool in it.allocation_pools],
        "ipv6_address_mode": None,
        "ipv6_ra_mode": None,
        "subnetpool_id": None,
        "service_types": [],
        "tags": list(it.tags),
    }


def port(it: Port, ctx: Context) -> Json:
    view = {
        **_standard(it),
        "name": it.name,
        "network_id": it.network_id,
        "mac_address": it.mac_address,
        "admin_state_up": it.admin_state_up,
        "status": it.status,
        "device_id": it.device_id,
        "device_owner": it.device_owner,
        "fixed_ips": [ip.model_dump() for ip in it.fixed_ips],
        "security_groups": list(it.security_group_ids),
        "port_security_enabled": it.port_security_enabled,
        "allowed_address_pairs": [{"mac_address": it.mac_address, **pair} for pair in it.allowed_address_pairs],
        "extra_dhcp_opts": list(it.extra_dhcp_opts),
        "binding:vnic_type": it.vnic_type,
        "tags": list(it.tags),
    }
    if policy.trusted(ctx) or ctx.is_service:
        view |= {
            "binding:host_id": it.host,
            "binding:profile": it.binding_profile,
            "binding:vif_type": "bridge" if it.host else "unbound",
            "binding:vif_details": {"connectivity": "l2", "port_filter": True} if it.host else {},
        }
    return view


def router(it: Router) -> Json:
    return {
        **_standard(it),
        "name": it.name,
        "admin_state_up": it.admin_state_up,
        "status": "ACTIVE",
        "external_gateway_info": it.gateway.model_dump() if it.gateway is not None else None,
        "routes": [route.model_dump() for route in it.routes],
        "availability_zone_hints": [],
        "availability_zones": [ZONE],
        "flavor_id": None,
        "tags": list(it.tags),
    }


def router_interface(it: RouterInterface) -> Json:
    return {
        "id": it.router_id,
        "project_id": it.project_id,
        "tenant_id": it.project_id,
        "port_id": it.port_id,
        "network_id": it.network_id,
        "subnet_id": it.subnet_ids[0],
        "subnet_ids": list(it.subnet_ids),
    }


def floating_ip(it: FloatingIp) -> Json:
    return {
        **_standard(it),
        "floating_network_id": it.floating_network_id,
        "floating_ip_address": it.floating_ip_address,
        "port_id": it.port_id,
        "fixed_ip_address": it.fixed_ip_address,
        "router_id": it.router_id,
        "status": it.status,
        "tags": list(it.tags),
    }


def security_group(it: SecurityGroup) -> Json:
    return {
        **_standard(it),
        "name": it.name,
        "stateful": it.stateful,
        "shared": False,
        "security_group_rules": [security_group_rule(rule) for rule in it.rules],
        "tags": list(it.tags),
    }


def security_group_rule(it: SecurityGroupRule) -> Json:
    return {
        **_standard(it),
        "security_group_id": it.security_group_id,
        "direction": it.direction,
        "ethertype": it.ethertype,
        "protocol": it.protocol,
        "port_range_min": it.port_range_min,
        "port_range_max": it.port_range_max,
        "remote_ip_prefix": it.remote_ip_prefix,
        "normalized_cidr": it.remote_ip_prefix,
        "remote_group_id": it.remote_group_id,
        "remote_address_group_id": None,
    }


def quota(it: NetworkQuota) -> Json:
    return it.model_dump()
