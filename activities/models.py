"""History models that several steps share."""

from typing import Any

from infra.domain.numa import GuestCell
from infra.temporal.history import History
from infra.temporal.sealed import Sealed

NO_TOKEN: dict[str, Any] = {"token": Sealed(key_id="", nonce="", ciphertext=""), "token_server_id": ""}
"""For an undo: the services take the worker's own token; the field stays in the params that do and undo share."""


class Attempt(History):
    """One try at a server on one host; the number is never used again once it is closed."""

    server_id: str
    number: int
    host: str
    keeps: int = 0
    """An earlier attempt that lives on this host too, and stays open when this one is closed there. 0: none."""

    @property
    def kept(self) -> tuple[int, ...]:
        return (self.keeps,) if self.keeps else ()


class PortRef(History):
    port_id: str
    network_id: str
    created: bool = True
    """False: the user's own port, detached and kept when the server goes."""
    fixed_ip: str | None = None


class VolumeRef(History):
    """A volume of a boot, existing or to be made for it."""

    attachment_id: str
    volume_id: str
    source_type: str = "volume"
    """``volume``: it exists. ``image``, ``snapshot`` or ``blank``: made by the boot and removed when that is undone."""
    image_id: str | None = None
    snapshot_id: str | None = None
    size_gb: int | None = None
    boot_index: int | None = None
    device: str | None = None
    delete_on_termination: bool = False


class Admitted(History):
    """What admission decided of one server: everything the run needs to go on."""

    server_id: str
    name: str = ""
    images: tuple[str, ...] = ()
    """Of the root disk, with kernel and ramdisk where the image names them."""
    ports: tuple[PortRef, ...] = ()
    volumes: tuple[VolumeRef, ...] = ()
    security_groups: tuple[str, ...] = ()


class Requester(History):
    """On whose behalf a run acts."""

    request_id: str
    project_id: str
    user_id: str
    token: Sealed
    """Sealed to the server's id, field ``token``."""
    token_server_id: str
    is_admin: bool = False


class Instance(History):
    """A server as its host needs it to build the guest."""

    server_id: str
    name: str
    hostname: str
    project_id: str
    user_id: str
    flavor_name: str
    vcpus: int
    memory_mb: int
    disk_gb: int
    image_id: str | None = None
    kernel_id: str | None = None
    ramdisk_id: str | None = None
    key_name: str | None = None
    public_key: str | None = None
    key_type: str = "ssh"
    metadata: dict[str, str] = {}
    config_drive: bool = False
    has_user_data: bool = False
    availability_zone: str | None = None
    launch_index: int = 0
    reservation_id: str = ""
    numa: tuple[GuestCell, ...] = ()
    """Which CPUs and memory of the host the guest has, if its flavor asks."""
    pci: tuple[str, ...] = ()
    """Addresses of the host's devices that it has to itself, if its flavor asks."""
