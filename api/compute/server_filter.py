"""Query parameters of server lists (Compute API reference, "List servers")."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema
from sqlalchemy import ColumnElement, and_, or_
from sqlmodel import col
from starlette.datastructures import QueryParams

from api.auth import Context
from api.compute.paging import flag
from infra.db.server_details import Candidate
from infra.db.tables.servers import ServerRow
from infra.domain.errors import BadRequest, Forbidden
from infra.domain.server import TaskState, VmState, status

_EXACT = {
    "uuid": ServerRow.id,
    "image": ServerRow.image_id,
    "image_ref": ServerRow.image_id,
    "flavor": ServerRow.flavor_id,
    "reservation_id": ServerRow.reservation_id,
    "key_name": ServerRow.key_name,
    "availability_zone": ServerRow.availability_zone,
    "description": ServerRow.description,
    "hostname": ServerRow.hostname,
    "kernel_id": ServerRow.kernel_id,
    "ramdisk_id": ServerRow.ramdisk_id,
    "vm_state": ServerRow.vm_state,
    "task_state": ServerRow.task_state,
    "user_id": ServerRow.user_id,
    "root_device_name": ServerRow.root_device_name,
    "access_ip_v4": ServerRow.access_ip_v4,
    "access_ip_v6": ServerRow.access_ip_v6,
}
_ADMIN_ONLY = {"host": ServerRow.host, "hypervisor_hostname": ServerRow.host, "node": ServerRow.host}
_NUMBERS = {"power_state": ServerRow.power_state, "launch_index": ServerRow.launch_index}
_SORTABLE = {
    "uuid": ServerRow.id,
    "display_name": ServerRow.name,
    "created_at": ServerRow.created_at,
    "updated_at": ServerRow.updated_at,
    "launched_at": ServerRow.launched_at,
    "terminated_at": ServerRow.terminated_at,
    "host": ServerRow.host,
    "vm_state": ServerRow.vm_state,
    "task_state": ServerRow.task_state,
    "project_id": ServerRow.project_id,
    "user_id": ServerRow.user_id,
    "image_ref": ServerRow.image_id,
    "instance_type_id": ServerRow.flavor_id,
    "key_name": ServerRow.key_name,
    "availability_zone": ServerRow.availability_zone,
    "launch_index": ServerRow.launch_index,
    "power_state": ServerRow.power_state,
    "progress": ServerRow.progress,
    "hostname": ServerRow.hostname,
    "display_description": ServerRow.description,
    "root_device_name": ServerRow.root_device_name,
}
_OTHER = {
    *("name", "status", "ip", "ip6", "changes-since", "changes-before", "deleted", "all_tenants"),
    *("project_id", "tenant_id", "tags", "tags-any", "not-tags", "not-tags-any", "locked", "config_drive"),
    *("disk_config", "limit", "marker", "sort_key", "sort_dir", "instance_name", "soft_deleted"),
}
_STRICT = 75
_TAGS = 26
_MAX_PATTERN = 255


@dataclass(frozen=True)
class ServerFilter:
    where: tuple[ColumnElement[bool], ...]
    order_by: tuple[ColumnElement[Any], ...]
    keep: Callable[[Candidate], bool]
    """What can't be asked of both databases alike."""
    address: Callable[[str], bool] | None = None
    """A test of which one address of the server must hold."""
    nothing: bool = False
    """True: no server can meet this."""


def pattern(text: str) -> Callable[[str], bool]:
    """A user's regular expression, in an engine whose time grows with the text only (RE2's family).

    Raises:
        BadRequest: it isn't one, or is too long.
    """
    try:
        validator = SchemaValidator(core_schema.str_schema(pattern=text[: _MAX_PATTERN + 1]))
    except SchemaError:
        raise BadRequest("Invalid filter: it is not a regular expression.") from None
    if len(text) > _MAX_PATTERN:
        raise BadRequest("Invalid filter: the regular expression is too long.")
    return validator.isinstance_python


def server_filter(query: QueryParams, context: Context, version: int) -> ServerFilter:
    """What a list's query asks for.

    Raises:
        BadRequest: a value has the wrong form, or from 2.75 on an unknown parameter.
        Forbidden: other projects' or deleted servers, asked for by someone who is no administrator.
    """
    known = _EXACT.keys() | _ADMIN_ONLY.keys() | _NUMBERS.keys() | _OTHER
    unknown = sorted(set(query) - known)
    if unknown and version >= _STRICT:
        raise BadRequest(f"Additional query parameters are not allowed ({', '.join(map(repr, unknown))} unexpected)")
    states = [state for text in query.getlist("status") for state in _states(text)]
    where = (*_scope(query, context), *_columns(query, context), *_times(query, version))
    if states:
        where = (*where, or_(*states))
    named = [pattern(text) for text in query.getlist("name")]
    tagged = _tags(query) if version >= _TAGS else lambda tags: True
    ip = query.get("ip") or query.get("ip6")
    return ServerFilter(
        where=where,
        order_by=_order(query),
        keep=lambda candidate: all(test(candidate.name) for test in named) and tagged(candidate.tags),
        address=pattern(ip) if ip else None,
        nothing="status" in query and not states,
    )


