"""Filters and order of the lists of volumes and snapshots."""

from typing import Any

from starlette.datastructures import QueryParams

from api.volume.wire import Call, Filters, is_true, listed, mapping
from infra.domain.volume import Snapshot, Volume


def project_of(call: Call, params: QueryParams) -> str | None:
    """The project whose things are listed. None: everybody's, which administrators ask for by ``all_tenants``."""
    if call.context.is_admin and is_true(params.get("all_tenants", "false")):
        return params.get("project_id") or params.get("tenant_id") or None
    return call.context.project_id


def _has(metadata: dict[str, str], wanted: str) -> bool:
    return all(metadata.get(key) == str(value) for key, value in mapping(wanted).items())


def _equals(name: str) -> Any:
    return lambda thing, value: str(getattr(thing, name)) == value


_COMMON: Filters = {
    "id": _equals("id"),
    "name": _equals("name"),
    "display_name": _equals("name"),
    "status": _equals("status"),
    "size": _equals("size_gb"),
    "user_id": _equals("user_id"),
    "metadata": lambda thing, value: _has(thing.metadata, value),
}
_VOLUMES: Filters = {
    **_COMMON,
    "bootable": lambda volume, value: volume.bootable is is_true(value),
    "availability_zone": _equals("availability_zone"),
    "volume_type": _equals("volume_type"),
    "snapshot_id": _equals("snapshot_id"),
    "source_volid": _equals("source_volume_id"),
    "glance_metadata": lambda volume, value: _has(volume.image_metadata, value),
}
_SNAPSHOTS: Filters = {**_COMMON, "volume_id": _equals("volume_id"), "volume_size": _equals("size_gb")}
_COMMON_KEYS = {name: name for name in ("id", "status", "name", "created_at", "updated_at")}
_COMMON_KEYS |= {"display_name": "name", "size": "size_gb"}


def volumes(found: list[Volume], params: QueryParams) -> list[Volume]:
    keys = {**_COMMON_KEYS, "bootable": "bootable", "availability_zone": "availability_zone", "host": "id"}
    return listed(found, params, _VOLUMES, keys)


def snapshots(found: list[Snapshot], params: QueryParams) -> list[Snapshot]:
    return listed(found, params, _SNAPSHOTS, {**_COMMON_KEYS, "volume_id": "volume_id"})
