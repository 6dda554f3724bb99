"""Server groups and their members. Policies are enforced by ``claims.py``."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from infra.db.tables.hosts import ServerGroupMemberRow, ServerGroupRow
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound
from infra.domain.placement import POLICIES, ServerGroup


def create(
    session: Session,
    *,
    id: str,
    project_id: str,
    user_id: str,
    name: str,
    policy: str,
    max_server_per_host: int = 1,
    created_at: datetime | None = None,
) -> ServerGroup:
    """Raises BadRequest for an unknown policy or a rule that the policy doesn't have."""
    if policy not in POLICIES:
        raise BadRequest(f"Invalid server group policy {policy!r}.")
    if max_server_per_host < 1 or (max_server_per_host > 1 and policy != "anti-affinity"):
        raise BadRequest("Only the anti-affinity policy has the rule max_server_per_host, of 1 or more.")
    row = ServerGroupRow(
        id=id,
        project_id=project_id,
        user_id=user_id,
        name=name,
        policy=policy,
        max_server_per_host=max_server_per_host,
        created_at=created_at or now(),
    )
    session.add(row)
    session.flush()
    return _group(row, ())


def get(session: Session, id: str, *, project_id: str | None = None) -> ServerGroup:
    """A group, of this project if one is given.

    Raises:
        NotFound: there is none.
    """
    row = session.get(ServerGroupRow, id)
    if row is None or project_id not in (None, row.project_id):
        raise NotFound(f"Instance group {id} could not be found.")
    return _group(row, _members(session, [id]).get(id, ()))


def list_all(session: Session, *, project_id: str | None = None) -> list[ServerGroup]:
    """Groups of a project, or all, oldest first."""
    query = select(ServerGroupRow).order_by(col(ServerGroupRow.created_at), col(ServerGroupRow.id))
    if project_id is not None:
        query = query.where(col(ServerGroupRow.project_id) == project_id)
    rows = list(session.execute(query).scalars())
    members = _members(session, [row.id for row in rows])
    return [_group(row, members.get(row.id, ())) for row in rows]


def remove(session: Session, id: str, *, project_id: str | None = None) -> None:
    """Forget a group; its servers stay where they are.

    Raises:
        NotFound: there is none.
    """
    get(session, id, project_id=project_id)
    session.execute(delete(ServerGroupMemberRow).where(col(ServerGroupMemberRow.group_id) == id))
    session.execute(delete(ServerGroupRow).where(col(ServerGroupRow.id) == id))


def add_member(session: Session, id: str, server_id: str) -> None:
    """Put a server in a group; before its first claim, or the policy is not asked. A repeat changes nothing.

    Raises:
        NotFound: there is no such group.
    """
    locked = select(col(ServerGroupRow.id)).where(col(ServerGroupRow.id) == id).with_for_update()
    if session.execute(locked).first() is None:
        raise NotFound(f"Instance group {id} could not be found.")
    if session.get(ServerGroupMemberRow, server_id) is not None:
        return
    query = select(func.coalesce(func.max(col(ServerGroupMemberRow.position)), -1))
    position = session.execute(query.where(col(ServerGroupMemberRow.group_id) == id)).scalar_one() + 1
    session.add(ServerGroupMemberRow(server_id=server_id, group_id=id, position=position))
    session.flush()


def remove_member(session: Session, server_id: str) -> None:
    """Take a server out of the group it is in, if any."""
    session.execute(delete(ServerGroupMemberRow).where(col(ServerGroupMemberRow.server_id) == server_id))


def of_server(session: Session, server_id: str) -> ServerGroup | None:
    """The group a server is in."""
    query = select(col(ServerGroupMemberRow.group_id)).where(col(ServerGroupMemberRow.server_id) == server_id)
    id = session.connection().execute(query).scalar_one_or_none()
    return None if id is None else get(session, id)


def _members(session: Session, ids: list[str]) -> dict[str, tuple[str, ...]]:
    query = select(ServerGroupMemberRow).where(col(ServerGroupMemberRow.group_id).in_(ids))
    found: dict[str, tuple[str, ...]] = {}
    for row in session.execute(query.order_by(col(ServerGroupMemberRow.position))).scalars():
        found[row.group_id] = (*found.get(row.group_id, ()), row.server_id)
    return found


def _group(row: ServerGroupRow, members: tuple[str, ...]) -> ServerGroup:
    return ServerGroup(**row.model_dump(), members=members)
