"""How many networks, subnets, ports, security groups, routers and floating IPs a project has and may have.

Use is counted from the rows, never kept as a number. On PostgreSQL allocations of one project queue on its row
here, so that two at once can't both take the last place; on SQLite writers queue anyway.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, bindparam, func, select
from sqlmodel import Session, SQLModel, col

from infra.db.network_rows import insert
from infra.db.statements import Addition, Lookup, run, table_of
from infra.db.tables.network import (
    NetworkQuotaRow,
    NetworkRow,
    PortRow,
    SecurityGroupRow,
    SecurityGroupRuleRow,
    SubnetRow,
)
from infra.db.tables.routing import FloatingIpRow, RouterRow
from infra.domain.errors import Conflict
from infra.domain.network import NetworkQuota

DHCP_OWNER = "network:dhcp"

_TABLES: dict[str, type[SQLModel]] = {
    "network": NetworkRow,
    "subnet": SubnetRow,
    "port": PortRow,
    "security_group": SecurityGroupRow,
    "security_group_rule": SecurityGroupRuleRow,
    "router": RouterRow,
    "floatingip": FloatingIpRow,
}
_LOCKED = Lookup(NetworkQuotaRow, "project_id", lock={})
_ADDITION = Addition(NetworkQuotaRow)


def _count_of(table: type[SQLModel]) -> Select[Any]:
    columns = table_of(table).c
    count = select(func.count()).select_from(table).where(columns.project_id == bindparam("of_project"))
    return count.where(columns.device_owner != DHCP_OWNER) if table is PortRow else count


_COUNTS = {resource: _count_of(table) for resource, table in _TABLES.items()}


def reserve(session: Session, project_id: str, resource: str, defaults: NetworkQuota, count: int = 1) -> None:
    """Make sure that ``count`` more fit until the transaction ends.

    Raises:
        Conflict: OverQuota.
    """
    own = _LOCKED.first(session, project_id)
    if own is None:
        _ADDITION.add(session, {"project_id": project_id, "limits": {}})
        own = _LOCKED.first(session, project_id)
    limit = (own.limits if own is not None else {}).get(resource, getattr(defaults, resource))
    if 0 <= limit < used(session, project_id, resource) + count:
        raise Conflict(f"Quota exceeded for resources: ['{resource}'].", kind="OverQuota")


def used(session: Session, project_id: str, resource: str) -> int:
    """How many there are. The service's own DHCP ports are nobody's use."""
    return int(run(session, _COUNTS[resource], {"of_project": project_id}).scalar_one())


def limits(session: Session, project_id: str, defaults: NetworkQuota) -> NetworkQuota:
    row = session.get(NetworkQuotaRow, project_id)
    return defaults if row is None else _limits(row, defaults)


def details(session: Session, project_id: str, defaults: NetworkQuota) -> dict[str, dict[str, int]]:
    """``{resource: {limit, used, reserved}}``."""
    of_project = limits(session, project_id, defaults)
    return {
        name: {"limit": getattr(of_project, name), "used": used(session, project_id, name), "reserved": 0}
        for name in NetworkQuota.model_fields
    }


def set_limits(session: Session, project_id: str, changes: Mapping[str, int], defaults: NetworkQuota) -> NetworkQuota:
    row = _locked(session, project_id)
    row.limits = {**row.limits, **changes}
    session.add(row)
    session.flush()
    return _limits(row, defaults)


def reset(session: Session, project_id: str) -> None:
    """Back to the defaults."""
    _locked(session, project_id).limits = {}


def overridden(session: Session, defaults: NetworkQuota) -> dict[str, NetworkQuota]:
    """Limits of the projects that have any of their own."""
    rows = session.execute(select(NetworkQuotaRow).order_by(col(NetworkQuotaRow.project_id))).scalars()
    return {row.project_id: _limits(row, defaults) for row in rows if row.limits}


def _locked(session: Session, project_id: str) -> NetworkQuotaRow:
    row = session.get(NetworkQuotaRow, project_id, with_for_update=True)
    if row is None:
        insert(session, NetworkQuotaRow(project_id=project_id, limits={}))
        row = session.get_one(NetworkQuotaRow, project_id, with_for_update=True)
    return row


def _limits(row: NetworkQuotaRow, defaults: NetworkQuota) -> NetworkQuota:
    return defaults.model_copy(update=row.limits)
