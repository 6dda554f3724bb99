"""Tags of networks, subnets, ports, security groups, routers and floating IPs: transactions."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlmodel import Session

from infra.db.floating_ips import row_of as floating_ip_row
from infra.db.network_rows import network_row, set_tags, tags_of, touch
from infra.db.ports import row_of as port_row
from infra.db.routers import row_of as router_row
from infra.db.security_groups import row_of as group_row
from infra.db.subnets import row_of as subnet_row
from infra.domain.errors import BadRequest, NotFound

_ROWS: Mapping[str, Callable[[Session, str], Any]] = {
    "networks": network_row,
    "subnets": subnet_row,
    "ports": port_row,
    "security-groups": group_row,
    "routers": router_row,
    "floatingips": floating_ip_row,
}
MAX_TAGS = 50


def replace(session: Session, kind: str, resource_id: str, tags: Iterable[str]) -> tuple[str, ...]:
    """Set a resource's tags; a change is a revision of it.

    Args:
        kind: the collection's name on the wire.

    Raises:
        NotFound: there is no such kind, or no such resource.
        BadRequest: more than 50 tags.
    """
    if kind not in _ROWS:
        raise NotFound("The resource could not be found.", kind="HTTPNotFound")
    row = _ROWS[kind](session, resource_id)
    before, wanted = tags_of(session, [resource_id])[resource_id], tuple(sorted(set(tags)))
    if len(wanted) > MAX_TAGS:
        raise BadRequest(f"The number of tags exceeds the per-resource limit of {MAX_TAGS}", kind="TagLimitExceeded")
    if wanted != before:
        set_tags(session, resource_id, wanted)
        touch(row)
        session.add(row)
        session.flush()
    return wanted
