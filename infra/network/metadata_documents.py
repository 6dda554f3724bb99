"""The documents a guest finds at the metadata service: OpenStack's own, and those of EC2 of 2009-04-04.

The OpenStack ones are given ready made (the config drive holds the same); EC2's are told from them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_EC2 = "/latest/meta-data"


def documents(
    meta_data: Mapping[str, Any],
    network_data: Mapping[str, Any],
    *,
    user_data: bytes | None = None,
    addresses: Sequence[str] = (),
    instance_type: str = "",
) -> dict[str, bytes]:
    """Contents by path.

    Args:
        meta_data: ``meta_data.json`` (``uuid``, ``name``, ``hostname``, ``availability_zone``, ``public_keys``, ...).
        network_data: ``network_data.json``.
        user_data: what the user gave, decoded; without it there is no such document.
        addresses: the server's fixed IP addresses, those of IPv4 first told to EC2's clients.
        instance_type: the flavor's name.
    """
    found = {
        "/openstack/latest/meta_data.json": orjson.dumps(meta_data),
        "/openstack/latest/network_data.json": orjson.dumps(network_data),
        "/openstack/latest/vendor_data.json": b"{}",
        "/openstack/latest/vendor_data2.json": b"{}",
    }
    if user_data is not None:
        found["/openstack/latest/user_data"] = user_data
        found["/latest/user-data"] = user_data
    for name, value in _ec2(meta_data, addresses, instance_type).items():
        found[f"{_EC2}/{name}"] = value.encode()
    return found


def _ec2(meta_data: Mapping[str, Any], addresses: Sequence[str], instance_type: str) -> dict[str, str]:
    hostname = str(meta_data.get("hostname") or meta_data.get("name") or "")
    values = {
        "ami-launch-index": str(meta_data.get("launch_index", 0)),
        "hostname": hostname,
        "instance-action": "none",
        "instance-id": "i-" + str(meta_data["uuid"]).replace("-", "")[:17],
        "instance-type": instance_type,
        "local-hostname": hostname,
        "local-ipv4": next((address for address in addresses if ":" not in address), ""),
        "placement/availability-zone": str(meta_data.get("availability_zone") or ""),
        "public-hostname": hostname,
        "public-ipv4": "",
    }
    keys = dict(meta_data.get("public_keys") or {})
    if keys:
        values["public-keys/"] = "\n".join(f"{number}={name}" for number, name in enumerate(keys))
        for number, key in enumerate(keys.values()):
            values[f"public-keys/{number}/openssh-key"] = str(key)
    return values
