"""A server as each microversion shows it (Compute API reference, "Servers"; REST API version history)."""

import hashlib
from typing import Any

from api.auth import Context
from api.compute.links import links, micros, seconds
from api.compute.surroundings import Surroundings
from api.compute.views.host import is_up
from infra.domain.host import DEFAULT_AVAILABILITY_ZONE, Host
from infra.domain.network import Port
from infra.domain.server import Server, TaskState, VmState
from infra.settings import Settings

WHOLE_PUT = 75
"""From 2.75 a PUT answers with everything that a GET shows."""
_IN_PROGRESS = ("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING")


def brief(server: Server, settings: Settings) -> dict[str, Any]:
    return {"id": server.id, "name": server.name, "links": links(settings.api_url, "servers", server.id)}


def detail(
    server: Server, around: Surroundings, context: Context, version: int, settings: Settings, *, one: bool = True
) -> dict[str, Any]:
    """Everything of a server.

    Args:
        one: of a single server; lists leave out its group.
    """
    shown = _common(server, around, version, settings)
    shown |= {
        "key_name": server.key_name,
        "config_drive": "True" if server.config_drive else "",
        "OS-EXT-AZ:availability_zone": _zone(server, around),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": server.vm_state,
        "OS-EXT-STS:power_state": server.power_state,
        "OS-SRV-USG:launched_at": micros(server.launched_at),
        "OS-SRV-USG:terminated_at": micros(server.terminated_at),
        "os-extended-volumes:volumes_attached": _volumes(around, version),
    }
    if around.security_groups:
        shown["security_groups"] = [{"name": name} for name in around.security_groups]
    if context.is_admin:
        shown |= _for_administrators(server, around.host, version, settings)
    return shown | _later(server, around, version, one=one)


def after_update(
    server: Server, around: Surroundings, context: Context, version: int, settings: Settings
) -> dict[str, Any]:
    """What a PUT answers: less than a GET before 2.75."""
    if version >= WHOLE_PUT:
        return detail(server, around, context, version, settings)
    shown = _common(server, around, version, settings) | _later(server, around, version, one=True)
    return shown | {"addresses": addresses(around, extended=False)}


def after_rebuild(
    server: Server, around: Surroundings, context: Context, version: int, settings: Settings
) -> dict[str, Any]:
    """As a PUT answers, with what only a rebuild does. User data goes to the guest and is shown to nobody."""
    shown = after_update(server, around, context, version, settings)
    shown.pop("OS-EXT-SRV-ATTR:user_data", None)
    fields = [(54, "key_name", server.key_name), (57, "user_data", None)]
    return shown | {name: value for since, name, value in fields if version >= since}


def host_id(server: Server) -> str:
    """An opaque name of the host, another one for each project."""
    if server.host is None:
        return ""
    return hashlib.sha224(f"{server.project_id}{server.host}".encode()).hexdigest()


