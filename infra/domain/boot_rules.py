"""What a boot request must satisfy, as pure rules. The compute API asks them before anything is started, and the
admission transaction asks them again with authority. Codes and wording follow the Compute API reference.
"""

import re
import unicodedata
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from infra.domain.errors import BadRequest, Conflict, QuotaExceeded
from infra.domain.flavor import Flavor
from infra.domain.image import BOOTABLE_FORMATS, Image
from infra.domain.network import Network, Port, Subnet
from infra.domain.quota import Quota, Usage
from infra.domain.volume import Snapshot, Volume

GIB = 1024**3


def check_image(image: Image, flavor: Flavor, *, root_gb: int | None = None) -> None:
    """An image that a server's root disk can be made of.

    Args:
        root_gb: size of the volume made from the image; None where the flavor's own root disk is used.

    Raises:
        BadRequest: the image has no data, is not bootable, or does not fit the flavor or the volume.
    """
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.")
    if image.disk_format not in BOOTABLE_FORMATS or image.container_format in ("docker", "ovf", "ova", "compressed"):
        raise BadRequest(f"Image {image.id} is unacceptable: its format {image.disk_format} can not be booted.")
    if image.disk_format != "raw" and image.virtual_size is None:
        raise BadRequest(f"Image {image.id} is unacceptable: its data is not {image.disk_format}.")
    if flavor.ram_mb < image.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    room = flavor.disk_gb if root_gb is None else root_gb
    where = "Flavor's disk" if root_gb is None else "Volume"
    if root_gb is None and room == 0:
        return
    if room < image.min_disk:
        raise BadRequest(f"{where} is smaller than the minimum size of {image.min_disk} GB that the image asks for.")
    if room * GIB < max(image.size or 0, image.virtual_size or 0):
        raise BadRequest(f"{where} is too small for requested image: it has {room} GB.")


def check_volume(volume: Volume, *, boots: bool) -> None:
    """A volume that exists and is to be attached to a server.

    Raises:
        BadRequest: it isn't free, or is to boot and can't.
    """
    if volume.status != "available":
        raise BadRequest(
            f"Invalid volume: volume '{volume.id}' status must be 'available'. Currently in '{volume.status}'"
        )
    if boots and not volume.bootable:
        raise BadRequest(f"Block Device {volume.id} is not bootable.")


def check_snapshot(snapshot: Snapshot, origin: Volume, size_gb: int | None, *, boots: bool) -> None:
    """A snapshot that a volume of a server is to be made from.

    Args:
        origin: the volume that it was made of.
        size_gb: the new volume's; None: the snapshot's own.

    Raises:
        BadRequest: it is not ready, does not fit, or is to boot and can't.
    """
    if snapshot.status != "available":
        raise BadRequest(f"Block Device Mapping is Invalid: snapshot {snapshot.id} is {snapshot.status}.")
    if size_gb is not None and size_gb < snapshot.size_gb:
        raise BadRequest(f"Block Device Mapping is Invalid: snapshot {snapshot.id} has {snapshot.size_gb} GB.")
    if boots and not origin.bootable:
        raise BadRequest(f"Block Device {snapshot.id} is not bootable.")


def check_port(port: Port) -> None:
    """A port of the user's that a server is to use.

    Raises:
        Conflict: something uses it.
        BadRequest: it has no address, as its network has no subnet.
    """
    if port.device_id:
        raise Conflict(f"Port {port.id} is still in use.")
    if not port.fixed_ips:
        raise BadRequest(f"Port {port.id} requires a FixedIP in order to be used.")


def check_network(network: Network, subnets: Sequence[Subnet]) -> None:
    """A network on which a port is to be made.

    Raises:
        BadRequest: it has no subnet, or leads outside.
    """
    if network.external and not network.shared:
        raise BadRequest(f"It is not allowed to create an interface on external network {network.id}")
    if not subnets:
        raise BadRequest(f"Network {network.id} requires a subnet in order to boot instances on.")


def check_fixed_ip(address: str, network_id: str, subnets: Sequence[Subnet]) -> None:
    """Raises BadRequest if no subnet of the network holds the address."""
    wanted = ip_address(address)
    if not any(wanted in ip_network(subnet.cidr) for subnet in subnets):
        raise BadRequest(f"Fixed IP address {address} is not a valid ip address for network {network_id}.")


def only_network(candidates: Sequence[Network]) -> Network | None:
    """The network of a request that names none; None where the project sees none.

    Raises:
        Conflict: the project sees several.
    """
    if len(candidates) > 1:
        raise Conflict(
            "Multiple possible networks found, use a Network ID to be more specific.", kind="NetworkAmbiguous"
        )
    return candidates[0] if candidates else None


def check_quota(quota: Quota, used: Usage, flavor: Flavor, count: int) -> None:
    """Room for ``count`` more servers of a flavor.

    Raises:
        QuotaExceeded: naming each limit that would be passed.
    """
    check_room(quota, used, {"cores": count * flavor.vcpus, "instances": count, "ram": count * flavor.ram_mb})


def check_room(quota: Quota, used: Usage, wanted: dict[str, int]) -> None:
    """Raises QuotaExceeded, naming each limit that would be passed by what is ``wanted`` more."""
    limits = {name: getattr(quota, name) for name in wanted}
    over = [name for name, more in wanted.items() if more and 0 <= limits[name] < getattr(used, name) + more]
    if over:
        raise QuotaExceeded(
            f"Quota exceeded for {', '.join(over)}: Requested {', '.join(str(wanted[name]) for name in over)}, "
            f"but already used {', '.join(str(getattr(used, name)) for name in over)} of "
            f"{', '.join(str(limits[name]) for name in over)} {', '.join(over)}"
        )


def check_metadata(quota: Quota, metadata: dict[str, str]) -> None:
    """Raises QuotaExceeded if a server would have more metadata items than a server may have."""
    if 0 <= quota.metadata_items < len(metadata):
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {quota.metadata_items}")


def host_name(name: str, server_id: str) -> str:
    """A server's host name, made from its name: letters, digits and hyphens, at most 63 (RFC 1123).

    A name of which nothing is left gives ``Server-<id>``, as in Nova.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[ _.]", "-", plain)
    plain = re.sub(r"[^a-zA-Z0-9-]+", "", plain).lower()[:63].strip("-")
    return plain or f"Server-{server_id}"
