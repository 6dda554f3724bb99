"""Images as JSON (Image API v2)."""

from datetime import datetime
from typing import Any

from infra.domain.image import Image, ImageMember

_RELEASES = ("2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def changeable(image: Image) -> dict[str, Any]:
    """The flat form of what a client may change."""
    return {
        "name": image.name,
        "visibility": image.visibility,
        "protected": image.protected,
        "os_hidden": image.hidden,
        "disk_format": image.disk_format,
        "container_format": image.container_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "owner": image.owner,
        "tags": list(image.tags),
        **image.properties,
    }


def image_view(image: Image) -> dict[str, Any]:
    return {
        **changeable(image),
        "id": image.id,
        "status": image.status,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.hash_algo,
        "os_hash_value": image.hash_value,
        "created_at": timestamp(image.created_at),
        "updated_at": timestamp(image.updated_at),
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def member_view(member: ImageMember) -> dict[str, Any]:
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": timestamp(member.created_at),
        "updated_at": timestamp(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def versions(base_url: str) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": f"v{release}",
                "status": "CURRENT" if release == _RELEASES[0] else "SUPPORTED",
                "links": [{"rel": "self", "href": f"{base_url}/v2/"}],
            }
            for release in _RELEASES
        ]
    }
