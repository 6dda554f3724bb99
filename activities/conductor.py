"""Step 7: what a compute host asks of the database, since it has no access of its own."""

from sqlmodel import Session

from activities.base import step
from activities.models import Attempt, Instance, VolumeRef
from activities.networks import AllocatedPort
from infra.db import attachments, claims, images, interfaces, keypairs, moves, port_bindings, ports, servers, volumes
from infra.db.engine import Database
from infra.domain.errors import Fenced, NotFound
from infra.domain.extra_specs import PCI_ALIAS, numa_wish
from infra.domain.flavor import Keypair
from infra.domain.host import Claim
from infra.domain.network import Port
from infra.domain.server import Server
from infra.temporal.history import History


class GetInstance(History):
    attempt: Attempt
    op: str


class GetDevices(History):
    server_id: str
    op: str


class Devices(History):
    """What a server has beside its root disk: ports on its host, and volumes."""

    ports: tuple[AllocatedPort, ...] = ()
    volumes: tuple[VolumeRef, ...] = ()


class ServerVolume(History):
    volume_id: str
    size_gb: int
    boot_index: int | None = None
    device: str | None = None
    delete_on_termination: bool = False


class ServerVolumes(History):
    volumes: tuple[ServerVolume, ...] = ()


class ImageUse(History):
    image_id: str
    disk_format: str
    """As the Image Service names it."""


class GuestRecord(History):
    """All that the guest of a server on a host is made of, by its row."""

    instance: Instance
    images: tuple[ImageUse, ...] = ()
    devices: Devices = Devices()


class ConductorActivities:
    def __init__(self, db: Database) -> None:
        self._db = db

    @step("conductor.get_instance", because="it reads")
    async def get_instance(self, params: GetInstance) -> Instance:
        """Raises Fenced if another verb has taken the server."""
        return await self._db.read(_instance, params)

    @step("conductor.get_guest", because="it reads")
    async def get_guest(self, params: GetInstance) -> GuestRecord:
        """Raises Fenced if another verb has taken the server."""
        return await self._db.read(_guest, params)

    @step("conductor.get_devices", because="it reads")
    async def get_devices(self, params: GetDevices) -> Devices:
        """Raises Fenced if another verb has taken the server."""
        return await self._db.read(lambda session: devices(session, _held(session, params.server_id, params.op)))

    @step("conductor.get_volumes", because="it reads")
    async def get_volumes(self, params: GetDevices) -> ServerVolumes:
        """What an image of a server on volumes describes. Raises Fenced if another verb has taken the server."""
        return await self._db.read(_volumes, params)


def _volumes(session: Session, params: GetDevices) -> ServerVolumes:
    server = _held(session, params.server_id, params.op)
    devices = {device.volume_id: device for device in server.block_devices}
    found = []
    for one in attachments.of_server(session, server.id):
        device = devices.get(one.volume_id)
        if one.host == server.host and one.status == "attached":
            of_boot = device is not None and device.delete_on_termination
            found.append(
                ServerVolume(
                    volume_id=one.volume_id,
                    size_gb=volumes.get(session, one.volume_id).size_gb,
                    boot_index=device.boot_index if device is not None else None,
                    device=one.device,
                    delete_on_termination=one.delete_on_termination or of_boot,
                )
            )
    return ServerVolumes(volumes=tuple(found))


def _instance(session: Session, params: GetInstance) -> Instance:
    server = _held(session, params.attempt.server_id, params.op).moved
    key = _key(session, server)
    claim = _claim(session, server, params.attempt.number)
    return Instance(
        server_id=server.id,
        name=server.name,
        hostname=server.hostname,
        project_id=server.project_id,
        user_id=server.user_id,
        flavor_name=server.flavor.name,
        vcpus=server.flavor.vcpus,
        memory_mb=server.flavor.ram_mb,
        disk_gb=server.flavor.disk_gb,
        image_id=server.image_id,
        kernel_id=server.kernel_id,
        ramdisk_id=server.ramdisk_id,
        key_name=server.key_name,
        public_key=key.public_key if key else None,
        key_type=key.type if key else "ssh",
        metadata=server.metadata,
        config_drive=server.config_drive,
        has_user_data=moves.user_data(session, server) is not None,
        availability_zone=server.availability_zone,
        launch_index=server.launch_index,
        reservation_id=server.reservation_id,
        numa=claim.numa if claim else (),
        pci=tuple(device.address for device in claim.pci) if claim else (),
    )


def _claim(session: Session, server: Server, attempt: int) -> Claim | None:
    """Of a server whose claim says more than how much it has."""
    if numa_wish(server.flavor) is None and PCI_ALIAS not in server.flavor.extra_specs:
        return None
    # A rebuild takes the room of the attempt before it.
    return claims.get(session, server.id, attempt) or claims.get(session, server.id, server.attempt)


def devices(session: Session, server: Server) -> Devices:
    boots = {device.volume_id: device.boot_index for device in server.block_devices}
    return Devices(
        ports=tuple(
            AllocatedPort(port_id=port.id, nic=port_bindings.nic(session, port).model_dump(mode="json"))
            for port in _ports(session, server)
        ),
        volumes=tuple(
            VolumeRef(
                attachment_id=attachment.id,
                volume_id=attachment.volume_id,
                boot_index=boots.get(attachment.volume_id),
                device=attachment.device,
            )
            for attachment in attachments.of_server(session, server.id)
            if attachment.host == server.host
        ),
    )


def _ports(session: Session, server: Server) -> list[Port]:
    """In the order in which they were asked for: the guest's interfaces keep theirs."""
    places = {entry.network_id: place for place, entry in reversed(list(enumerate(server.networks)))}
    places |= {entry.port_id: place for place, entry in enumerate(server.networks)}
    bound = [port for port in ports.of_devices(session, [server.id])[server.id] if port.host == (server.host or "")]
    return sorted(bound, key=lambda port: places.get(port.id, places.get(port.network_id, len(places))))


def _held(session: Session, server_id: str, op: str) -> Server:
    server = servers.get(session, server_id)
    if server.op != op:
        raise Fenced(f"Server {server.id} is being deleted.")
    return server


def _key(session: Session, server: Server) -> Keypair | None:
    """The key as it is now; a key that was deleted since the request is not given to the guest."""
    try:
        return keypairs.get(session, server.user_id, server.key_name) if server.key_name else None
    except NotFound:
        return None


def _guest(session: Session, params: GetInstance) -> GuestRecord:
    instance, server = _instance(session, params), servers.get(session, params.attempt.server_id)
    formats = images.formats(session, server.images)
    own = devices(session, server)
    # What is being attached comes to the guest by itself, and an interface that is being detached is not to come back.
    settled = {one.id for one in attachments.of_server(session, server.id) if one.status == "attached"}
    volumes = tuple(volume for volume in own.volumes if volume.attachment_id in settled)
    changing = interfaces.of_server(session, server.id)
    plugged = tuple(port for port in own.ports if port.port_id not in changing)
    return GuestRecord(
        instance=instance,
        images=tuple(ImageUse(image_id=image, disk_format=formats.get(image, "")) for image in server.images),
        devices=own.model_copy(update={"volumes": volumes, "ports": plugged}),
    )
