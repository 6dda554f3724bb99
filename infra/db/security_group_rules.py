"""Rules of security groups: transactions."""

from sqlmodel import Session, col, select

from infra.db import network_changes, network_quotas, security_groups
from infra.db.network_rows import Selection, columns_of, matches, rows_of, touch
from infra.db.tables.network import SecurityGroupRuleRow
from infra.domain.errors import Conflict, NotFound
from infra.domain.network import NetworkQuota, SecurityGroupRule
from infra.network import security_rules

COLUMNS = columns_of(SecurityGroupRuleRow, *SecurityGroupRule.model_fields)


def create(session: Session, rule: SecurityGroupRule, quota: NetworkQuota) -> SecurityGroupRule:
    """Add a rule to its group; the caller has checked that the group may be changed.

    Raises:
        NotFound: no such group, or remote group.
        BadRequest: the rule contradicts itself.
        Conflict: OverQuota, SecurityGroupRuleExists.
    """
    group = security_groups.row_of(session, rule.security_group_id, lock=True)
    security_rules.check(rule)
    if rule.remote_group_id is not None:
        security_groups.row_of(session, rule.remote_group_id)
    for row in session.exec(select(SecurityGroupRuleRow).where(SecurityGroupRuleRow.security_group_id == group.id)):
        if security_rules.same(SecurityGroupRule(**row.model_dump()), rule):
            message = f"Security group rule already exists. Rule id is {row.id}."
            raise Conflict(message, kind="SecurityGroupRuleExists")
    network_quotas.reserve(session, rule.project_id, "security_group_rule", quota)
    session.add(SecurityGroupRuleRow(**rule.model_dump()))
    touch(group)
    session.add(group)
    network_changes.mark_groups(session, (group.id,))
    session.flush()
    return rule


def get(session: Session, rule_id: str) -> SecurityGroupRule:
    """Raises NotFound."""
    return SecurityGroupRule(**_row(session, rule_id).model_dump())


def find(session: Session, selection: Selection) -> list[SecurityGroupRule]:
    conditions = matches(COLUMNS, selection.filters)
    if selection.visible_to is not None:
        conditions.append(col(SecurityGroupRuleRow.project_id) == selection.visible_to)
    rows = rows_of(session, SecurityGroupRuleRow, COLUMNS, conditions, selection.page)
    return [SecurityGroupRule(**row.model_dump()) for row in rows]


def delete(session: Session, rule_id: str) -> None:
    """Raises NotFound."""
    group = security_groups.row_of(session, _row(session, rule_id).security_group_id, lock=True)
    # Another delete may have been quicker.
    session.delete(_row(session, rule_id, anew=True))
    touch(group)
    session.add(group)
    network_changes.mark_groups(session, (group.id,))
    session.flush()


def _row(session: Session, rule_id: str, *, anew: bool = False) -> SecurityGroupRuleRow:
    row = session.get(SecurityGroupRuleRow, rule_id, populate_existing=anew)
    if row is None:
        raise NotFound(f"Security group rule {rule_id} does not exist", kind="SecurityGroupRuleNotFound")
    return row
