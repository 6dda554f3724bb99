"""The documents a guest finds at the metadata service: OpenStack's own, and those of EC2 of 2009-04-04."""

import ipaddress

from infra.compute import metadata
from infra.compute.metadata import GuestMetadata

_OPENSTACK = "/openstack/latest"
_EC2 = "/latest/meta-data"


def documents(guest: GuestMetadata, public_address: str = "") -> dict[str, bytes]:
    """Contents by path, as on the config drive but for the administrator's password.

    Args:
        guest: who asks.
        public_address: its floating IP; empty where it has none.

    Whoever can send from a guest's address reads what is here, so that secret stays on the drive, as in Nova.
    """
    told = guest.model_copy(update={"admin_password": None})
    found = {f"{_OPENSTACK}/{name}": content for name, content in metadata.files(told).items()}
    if guest.user_data is not None:
        found["/latest/user-data"] = guest.user_data
    for name, value in _ec2(guest, public_address).items():
        found[f"{_EC2}/{name}"] = value.encode()
    return found


def _ec2(guest: GuestMetadata, public_address: str) -> dict[str, str]:
    addresses = [address.ip_address for nic in guest.nics for address in nic.addresses]
    values = {
        "ami-launch-index": str(guest.launch_index),
        "hostname": guest.hostname,
        "instance-action": "none",
        "instance-id": "i-" + guest.server_id.replace("-", "")[:17],
        "local-hostname": guest.hostname,
        "local-ipv4": next((item for item in addresses if ipaddress.ip_address(item).version == 4), ""),
        "placement/availability-zone": guest.availability_zone,
        "public-hostname": guest.hostname,
        "public-ipv4": public_address,
    }
    keys = [key for key in guest.keys if key.type == "ssh"]
    if keys:
        values["public-keys/"] = "\n".join(f"{number}={key.name}" for number, key in enumerate(keys))
        for number, key in enumerate(keys):
            values[f"public-keys/{number}/openssh-key"] = key.public_key
    return values