def addresses(around: Surroundings, *, extended: bool = True) -> dict[str, list[dict[str, Any]]]:
    """By network name; ``extended`` with type and MAC address, as in a server's details."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for port in around.ports:
        name = around.network_names.get(port.network_id) or port.network_id
        listed = shown.setdefault(name, [])
        for fixed in port.fixed_ips:
            listed.append(_address(port, fixed.ip_address, "fixed", extended))
            for floating in around.floating.get(port.id, ()):
                if floating.fixed_ip_address == fixed.ip_address:
                    listed.append(_address(port, floating.floating_ip_address, "floating", extended))
    return shown


def _address(port: Port, ip_address: str, kind: str, extended: bool) -> dict[str, Any]:
    address: dict[str, Any] = {"version": 6 if ":" in ip_address else 4, "addr": ip_address}
    if extended:
        address |= {"OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": port.mac_address}
    return address


def _common(server: Server, around: Surroundings, version: int, settings: Settings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **brief(server, settings),
        "status": server.status,
        "tenant_id": server.project_id,
        "user_id": server.user_id,
        "metadata": server.metadata,
        "hostId": host_id(server),
        "image": _image(server, settings),
        "flavor": _flavor(server, version, settings),
        "created": seconds(server.created_at),
        "updated": seconds(server.updated_at),
        "addresses": addresses(around),
        "accessIPv4": server.access_ip_v4 or "",
        "accessIPv6": server.access_ip_v6 or "",
        "OS-DCF:diskConfig": server.disk_config,
    }
    if server.status in _IN_PROGRESS:
        shown["progress"] = 0 if server.task_state is TaskState.DELETING else server.progress
    if server.fault is not None and server.vm_state in (VmState.ERROR, VmState.DELETED):
        shown["fault"] = {
            "code": server.fault.code,
            "created": seconds(server.fault.created),
            "message": server.fault.message,
        }
        if server.fault.details:
            shown["fault"]["details"] = server.fault.details
    return shown


def _later(server: Server, around: Surroundings, version: int, *, one: bool) -> dict[str, Any]:
    """What came with microversions and everybody may see."""
    fields = [
        (9, "locked", server.locked),
        (19, "description", server.description),
        (26, "tags", sorted(server.tags)),
        (63, "trusted_image_certificates", None),
        (73, "locked_reason", server.locked_reason),
        (90, "OS-EXT-SRV-ATTR:hostname", server.hostname),
        (96, "pinned_availability_zone", None),
    ]
    if one:
        fields.append((71, "server_groups", [around.group_id] if around.group_id else []))
    return {name: value for since, name, value in fields if version >= since}


def _for_administrators(server: Server, host: Host | None, version: int, settings: Settings) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "OS-EXT-SRV-ATTR:host": server.host,
        "OS-EXT-SRV-ATTR:hypervisor_hostname": server.host,
        "OS-EXT-SRV-ATTR:instance_name": server.instance_name,
    }
    if version >= 3:
        shown |= {
            "OS-EXT-SRV-ATTR:hostname": server.hostname,
            "OS-EXT-SRV-ATTR:reservation_id": server.reservation_id,
            "OS-EXT-SRV-ATTR:launch_index": server.launch_index,
            "OS-EXT-SRV-ATTR:kernel_id": server.kernel_id or "",
            "OS-EXT-SRV-ATTR:ramdisk_id": server.ramdisk_id or "",
            "OS-EXT-SRV-ATTR:root_device_name": server.root_device_name,
            # User data may hold secrets: it goes to the guest and is shown to nobody.
            "OS-EXT-SRV-ATTR:user_data": None,
        }
    if version >= 16:
        shown["host_status"] = _host_status(host, settings)
    if server.stuck_undo is not None:
        shown["kilonova:stuck_undo"] = server.stuck_undo
    return shown


def _host_status(host: Host | None, settings: Settings) -> str:
    if host is None:
        return ""
    if host.forced_down:
        return "DOWN"
    if not host.enabled:
        return "MAINTENANCE"
    return "UP" if is_up(host, settings) else "UNKNOWN"


def _image(server: Server, settings: Settings) -> dict[str, Any] | str:
    if server.image_id is None:
        return ""
    return {"id": server.image_id, "links": links(settings.api_url, "images", server.image_id)[1:]}


def _flavor(server: Server, version: int, settings: Settings) -> dict[str, Any]:
    flavor = server.flavor
    if version < 47:
        return {"id": flavor.id, "links": links(settings.api_url, "flavors", flavor.id)[1:]}
    return {
        "original_name": flavor.name,
        "vcpus": flavor.vcpus,
        "ram": flavor.ram_mb,
        "disk": flavor.disk_gb,
        "ephemeral": flavor.ephemeral_gb,
        "swap": flavor.swap_mb,
        "extra_specs": flavor.extra_specs,
    }


def _zone(server: Server, around: Surroundings) -> str:
    if around.host is not None:
        return around.host.availability_zone
    # A forced host is kept beside the zone: "zone:host".
    requested = (server.availability_zone or "").partition(":")[0]
    return requested or (DEFAULT_AVAILABILITY_ZONE if server.host else "")


def _volumes(around: Surroundings, version: int) -> list[dict[str, Any]]:
    if version < 3:
        return [{"id": attachment.volume_id} for attachment in around.attachments]
    return [
        {"id": attachment.volume_id, "delete_on_termination": attachment.delete_on_termination}
        for attachment in around.attachments
    ]
