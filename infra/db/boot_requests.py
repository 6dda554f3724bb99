"""What a boot request names, looked up: the API asks before it starts anything, admission asks again with authority.

Reads only. Codes and wording are the Compute API's: a thing that is not there is the request's fault, 400.
"""

from collections.abc import Callable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from infra.db import (
    flavors,
    groups,
    hosts,
    images,
    keypairs,
    networks,
    ports,
    security_groups,
    snapshots,
    subnets,
    volumes,
)
from infra.db.tables.network import AddressRow, SubnetRow
from infra.domain import boot_rules, extra_specs, image_devices
from infra.domain.boot import BlockDeviceRequest, NetworkRequest, ServerSpec
from infra.domain.errors import BadRequest, Conflict, Forbidden, NotFound
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.network import Network
from infra.domain.pci import PciAlias

T = TypeVar("T")


class Request(BaseModel):
    """One boot request; a server for each id."""

    model_config = ConfigDict(frozen=True)

    server_ids: tuple[str, ...]
    reservation_id: str
    request_id: str
    project_id: str
    user_id: str
    is_admin: bool = False
    spec: ServerSpec
    sealed_user_data: dict[str, str] | None = Field(default=None, repr=False)
    pci_aliases: tuple[PciAlias, ...] = ()
    """As the deployment names devices."""
    admit_before: float | None = None
    """Seconds since the epoch: later than that nothing is created."""


class Resolved(BaseModel):
    """What the names in a request stand for."""

    model_config = ConfigDict(frozen=True)

    flavor: Flavor
    image: Image | None
    networks: tuple[NetworkRequest, ...]
    """Every network with its id; ports too."""
    block_devices: tuple[BlockDeviceRequest, ...]
    security_group_ids: tuple[str, ...]


def resolve(session: Session, request: Request) -> Resolved:
    """Look up everything a request names. Raises as ``admit`` does, but for quota."""
    spec = request.spec
    flavor = _refused(lambda: flavors.get(session, spec.flavor_id, project_id=request.project_id, any_project=False))
    if flavor.disabled:
        raise BadRequest(f"Flavor {flavor.id} is disabled.")
    if spec.key_name is not None:
        try:
            keypairs.get(session, request.user_id, spec.key_name)
        except NotFound:
            raise BadRequest("Invalid key_name provided.") from None
    block_devices, image_id = _boot_order(spec)
    image = _refused(lambda: images.get(session, image_id, request.project_id)) if image_id else None
    if image is not None and image_devices.has_devices(image):
        block_devices, image = _devices_of_image(image, flavor, block_devices)
    extra_specs.check(flavor, image, request.pci_aliases)
    if image is not None:
        boot_rules.check_image(image, flavor)
        _check_boot_parts(session, request, image)
    for device in block_devices:
        _check_block_device(session, request, flavor, device)
    _check_place(session, request)
    return Resolved(
        flavor=flavor,
        image=image,
        networks=_networks(session, request),
        block_devices=block_devices,
        security_group_ids=_security_groups(session, request),
    )


def _refused(look: Callable[[], T]) -> T:
    """A thing that a boot names and that is not there is the request's fault: 400, as in Nova."""
    try:
        return look()
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None


def _boot_order(spec: ServerSpec) -> tuple[tuple[BlockDeviceRequest, ...], str | None]:
    """The volumes of a request, and the image of its root disk where that is not one of them."""
    image_id = spec.image_id
    volumes_asked: list[BlockDeviceRequest] = []
    for device in spec.block_devices:
        if device.destination_type == "volume":
            volumes_asked.append(device)
        elif device.source_type == "image" and device.boot_index == 0:
            image_id = device.id
        else:
            raise BadRequest(f"Block devices from {device.source_type} to {device.destination_type} are not supported.")
    boots = [device for device in volumes_asked if device.boot_index == 0]
    if len(boots) > 1 or (image_id is None and not boots):
        raise BadRequest(
            "Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping "
            "combination is not valid."
        )
    if boots:
        image_id = None
    return tuple(volumes_asked), image_id


def _devices_of_image(
    image: Image, flavor: Flavor, asked: tuple[BlockDeviceRequest, ...]
) -> tuple[tuple[BlockDeviceRequest, ...], Image | None]:
    """The volumes of a server whose image describes some; the image is no root disk where one of them boots."""
    found = image_devices.merged(image_devices.devices_of(image), asked)
    places = sorted(device.boot_index for device in found if device.boot_index is not None and device.boot_index >= 0)
    if 0 not in places:
        return tuple(found), image
    if places != list(range(len(places))):
        raise BadRequest("Block Device Mapping is Invalid: two devices claim the same place in the boot order.")
    if image.status != "active":
        raise BadRequest(f"Image {image.id} is not active.")
    if flavor.ram_mb < image.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    return tuple(found), None


