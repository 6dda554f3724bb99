"""What a guest may know of itself, in the formats that cloud-init and OpenStack's own agents read. Pure.

The same for the config drive and the metadata service. Formats: https://docs.openstack.org/nova/latest/user/metadata.html
and the network data schema, https://docs.openstack.org/nova/latest/_downloads/9119ca7ac90aa2990e762c08baea3a36/network_data.json
"""

import base64
import ipaddress
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from infra.domain.network import Nic, NicAddress


class GuestKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    name: str
    type: str = "ssh"
    """``ssh`` or ``x509``."""
    public_key: str


class GuestDisk(BaseModel):
    """A disk by which a guest may know a volume again."""

    model_config = ConfigDict(frozen=True)

    serial: str
    device: str
    """``/dev/vdb``."""
    tags: tuple[str, ...] = ()


class GuestMetadata(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    server_id: str
    name: str
    hostname: str
    project_id: str
    availability_zone: str = "nova"
    launch_index: int = 0
    keys: tuple[GuestKey, ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    nics: tuple[Nic, ...] = ()
    disks: tuple[GuestDisk, ...] = ()
    user_data: bytes | None = Field(default=None, repr=False)
    admin_password: str | None = Field(default=None, repr=False)
    random_seed: bytes | None = Field(default=None, repr=False)
    """Fresh random bytes for the guest's generator."""


def files(guest: GuestMetadata) -> dict[str, bytes]:
    """The files of one version's folder by name; ``user_data`` only where the user gave some."""
    content = {
        "meta_data.json": _json(meta_data(guest)),
        "network_data.json": _json(network_data(guest)),
        "vendor_data.json": _json({}),
        "vendor_data2.json": _json({}),
    }
    if guest.user_data is not None:
        content["user_data"] = guest.user_data
    return content


def _json(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def meta_data(guest: GuestMetadata) -> dict[str, Any]:
    """``meta_data.json``."""
    data: dict[str, Any] = {
        "uuid": guest.server_id,
        "name": guest.name,
        "hostname": guest.hostname,
        "project_id": guest.project_id,
        "availability_zone": guest.availability_zone,
        "launch_index": guest.launch_index,
        "meta": guest.metadata,
        "keys": [{"name": key.name, "type": key.type, "data": key.public_key} for key in guest.keys],
        "devices": [_disk(disk) for disk in guest.disks],
        "dedicated_cpus": [],
    }
    public = {key.name: key.public_key for key in guest.keys if key.type == "ssh"}
    if public:
        data["public_keys"] = public
    if guest.admin_password is not None:
        data["admin_pass"] = guest.admin_password
    if guest.random_seed is not None:
        data["random_seed"] = base64.b64encode(guest.random_seed).decode()
    return data


def _disk(disk: GuestDisk) -> dict[str, Any]:
    return {
        "type": "disk",
        "bus": "virtio",
        "serial": disk.serial,
        "path": disk.device,
        "tags": list(disk.tags),
    }


def network_data(guest: GuestMetadata) -> dict[str, Any]:
    """``network_data.json``: links (interfaces), networks (addresses on them) and services (name servers)."""
    networks: list[dict[str, Any]] = []
    servers: list[str] = []
    for nic in guest.nics:
        for address in nic.addresses:
            networks.append({"id": f"network{len(networks)}", **_network(nic, address)})
            servers += address.dns_nameservers
    return {
        "links": [_link(nic) for nic in guest.nics],
        "networks": networks,
        "services": [{"type": "dns", "address": server} for server in dict.fromkeys(servers)],
    }


def _link_id(nic: Nic) -> str:
    return f"tap{nic.port_id[:11]}"


def _link(nic: Nic) -> dict[str, Any]:
    return {
        "id": _link_id(nic),
        "vif_id": nic.port_id,
        "type": "bridge",
        "mtu": nic.mtu,
        "ethernet_mac_address": nic.mac_address,
    }


def _network(nic: Nic, address: NicAddress) -> dict[str, Any]:
    """Addresses are only written out where no DHCP server tells them."""
    subnet = ipaddress.ip_network(address.cidr, strict=False)
    entry: dict[str, Any] = {"link": _link_id(nic), "network_id": nic.network_id}
    if address.enable_dhcp and subnet.version == 4:
        return {**entry, "type": "ipv4_dhcp"}
    routes = [_route(route.destination, route.nexthop) for route in address.host_routes]
    if address.gateway_ip is not None:
        routes.append(_route("0.0.0.0/0" if subnet.version == 4 else "::/0", address.gateway_ip))
    return {
        **entry,
        "type": f"ipv{subnet.version}",
        "ip_address": address.ip_address,
        "netmask": str(subnet.netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": server} for server in address.dns_nameservers],
    }


def _route(destination: str, gateway: str) -> dict[str, str]:
    network = ipaddress.ip_network(destination, strict=False)
    return {"network": str(network.network_address), "netmask": str(network.netmask), "gateway": gateway}