def _scope(query: QueryParams, context: Context) -> list[ColumnElement[bool]]:
    everyone = flag(query, "all_tenants") or False
    if everyone and not context.is_admin:
        raise Forbidden("Policy doesn't allow os_compute_api:servers:index:get_all_tenants to be performed.")
    found: list[ColumnElement[bool]] = []
    if not everyone:
        found.append(col(ServerRow.project_id) == context.project_id)
    elif project := query.get("project_id") or query.get("tenant_id"):
        found.append(col(ServerRow.project_id) == project)
    deleted = context.is_admin and (flag(query, "deleted") or "DELETED" in _upper(query.getlist("status")))
    is_deleted = col(ServerRow.vm_state) == VmState.DELETED
    if deleted:
        found.append(is_deleted)
    elif "changes-since" not in query:
        found.append(~is_deleted)
    return found


def _columns(query: QueryParams, context: Context) -> list[ColumnElement[bool]]:
    exact = _EXACT | _ADMIN_ONLY if context.is_admin else _EXACT
    found: list[ColumnElement[bool]] = [
        col(column).in_([text.rsplit("/", 1)[-1] for text in query.getlist(name)])
        for name, column in exact.items()
        if name in query
    ]
    for name, column in _NUMBERS.items():
        if name in query:
            text = query[name]
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise BadRequest(f"Invalid {name} filter: it must be a number.")
            found.append(col(column) == int(text))
    for name, row in (("locked", ServerRow.locked), ("config_drive", ServerRow.config_drive)):
        wanted = flag(query, name)
        if wanted is not None:
            found.append(col(row).is_(wanted))
    return found


def _times(query: QueryParams, version: int) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if "changes-since" in query:
        found.append(col(ServerRow.updated_at) >= moment(query["changes-since"], "changes-since"))
    if "changes-before" in query and version >= 66:
        found.append(col(ServerRow.updated_at) <= moment(query["changes-before"], "changes-before"))
    return found


def moment(text: str, name: str) -> datetime:
    """An ISO 8601 time; UTC where it names no zone."""
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            raise BadRequest(f"Invalid filter: {name} is not a time.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _states(text: str) -> list[ColumnElement[bool]]:
    """Conditions for the pairs of states that show as this status."""
    found: list[ColumnElement[bool]] = []
    for vm_state in VmState:
        plain = status(vm_state, None)
        others = [task for task in TaskState if status(vm_state, task) != plain]
        matching = [task for task in others if status(vm_state, task) == text.upper()]
        is_state = col(ServerRow.vm_state) == vm_state
        if plain == text.upper():
            task = col(ServerRow.task_state)
            found.append(and_(is_state, or_(task.is_(None), task.not_in(others))))
        if matching:
            found.append(and_(is_state, col(ServerRow.task_state).in_(matching)))
    return found


def _tags(query: QueryParams) -> Callable[[frozenset[str]], bool]:
    def wanted(name: str) -> set[str]:
        return {tag for text in query.getlist(name) for tag in text.split(",")}

    everything, some, not_all, none = (wanted(n) for n in ("tags", "tags-any", "not-tags", "not-tags-any"))

    def keep(tags: frozenset[str]) -> bool:
        return (
            everything <= tags
            and (not some or bool(some & tags))
            and not (not_all and not_all <= tags)
            and not (none & tags)
        )

    return keep


def _order(query: QueryParams) -> tuple[ColumnElement[Any], ...]:
    keys, directions = query.getlist("sort_key"), query.getlist("sort_dir")
    if len(directions) > len(keys) > 0 or any(d not in ("asc", "desc") for d in directions):
        raise BadRequest("Invalid sort_dir: it must be asc or desc, one for each sort_key.")
    order: list[ColumnElement[Any]] = []
    for number, key in enumerate(keys or ["created_at"]):
        if key not in _SORTABLE:
            raise BadRequest("Invalid sort_key: servers can't be sorted by it.")
        ascending = (directions[number] if number < len(directions) else "desc") == "asc"
        column = col(_SORTABLE[key])
        order.append(column.asc() if ascending else column.desc())
    return (*order, col(ServerRow.id).desc())


def _upper(texts: Sequence[str]) -> list[str]:
    return [text.upper() for text in texts]
