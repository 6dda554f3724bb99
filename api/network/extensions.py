"""What this service is: versions, resources, availability zones, and the extensions that work."""

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from api.auth import ReaderDep
from api.deps import Services, ServicesDep
from api.network.schemas import ZONE
from infra.domain.errors import NotFound

router = APIRouter()
_UPDATED = "2012-01-01T00:00:00-00:00"
_RESOURCES = {
    "network": "networks",
    "subnet": "subnets",
    "port": "ports",
    "security_group": "security-groups",
    "security_group_rule": "security-group-rules",
    "router": "routers",
    "floatingip": "floatingips",
    "quota": "quotas",
    "extension": "extensions",
}
_EXTENSIONS = {
    "agent": ("agent", "The agent management extension."),
    "allowed-address-pairs": ("Allowed Address Pairs", "Provides allowed address pairs"),
    "availability_zone": ("Availability Zone", "The availability zone extension."),
    "binding": ("Port Binding", "Expose port bindings of a virtual port to external application"),
    "ext-gw-mode": ("Neutron L3 Configurable external gateway mode", "Configuration of SNAT on an external gateway"),
    "external-net": ("Neutron external network", "Adds external network attribute to network resource."),
    "extraroute": ("Neutron Extra Route", "Extra routes configuration for L3 router"),
    "extraroute-atomic": ("Atomically add/remove extra routes", "Edit extra routes of a router on server side."),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "Extra options configuration for DHCP."),
    "filter-validation": ("Filter parameters validation", "Provides validation on filter parameters."),
    "ip-substring-filtering": ("IP address substring filtering", "Provides IP address substring filtering"),
    "net-mtu": ("Network MTU", "Provides MTU attribute for a network resource."),
    "net-mtu-writable": ("Network MTU (writable)", "Provides a writable MTU attribute for a network resource."),
    "network_availability_zone": ("Network Availability Zone", "Availability zone support for network."),
    "pagination": ("Pagination support", "Extension that indicates that pagination is enabled."),
    "port-security": ("Port Security", "Provides port security"),
    "project-id": ("project_id field enabled", "Extension that indicates that project_id field is enabled."),
    "provider": ("Provider Network", "Expose mapping of virtual networks to physical networks"),
    "quota_details": ("Quota details management support", "Expose functions for quotas usage statistics per project"),
    "quotas": ("Quota management support", "Expose functions for quotas management per project"),
    "router": ("Neutron L3 Router", "Router abstraction for forwarding between subnets, and floating IPs."),
    "security-group": ("security-group", "The security groups extension."),
    "sorting": ("Sorting support", "Extension that indicates that sorting is enabled."),
    "standard-attr-description": ("standard-attr-description", "Extension to add descriptions to standard attributes"),
    "standard-attr-revisions": ("Resource revision numbers", "Displays revision numbers of resources."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Enables to set tag on resources."),
    "standard-attr-timestamp": ("Resource timestamps", "Adds created_at and updated_at to resources."),
    "stateful-security-group": ("Stateful security group", "Indicates if the security group is stateful or not"),
}


def _extension(alias: str) -> dict[str, Any]:
    name, description = _EXTENSIONS[alias]
    return {"alias": alias, "name": name, "description": description, "updated": _UPDATED, "links": []}


def _base(services: Services) -> str:
    return f"{services.settings.api_url}/network/v2.0"


@router.get("/")
async def versions(found: ServicesDep) -> Response:
    link = {"rel": "self", "href": f"{_base(found)}/"}
    return JSONResponse({"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})


@router.get("/v2.0")
async def resources(ctx: ReaderDep, found: ServicesDep) -> Response:
    listed = [
        {
            "name": name,
            "collection": path.replace("-", "_"),
            "links": [{"rel": "self", "href": f"{_base(found)}/{path}"}],
        }
        for name, path in _RESOURCES.items()
    ]
    return JSONResponse({"resources": listed})


@router.get("/v2.0/extensions")
async def extensions(ctx: ReaderDep) -> Response:
    return JSONResponse({"extensions": [_extension(alias) for alias in _EXTENSIONS]})


@router.get("/v2.0/extensions/{alias}")
async def extension(alias: str, ctx: ReaderDep) -> Response:
    if alias not in _EXTENSIONS:
        raise NotFound(f"Extension with alias {alias} does not exist", kind="ExtensionNotFound")
    return JSONResponse({"extension": _extension(alias)})


@router.get("/v2.0/availability_zones")
async def availability_zones(ctx: ReaderDep) -> Response:
    return JSONResponse({"availability_zones": [{"name": ZONE, "resource": "network", "state": "available"}]})
