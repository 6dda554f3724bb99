"""Security groups and their rules: transactions. Every project has a ``default`` group, made when first looked at."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import delete as sql_delete
from sqlalchemy import or_
from sqlmodel import Session, col, select

from infra.db import network_changes, network_quotas
from infra.db.network_rows import Selection, change, columns_of, drop_tags, insert, matches, rows_of, tags_of, within
from infra.db.statements import Lookup
from infra.db.tables.network import (
    DefaultSecurityGroupRow,
    PortSecurityGroupRow,
    SecurityGroupRow,
    SecurityGroupRuleRow,
)
from infra.db.types import now
from infra.domain.errors import Conflict, NotFound
from infra.domain.network import NetworkQuota, SecurityGroup, SecurityGroupRule

COLUMNS = columns_of(
    SecurityGroupRow, "id", "project_id", "name", "description", "stateful", "created_at", "updated_at", "revision"
)
DEFAULT = "default"


def has_default(session: Session, project_id: str) -> bool:
    return session.get(DefaultSecurityGroupRow, project_id) is not None


_DEFAULT_OF = Lookup(DefaultSecurityGroupRow, "project_id")


def default_of(session: Session, project_id: str) -> str:
    """Id of the project's ``default`` group, which is made if there is none."""
    row = _DEFAULT_OF.first(session, project_id)
    if row is None:
        group = _group(project_id, DEFAULT, "Default security group")
        mark = DefaultSecurityGroupRow(project_id=project_id, security_group_id=group.id)
        if insert(session, group, mark):
            _add_rules(session, group, ingress_from_itself=True)
        return session.get_one(DefaultSecurityGroupRow, project_id).security_group_id
    return str(row.security_group_id)


def create(session: Session, group: SecurityGroup, quota: NetworkQuota) -> SecurityGroup:
    """Make a group that lets everything out and nothing in.

    Raises:
        Conflict: OverQuota, or the name is that of the default group.
    """
    default_of(session, group.project_id)
    if group.name == DEFAULT:
        raise _default_exists()
    network_quotas.reserve(session, group.project_id, "security_group", quota)
    row = SecurityGroupRow(**group.model_dump(exclude={"rules", "tags"}))
    session.add(row)
    session.flush()
    _add_rules(session, row)
    return models(session, [row])[0]


def get(session: Session, group_id: str) -> SecurityGroup:
    """Raises NotFound."""
    return models(session, [row_of(session, group_id)])[0]


def find(session: Session, selection: Selection) -> list[SecurityGroup]:
    conditions = matches(COLUMNS, selection.filters)
    if selection.visible_to is not None:
        conditions.append(col(SecurityGroupRow.project_id) == selection.visible_to)
    return models(session, rows_of(session, SecurityGroupRow, COLUMNS, conditions, selection.page))


