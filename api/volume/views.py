"""Volumes and what belongs to them as JSON (Block Storage API v3), by microversion."""

from typing import Any

from api.volume.wire import Call, timestamp
from infra.domain.volume import DEFAULT_TYPE, Snapshot, Volume, VolumeAttachment, VolumeType

HOST = "kilonova@qcow2#qcow2"


def summary(volume: Volume, call: Call) -> dict[str, Any]:
    return {"id": volume.id, "name": volume.name, "links": _links(volume, call)}


def _links(volume: Volume, call: Call) -> list[dict[str, str]]:
    bookmark = call.base.replace("/volume/v3", "/volume", 1)
    return [
        {"rel": "self", "href": f"{call.base}/volumes/{volume.id}"},
        {"rel": "bookmark", "href": f"{bookmark}/volumes/{volume.id}"},
    ]


def created(volume: Volume, call: Call) -> dict[str, Any]:
    """What the replies to a creation and a change hold."""
    found: dict[str, Any] = {
        "id": volume.id,
        "name": volume.name,
        "description": volume.description,
        "size": volume.size_gb,
        "status": volume.status,
        "bootable": str(volume.bootable).lower(),
        "volume_type": volume.volume_type,
        "availability_zone": volume.availability_zone,
        "snapshot_id": volume.snapshot_id,
        "source_volid": volume.source_volume_id,
        "consistencygroup_id": None,
        "replication_status": None,
        "multiattach": False,
        "encrypted": False,
        "metadata": _metadata(volume),
        "attachments": [_attached(one, call) for one in volume.attachments if one.status == "attached"],
        "user_id": volume.user_id,
        "created_at": timestamp(volume.created_at),
        "updated_at": timestamp(volume.updated_at),
        "links": _links(volume, call),
    }
    if call.version >= 13:
        found["group_id"] = None
    if call.version >= 48:
        found.update(service_uuid=None, shared_targets=False)
    if call.version >= 63:
        found["volume_type_id"] = DEFAULT_TYPE.id
    return found


def detail(volume: Volume, call: Call) -> dict[str, Any]:
    """What GET answers."""
    found = {**created(volume, call), "os-vol-tenant-attr:tenant_id": volume.project_id, "migration_status": None}
    if volume.image_metadata:
        found["volume_image_metadata"] = volume.image_metadata
    if call.context.is_admin:
        found["os-vol-host-attr:host"] = HOST
        found["os-vol-mig-status-attr:migstat"] = found["os-vol-mig-status-attr:name_id"] = None
        if call.version >= 21:
            found["provider_id"] = None
        if call.version >= 61:
            found["cluster_name"] = None
    if call.version >= 65:
        found["consumes_quota"] = True
    return found


def _metadata(volume: Volume) -> dict[str, str]:
    if volume.read_only is None:
        return volume.metadata
    return {**volume.metadata, "readonly": str(volume.read_only)}


def _attached(attachment: VolumeAttachment, call: Call) -> dict[str, Any]:
    return {
        "id": attachment.volume_id,
        "attachment_id": attachment.id,
        "volume_id": attachment.volume_id,
        "server_id": attachment.server_id,
        "host_name": attachment.host if call.context.is_admin else None,
        "device": attachment.device,
        "attached_at": timestamp(attachment.attached_at),
    }


def attachment_summary(attachment: VolumeAttachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "volume_id": attachment.volume_id,
        "instance": attachment.server_id,
        "status": attachment.status,
    }


def attachment_detail(attachment: VolumeAttachment, connection: dict[str, Any]) -> dict[str, Any]:
    """
    Args:
        connection: how the host reaches the data; empty where no host has asked for it.
    """
    return {
        **attachment_summary(attachment),
        "attach_mode": attachment.mode,
        "attached_at": timestamp(attachment.attached_at) if attachment.status == "attached" else None,
        "detached_at": None,
        "connection_info": connection,
    }


def snapshot_view(snapshot: Snapshot, call: Call, *, extended: bool = False) -> dict[str, Any]:
    """
    Args:
        extended: with progress and project, as GET and detailed lists have it.
    """
    found: dict[str, Any] = {
        "id": snapshot.id,
        "volume_id": snapshot.volume_id,
        "name": snapshot.name,
        "description": snapshot.description,
        "size": snapshot.size_gb,
        "status": snapshot.status,
        "metadata": snapshot.metadata,
        "created_at": timestamp(snapshot.created_at),
        "updated_at": timestamp(snapshot.updated_at),
    }
    if extended:
        found["os-extended-snapshot-attributes:progress"] = "100%" if snapshot.status == "available" else "0%"
        found["os-extended-snapshot-attributes:project_id"] = snapshot.project_id
    if call.version >= 14:
        found["group_snapshot_id"] = None
    if call.version >= 41:
        found["user_id"] = snapshot.user_id
    if call.version >= 65:
        found["consumes_quota"] = True
    return found


def type_view(volume_type: VolumeType, *, specs: bool = True) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": volume_type.id,
        "name": volume_type.name,
        "description": volume_type.description,
        "is_public": volume_type.is_public,
        "os-volume-type-access:is_public": volume_type.is_public,
    }
    if specs:
        found["extra_specs"] = volume_type.extra_specs
    return found


def versions(base_url: str, maximum: int) -> dict[str, Any]:
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": f"3.{maximum}",
                "min_version": "3.0",
                "updated": "2024-03-25T00:00:00Z",
                "links": [{"rel": "self", "href": f"{base_url}/v3/"}],
                "media-types": [
                    {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}
                ],
            }
        ]
    }