def _check_boot_parts(session: Session, request: Request, image: Image) -> None:
    for name in ("kernel_id", "ramdisk_id"):
        part = image.properties.get(name)
        if part:
            found = _refused(lambda part=part: images.get(session, part, request.project_id))  # type: ignore[misc]
            if found.status != "active":
                raise BadRequest(f"Image {part} is not active.")


def _check_block_device(session: Session, request: Request, flavor: Flavor, device: BlockDeviceRequest) -> None:
    boots = device.boot_index == 0
    if device.source_type == "volume":
        volume = _refused(lambda: volumes.get(session, str(device.id), request.project_id))
        boot_rules.check_volume(volume, boots=boots)
        if len(request.server_ids) > 1:
            raise BadRequest(f"Volume {device.id} can't be attached to several servers.")
    elif device.source_type == "image":
        if not device.size_gb:
            raise BadRequest("Block Device Mapping is Invalid: the volume made from an image needs a size.")
        image = _refused(lambda: images.get(session, str(device.id), request.project_id))
        boot_rules.check_image(image, flavor, root_gb=device.size_gb)
    elif device.source_type == "snapshot":
        snapshot = _refused(lambda: snapshots.get(session, str(device.id), request.project_id))
        origin = _refused(lambda: volumes.get(session, snapshot.volume_id))
        boot_rules.check_snapshot(snapshot, origin, device.size_gb, boots=boots)
    else:
        if not device.size_gb:
            raise BadRequest("Block Device Mapping is Invalid: a blank volume needs a size.")
        if boots:
            raise BadRequest("Block Device Mapping is Invalid: a blank volume can't be booted from.")


def _check_place(session: Session, request: Request) -> None:
    zone, _, host = (request.spec.availability_zone or "").partition(":")
    if (host or request.spec.host) and not request.is_admin:
        raise Forbidden("Only an administrator may choose the host of a server.")
    if zone and zone not in hosts.zones(session):
        raise BadRequest("The requested availability zone is not available")
    group = request.spec.scheduler_hints.get("group")
    if group:
        _refused(lambda: groups.get(session, group, project_id=request.project_id))


def _networks(session: Session, request: Request) -> tuple[NetworkRequest, ...]:
    asked = request.spec.networks
    if asked is None:
        only = boot_rules.only_network(networks.attachable(session, request.project_id))
        asked = (NetworkRequest(network_id=only.id),) if only else ()
    return tuple(_network(session, request, entry) for entry in asked)


def _network(session: Session, request: Request, entry: NetworkRequest) -> NetworkRequest:
    if entry.port_id is not None:
        port = _refused(lambda: ports.get(session, str(entry.port_id)))
        if port.project_id != request.project_id and not request.is_admin:
            raise BadRequest(f"Port {entry.port_id} could not be found.", kind="PortNotFound")
        boot_rules.check_port(port)
        if len(request.server_ids) > 1:
            raise BadRequest("A port can't be used by several servers.")
        return entry.model_copy(update={"network_id": port.network_id})
    network = _refused(lambda: networks.get_bare(session, str(entry.network_id)))
    if not (request.is_admin or network.shared or network.project_id == request.project_id or network.external):
        raise BadRequest(f"Network {entry.network_id} could not be found.", kind="NetworkNotFound")
    if entry.fixed_ip is not None and len(request.server_ids) > 1:
        raise BadRequest("A fixed address can't be given to several servers.")
    check_room(session, network, entry.fixed_ip)
    return entry


def check_room(session: Session, network: Network, fixed_ip: str | None) -> None:
    """Whether a port can be made on a network, with an address that is asked for.

    Raises:
        BadRequest: it has no subnet, or none that holds the address.
        Conflict: the address is in use.
    """
    found = subnets.of_network(session, network.id)
    boot_rules.check_network(network, found)
    if fixed_ip is not None:
        boot_rules.check_fixed_ip(fixed_ip, network.id, found)
        if _address_taken(session, network.id, fixed_ip):
            raise Conflict(f"Fixed IP address {fixed_ip} is already in use on network {network.id}.")


def _address_taken(session: Session, network_id: str, address: str) -> bool:
    query = select(AddressRow).join(SubnetRow, col(SubnetRow.id) == col(AddressRow.subnet_id))
    query = query.where(col(SubnetRow.network_id) == network_id, col(AddressRow.ip_address) == address)
    return session.exec(query.limit(1)).first() is not None


def _security_groups(session: Session, request: Request) -> tuple[str, ...]:
    """Ids; none where the project's default group alone is asked for, which every port gets."""
    names = list(dict.fromkeys(request.spec.security_groups))
    if not names or names == ["default"]:
        return ()
    found = _refused(lambda: security_groups.named(session, request.project_id, names))
    return tuple(group.id for group in found)