def names(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """Names by id, of those that exist."""
    rows = session.exec(select(SecurityGroupRow.id, SecurityGroupRow.name).where(within(SecurityGroupRow.id, ids)))
    return {row[0]: row[1] for row in rows}


def named(session: Session, project_id: str, names: Sequence[str]) -> list[SecurityGroup]:
    """Groups of a project by name or id, in the order asked for.

    Raises:
        NotFound: one of them doesn't exist.
        Conflict: a name fits several.
    """
    default_of(session, project_id)
    rows = session.exec(
        select(SecurityGroupRow).where(
            SecurityGroupRow.project_id == project_id,
            or_(within(SecurityGroupRow.name, names), within(SecurityGroupRow.id, names)),
        )
    ).all()
    chosen = []
    for name in names:
        fits = [row for row in rows if row.id == name] or [row for row in rows if row.name == name]
        if not fits:
            raise _not_found(name)
        if len(fits) > 1:
            message = f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            raise Conflict(message, kind="NoUniqueMatch")
        chosen.append(fits[0])
    return models(session, chosen)


def update(session: Session, group_id: str, changes: Mapping[str, Any]) -> SecurityGroup:
    """Raises NotFound; Conflict where the name is, or would become, the default group's, or for ``stateful`` in use."""
    row = row_of(session, group_id, lock=True)
    if changes.get("name", row.name) != row.name:
        if _is_default(session, row):
            raise Conflict("Updating default security group not allowed.", kind="SecurityGroupCannotUpdateDefault")
        if changes["name"] == DEFAULT:
            raise _default_exists()
    if changes.get("stateful", row.stateful) != row.stateful and _on_ports(session, group_id):
        raise _in_use(group_id)
    change(row, changes)
    session.add(row)
    session.flush()
    return models(session, [row])[0]


def delete(session: Session, group_id: str, *, default_too: bool = False) -> None:
    """Remove a group, its rules, and the rules of other groups that name it as their remote.

    Args:
        default_too: the project's default group as well; it is made anew when needed.

    Raises:
        NotFound: there is none.
        Conflict: SecurityGroupInUse, or it is the default group.
    """
    row = row_of(session, group_id, lock=True)
    if _is_default(session, row):
        if not default_too:
            message = "Insufficient rights for removing default security group."
            raise Conflict(message, kind="SecurityGroupCannotRemoveDefault")
        session.delete(session.get_one(DefaultSecurityGroupRow, row.project_id))
        session.flush()
    if _on_ports(session, group_id):
        raise _in_use(group_id)
    network_changes.mark_named(session, group_id)
    rules = or_(
        col(SecurityGroupRuleRow.security_group_id) == group_id, col(SecurityGroupRuleRow.remote_group_id) == group_id
    )
    session.execute(sql_delete(SecurityGroupRuleRow).where(rules))
    drop_tags(session, [group_id])
    session.delete(row)
    session.flush()


def check_usable(session: Session, group_ids: Sequence[str], project_id: str) -> None:
    """Keep groups that a port is to be in until the transaction ends.

    Raises:
        NotFound: one of them doesn't exist, or belongs to another project.
        Conflict: SecurityGroupConflict: some are stateful, and some are not.
    """
    if not group_ids:
        return
    query = select(SecurityGroupRow).where(
        within(SecurityGroupRow.id, group_ids), SecurityGroupRow.project_id == project_id
    )
    found = {row.id: row.stateful for row in session.exec(query.with_for_update(read=True, key_share=True))}
    for group_id in group_ids:
        if group_id not in found:
            raise _not_found(group_id)
    if len(set(found.values())) > 1:
        raise Conflict(
            "Cannot apply both stateful and stateless security groups on the same port at the same time.",
            kind="SecurityGroupConflict",
        )


def row_of(session: Session, group_id: str, *, lock: bool = False) -> SecurityGroupRow:
    """The row, for this service's own transactions. Raises NotFound."""
    row = session.get(SecurityGroupRow, group_id, with_for_update=lock or None)
    if row is None:
        raise _not_found(group_id)
    return row


def models(session: Session, rows: Sequence[SecurityGroupRow]) -> list[SecurityGroup]:
    ids = [row.id for row in rows]
    rules: dict[str, tuple[SecurityGroupRule, ...]] = dict.fromkeys(ids, ())
    if ids:
        query = select(SecurityGroupRuleRow).where(within(SecurityGroupRuleRow.security_group_id, ids))
        query = query.order_by(col(SecurityGroupRuleRow.created_at), col(SecurityGroupRuleRow.id))
        for rule in session.exec(query):
            rules[rule.security_group_id] += (SecurityGroupRule(**rule.model_dump()),)
    tags = tags_of(session, ids)
    return [SecurityGroup(**row.model_dump(), rules=rules[row.id], tags=tags[row.id]) for row in rows]


def _group(project_id: str, name: str, description: str) -> SecurityGroupRow:
    time = now()
    return SecurityGroupRow(
        id=str(uuid.uuid4()), project_id=project_id, name=name, description=description, stateful=True,
        created_at=time, updated_at=time,
    )  # fmt: skip


def _add_rules(session: Session, group: SecurityGroupRow, *, ingress_from_itself: bool = False) -> None:
    for ethertype in ("IPv4", "IPv6"):
        for direction in ("egress", "ingress") if ingress_from_itself else ("egress",):
            rule = SecurityGroupRule(
                id=str(uuid.uuid4()),
                project_id=group.project_id,
                security_group_id=group.id,
                direction=direction,
                ethertype=ethertype,
                remote_group_id=group.id if direction == "ingress" else None,
                created_at=group.created_at,
                updated_at=group.created_at,
            )
            session.add(SecurityGroupRuleRow(**rule.model_dump()))
    session.flush()


def _is_default(session: Session, row: SecurityGroupRow) -> bool:
    mark = session.get(DefaultSecurityGroupRow, row.project_id)
    return mark is not None and mark.security_group_id == row.id


def _on_ports(session: Session, group_id: str) -> bool:
    query = select(PortSecurityGroupRow.port_id).where(PortSecurityGroupRow.security_group_id == group_id)
    return session.exec(query.limit(1)).first() is not None


def _not_found(group_id: str) -> NotFound:
    return NotFound(f"Security group {group_id} does not exist", kind="SecurityGroupNotFound")


def _default_exists() -> Conflict:
    return Conflict("Default security group already exists.", kind="SecurityGroupDefaultAlreadyExists")


def _in_use(group_id: str) -> Conflict:
    return Conflict(f"Security Group {group_id} in use.", kind="SecurityGroupInUse")
