"""The image that a server's disk becomes (Compute API, ``createImage`` and ``createBackup``). Pure.

Which properties it has, and where each comes from, is Nova's: the base image's, then those that say what it is, then
the user's.
"""

from typing import Any
from uuid import UUID, uuid5

from infra.domain.errors import BadRequest
from infra.domain.image import Image
from infra.domain.image_devices import MAPPING
from infra.domain.server import Server

SNAPSHOT = "snapshot"
_NAME_LENGTH = 255
BACKUP = "backup"
_OWN_FIELDS = frozenset(
    {
        *("id", "name", "owner", "visibility", "protected", "os_hidden", "tags"),
        *("disk_format", "container_format", "min_disk", "min_ram"),
    }
)
"""What may be set at the top level of an image and is no property; what may not, the Image Service refuses."""
_FACTS = frozenset({"image_id", "image_name", "checksum", "size", "root_device_name", "bdm_v2", MAPPING})
"""What a volume keeps of its image that is no property of it, or that each image has of its own."""
_NOT_INHERITED = ("cache_in_nova", "bittorrent")
_NOT_INHERITED_PREFIXES = ("img_signature", "os_glance")


def shelved_name(server: Server) -> str:
    """Of the image that a shelved server is saved as."""
    ending = "-shelved"
    return f"{server.name[: _NAME_LENGTH - len(ending)]}{ending}"


def shelved_image_id(server_id: str, op: str) -> str:
    """Of the image that this request saves a server as, so that a repair finds it."""
    return str(uuid5(UUID(server_id), f"shelved/{op}"))


def image_fields(
    server: Server,
    base: Image | None,
    *,
    name: str,
    user_id: str,
    image_type: str,
    backup_type: str | None = None,
    metadata: dict[str, str],
) -> dict[str, Any]:
    """The image as the Image API takes it, without an id.

    Args:
        base: the image that the server was booted from, where it is still there.
        metadata: the user's own properties.

    Raises:
        BadRequest: the metadata names what is no property.
    """
    for key in metadata:
        if key in _OWN_FIELDS:
            raise BadRequest(f"Invalid input for field/attribute metadata. '{key}' is not a property of images.")
    inherited = {key: value for key, value in base.properties.items() if _is_inherited(key, value)} if base else {}
    own = {
        "image_type": image_type,
        "instance_uuid": server.id,
        "base_image_ref": server.image_id or "",
        "user_id": user_id,
        "owner_id": server.project_id,
        "image_location": "snapshot",
        "image_state": "available",
    }
    parts = {"kernel_id": server.kernel_id, "ramdisk_id": server.ramdisk_id, "backup_type": backup_type}
    return {
        **inherited,
        **own,
        **{key: value for key, value in parts.items() if value},
        **metadata,
        "name": name,
        "visibility": "private",
        "disk_format": "qcow2",
        "container_format": "bare",
        "min_disk": max(server.flavor.disk_gb, base.min_disk if base else 0),
        "min_ram": base.min_ram if base else 0,
    }


def volume_image_fields(
    server: Server, facts: dict[str, str], *, name: str, user_id: str, metadata: dict[str, str]
) -> dict[str, Any]:
    """As ``image_fields``, of a server on volumes: an image that describes them, without data; ``devices`` are added
    when their snapshots are known.

    Args:
        facts: what the volume that boots keeps of the image that it was made from.
    """
    inherited = {
        key: value for key, value in facts.items() if key not in _FACTS | _OWN_FIELDS and _is_inherited(key, value)
    }
    return {
        **inherited,
        **image_fields(server, None, name=name, user_id=user_id, image_type=SNAPSHOT, metadata=metadata),
        "root_device_name": server.root_device_name,
        "bdm_v2": "True",
        "min_disk": int(facts.get("min_disk", 0)),
        "min_ram": int(facts.get("min_ram", 0)),
    }


def _is_inherited(key: str, value: Any) -> bool:
    return value is not None and key not in _NOT_INHERITED and not key.startswith(_NOT_INHERITED_PREFIXES)
