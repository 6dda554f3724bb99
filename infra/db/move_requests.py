"""What a move names, looked up: the API asks before it starts anything, the admission asks again with authority."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlmodel import Session

from infra.db import flavors, images, keypairs, quotas
from infra.domain import boot_rules, extra_specs
from infra.domain.errors import BadRequest, NotFound
from infra.domain.flavor import Flavor
from infra.domain.image import Image
from infra.domain.move import MoveKind, Rebuilt, Rescue, check_resize
from infra.domain.pci import PciAlias
from infra.domain.server import Server


class Rebuild(BaseModel):
    """A rebuild as it was asked for."""

    model_config = ConfigDict(frozen=True)

    image_id: str
    changes: dict[str, Any]
    """Fields of ``infra.domain.move.Rebuilt`` that were given, by name."""
    new_user_data: bool = False


def resolve(
    session: Session,
    server: Server,
    kind: MoveKind,
    flavor_id: str | None,
    rebuild: Rebuild | None,
    pci_aliases: tuple[PciAlias, ...],
) -> tuple[Flavor, Rebuilt | None]:
    """The flavor that the server will have, and what a rebuild makes anew.

    Raises:
        BadRequest: it is not there, or does not fit.
        QuotaExceeded: too many metadata items.
    """
    if kind is MoveKind.RESIZE:
        return _flavor(session, server, str(flavor_id), pci_aliases), None
    if rebuild is not None:
        return server.flavor, _rebuilt(session, server, rebuild, pci_aliases)
    return server.flavor, None


def rescue(session: Session, server: Server, image_id: str | None) -> Rescue:
    """What a server is to be rescued with; None: its own image.

    Raises:
        BadRequest: it boots from a volume, or the image is not there or can't be booted.
    """
    if server.image_id is None:
        raise BadRequest(f"Instance {server.id} cannot be rescued: Cannot rescue a volume-backed instance")
    try:
        image = images.get(session, image_id or server.image_id, server.project_id)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    # The disk is as large as the image, whatever the flavor says.
    boot_rules.check_image(image, server.flavor.model_copy(update={"disk_gb": 0}))
    return Rescue(image_id=image.id, **_parts(session, server, image))


def _flavor(session: Session, server: Server, flavor_id: str, pci_aliases: tuple[PciAlias, ...]) -> Flavor:
    try:
        flavor = flavors.get(session, flavor_id, project_id=server.project_id, any_project=False)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    if flavor.disabled:
        raise BadRequest(f"Flavor {flavor.id} is disabled.")
    check_resize(server.flavor, flavor, volume_backed=server.image_id is None)
    image = _known_image(session, server.image_id)
    extra_specs.check(flavor, image, pci_aliases)
    if image is not None and flavor.ram_mb < image.min_ram:
        raise BadRequest("Flavor's memory is too small for requested image.")
    return flavor


def _known_image(session: Session, image_id: str | None) -> Image | None:
    """One that was deleted since its server was made asks for nothing."""
    try:
        return images.get(session, image_id, None, everything=True) if image_id else None
    except NotFound:
        return None


def _rebuilt(session: Session, server: Server, rebuild: Rebuild, pci_aliases: tuple[PciAlias, ...]) -> Rebuilt:
    if server.image_id is None:
        raise BadRequest("Unable to rebuild with a different image for a volume-backed server.")
    try:
        image = images.get(session, rebuild.image_id, server.project_id)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    boot_rules.check_image(image, server.flavor)
    extra_specs.check(server.flavor, image, pci_aliases)
    parts = _parts(session, server, image)
    changes = rebuild.changes
    if changes.get("key_name") is not None:
        try:
            keypairs.get(session, server.user_id, changes["key_name"])
        except NotFound:
            raise BadRequest("Invalid key_name provided.") from None
    if "metadata" in changes:
        boot_rules.check_metadata(quotas.get(session, server.project_id), changes["metadata"])
    own = server.model_dump(include=set(Rebuilt.model_fields))
    return Rebuilt.model_validate({**own, **changes, "image_id": image.id, **parts})


def _parts(session: Session, server: Server, image: Image) -> dict[str, str | None]:
    """Kernel and ramdisk that the image names. Raises BadRequest where one is not there."""
    parts = {name: image.properties.get(name) or None for name in ("kernel_id", "ramdisk_id")}
    for part in filter(None, parts.values()):
        _check_part(session, server, str(part))
    return parts


def _check_part(session: Session, server: Server, image_id: str) -> None:
    try:
        found = images.get(session, image_id, server.project_id)
    except NotFound as error:
        raise BadRequest(error.message, kind=error.kind) from None
    if found.status != "active":
        raise BadRequest(f"Image {image_id} is not active.")
