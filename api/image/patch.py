"""Changes to an image in the Image API's forms of JSON patch (Image API v2, "Update image"; RFC 6902, RFC 6901)."""

import json
from typing import Any

from api.image.schemas import BASE, refuse_read_only
from infra.domain.errors import BadRequest, Conflict, Forbidden, UnsupportedMediaType

MEDIA_TYPES = ("application/openstack-images-v2.1-json-patch", "application/openstack-images-v2.0-json-patch")
_OPERATIONS = ("add", "replace", "remove")
MAX_OPERATIONS = 256


def parse(content_type: str, body: bytes) -> list[tuple[str, str, Any]]:
    """(operation, property, value) of each change, in order.

    Raises:
        UnsupportedMediaType: the content type is not one of ``MEDIA_TYPES``.
        BadRequest: the body is no such patch.
        Forbidden: it changes what can't be changed.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES:
        raise UnsupportedMediaType(f"The content type must be {' or '.join(MEDIA_TYPES)}.")
    try:
        changes = json.loads(body)
    except ValueError:
        raise BadRequest("The request body is not JSON.") from None
    if not isinstance(changes, list) or len(changes) > MAX_OPERATIONS:
        raise BadRequest(f"The request body must be a JSON array of at most {MAX_OPERATIONS} operations.")
    return [_operation(change, media_type == MEDIA_TYPES[0]) for change in changes]


def _operation(change: Any, with_op: bool) -> tuple[str, str, Any]:
    if not isinstance(change, dict):
        raise BadRequest("Operations must be JSON objects.")
    named = [name for name in _OPERATIONS if name in change]
    if with_op:
        operation, path = change.get("op"), change.get("path")
    elif len(named) == 1:
        operation, path = named[0], change[named[0]]
    else:
        raise BadRequest(f"An operation must have exactly one of {', '.join(_OPERATIONS)}.")
    if operation not in _OPERATIONS:
        raise BadRequest(f"The operation must be one of {', '.join(_OPERATIONS)}.")
    if operation != "remove" and "value" not in change:
        raise BadRequest(f"The operation {operation} needs a value.")
    return operation, _property(path), change.get("value")


def _property(path: Any) -> str:
    if not isinstance(path, str) or not path.startswith("/") or len(path) < 2:
        raise BadRequest("The path of an operation must start with / and name a property.")
    first, *rest = path[1:].split("/")
    name = first.replace("~1", "/").replace("~0", "~")
    refuse_read_only(name)
    if rest:
        raise BadRequest(f"The path {path[:255]!r} has more than one part.")
    if name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    return name


def apply(flat: dict[str, Any], changes: list[tuple[str, str, Any]]) -> dict[str, Any]:
    """The flat form of an image after the changes.

    Raises:
        Conflict: a property to replace or remove is not there.
        Forbidden: a property that every image has is to be removed.
    """
    result = dict(flat)
    for operation, name, value in changes:
        if operation == "remove":
            if name in BASE:
                raise Forbidden(f"Property {name} may not be removed.")
            if name not in result:
                raise Conflict(f"Property {name} does not exist.")
            del result[name]
            continue
        if operation == "replace" and name not in BASE and name not in result:
            raise Conflict(f"Property {name} does not exist.")
        result[name] = value
    return result
