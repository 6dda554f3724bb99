"""How many boots are under way: what the limits on new ones look at. Reads of one small index, however many servers.

The index holds rows in BUILD only. A database uses it where the query says so in the index's own words, so the state
is no parameter here.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, bindparam, func, literal_column, select
from sqlmodel import Session, col

from infra.db.statements import run
from infra.db.tables.hosts import HostRow
from infra.db.tables.servers import BUILDING, ServerRow
from infra.db.types import now
from infra.domain.errors import TooManyRequests, Unavailable
from infra.settings import LimitSettings

_BUILDING: ColumnElement[bool] = literal_column(BUILDING)
_BY_PROJECT = (
    select(col(ServerRow.project_id), func.count().label("servers"))
    .where(_BUILDING)
    .group_by(col(ServerRow.project_id))
)
# As an expression, since SQLite would rather go through the hosts of all servers.
_HAS_HOST = func.coalesce(col(ServerRow.host), "") != ""
_ON_HOSTS = select(col(ServerRow.id)).where(_BUILDING, _HAS_HOST, col(ServerRow.updated_at) > bindparam("since"))
_HOSTS = select(func.count()).where(
    col(HostRow.ready).is_(True), col(HostRow.enabled).is_(True), col(HostRow.forced_down).is_(False)
)


@dataclass(frozen=True)
class Ahead:
    """Boot requests that wait to be admitted, and so have no rows yet."""

    own: int = 0
    """Of the same project."""
    all: int = 0


def check(session: Session, limits: LimitSettings, project_id: str, count: int, ahead: Ahead) -> None:
    """Whether ``count`` more boots of a project may be begun. It reads only: the limits are near enough, not exact.

    Raises:
        TooManyRequests: too many servers of the project are being built.
        Unavailable: too many are, of all projects together.
    """
    building: dict[str, int] = {row.project_id: row.servers for row in run(session, _BY_PROJECT, {})}
    own = building.get(project_id, 0) + ahead.own
    if own + count > limits.building_per_project:
        raise TooManyRequests(
            f"Too many servers of the project are being built ({own}, and the limit is "
            f"{limits.building_per_project}); send the request again when some are done.",
            retry_after=limits.retry_seconds,
        )
    if sum(building.values()) + ahead.all + count > limits.building:
        raise Unavailable("Too many servers are being built; send the request again.", retry_after=limits.retry_seconds)


@dataclass(frozen=True)
class InFlight:
    servers: tuple[str, ...]
    """That are being built on a host, and whose row was written lately."""
    hosts: int
    """That take servers."""


def in_flight(session: Session, seconds: float) -> InFlight:
    """What is being built, of rows written less than ``seconds`` ago."""
    servers = run(session, _ON_HOSTS, {"since": now() - timedelta(seconds=seconds)}).scalars()
    return InFlight(servers=tuple(servers), hosts=int(run(session, _HOSTS, {}).scalar_one()))
