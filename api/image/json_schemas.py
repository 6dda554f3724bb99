"""The JSON schemas that ``/v2/schemas`` serves; clients read property names and types from them."""

from typing import Any

from infra.domain.image import CONTAINER_FORMATS, DISK_FORMATS

_STRING = {"type": "string"}
_NULLABLE = {"type": ["null", "string"]}
_SIZE = {"type": ["null", "integer"], "readOnly": True}
_FACT = {"type": ["null", "string"], "readOnly": True}
_TIME = {"type": "string", "readOnly": True}
_REFERENCE = {"type": ["null", "string"], "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}

_IMAGE: dict[str, Any] = {
    "id": {"type": "string", "pattern": _REFERENCE["pattern"]},
    "name": {"type": ["null", "string"], "maxLength": 255},
    "status": {
        "type": "string",
        "readOnly": True,
        "enum": ["queued", "saving", "active", "killed", "deleted", "deactivated"],
    },
    "visibility": {"type": "string", "enum": ["community", "public", "private", "shared"]},
    "protected": {"type": "boolean"},
    "os_hidden": {"type": "boolean"},
    "owner": {"type": ["null", "string"], "maxLength": 255},
    "disk_format": {"type": ["null", "string"], "enum": [None, *DISK_FORMATS]},
    "container_format": {"type": ["null", "string"], "enum": [None, *CONTAINER_FORMATS]},
    "size": _SIZE,
    "virtual_size": _SIZE,
    "checksum": {**_FACT, "maxLength": 32},
    "os_hash_algo": {**_FACT, "maxLength": 64},
    "os_hash_value": {**_FACT, "maxLength": 128},
    "min_disk": {"type": "integer"},
    "min_ram": {"type": "integer"},
    "tags": {"type": "array", "items": {"type": "string", "maxLength": 255}},
    "kernel_id": _REFERENCE,
    "ramdisk_id": _REFERENCE,
    "architecture": _STRING,
    "os_distro": _STRING,
    "os_version": _STRING,
    "created_at": _TIME,
    "updated_at": _TIME,
    "self": {"type": "string", "readOnly": True},
    "file": {"type": "string", "readOnly": True},
    "schema": {"type": "string", "readOnly": True},
}
_MEMBER: dict[str, Any] = {
    "image_id": _STRING,
    "member_id": _STRING,
    "status": {"type": "string", "enum": ["pending", "accepted", "rejected"]},
    "created_at": _TIME,
    "updated_at": _TIME,
    "schema": {"type": "string", "readOnly": True},
}


def _one(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties, **more}


def _list(name: str, item: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {"type": "array", "items": item},
        "first": _STRING,
        "next": _STRING,
        "schema": _STRING,
    }
    links = [
        {"rel": "first", "href": "{first}"},
        {"rel": "next", "href": "{next}"},
        {"rel": "describedby", "href": "{schema}"},
    ]
    return {"name": name, "properties": properties, "links": links}


_IMAGE_LINKS = [
    {"rel": "self", "href": "{self}"},
    {"rel": "enclosure", "href": "{file}"},
    {"rel": "describedby", "href": "{schema}"},
]
_image = _one("image", _IMAGE, additionalProperties={"type": "string"}, links=_IMAGE_LINKS)
_member = _one("member", _MEMBER)

SCHEMAS: dict[str, dict[str, Any]] = {
    "image": _image,
    "images": _list("images", _image),
    "member": _member,
    "members": {"name": "members", "properties": {"members": {"type": "array", "items": _member}, "schema": _STRING}},
}
