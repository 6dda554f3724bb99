"""What the Network Service's aggregates share: rows taken once, tags, revisions, lists."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, and_, delete, or_
from sqlmodel import Session, SQLModel, select

from infra.db.statements import Addition
from infra.db.tables.network import NetworkRow, NetworkTagRow
from infra.db.types import now
from infra.domain.errors import BadRequest, NotFound

Row = TypeVar("Row", bound=SQLModel)


class Page(BaseModel):
    """Order and part of a list.

    ``sort`` is (attribute, descending); the part is what comes after the resource ``marker``, or before it where
    ``reverse`` is set, at most ``limit`` of it.
    """

    model_config = ConfigDict(frozen=True)

    sort: tuple[tuple[str, bool], ...] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


class Selection(BaseModel):
    """Which resources of a kind: by attribute values (any of each), by tags, and by who looks."""

    model_config = ConfigDict(frozen=True)

    filters: dict[str, tuple[Any, ...]] = {}
    visible_to: str | None = None
    """A project; None sees all."""
    page: Page = Page()


LOCKS: dict[str, Any] = {"use": {"read": True, "key_share": True}, "change": {"key_share": True}, "delete": {}}


def network_row(session: Session, network_id: str, *, lock: str | None = None) -> NetworkRow:
    """A network's row.

    Args:
        lock: until the transaction ends, ``use`` keeps it from being deleted, ``change`` from being changed too,
            ``delete`` shuts out all others. On SQLite writers queue anyway.

    Raises:
        NotFound: there is no such network.
    """
    row = session.get(NetworkRow, network_id, with_for_update=LOCKS[lock] if lock else None)
    if row is None:
        raise missing(network_id)
    return row


def missing(network_id: str) -> NotFound:
    return NotFound(f"Network {network_id} could not be found.", kind="NetworkNotFound")


def insert(session: Session, *rows: SQLModel) -> bool:
    """Insert all of ``rows``, in order, or none; False if another row has their key already.

    The session doesn't know them after that; past the unit of work a row costs a fifth of the time.
    """
    if len(rows) == 1:
        return _addition(type(rows[0])).add(session, rows[0].model_dump())
    with session.begin_nested() as savepoint:
        for row in rows:
            if not _addition(type(row)).add(session, row.model_dump()):
                savepoint.rollback()
                return False
    return True


@cache
def _addition(row: type[SQLModel]) -> Addition:
    return Addition(row)


def change(row: Any, changes: Mapping[str, Any]) -> None:
    """Set attributes; a real change counts as a revision."""
    real = {name: value for name, value in changes.items() if getattr(row, name) != value}
    for name, value in real.items():
        setattr(row, name, value)
    if real:
        touch(row)


def touch(row: Any) -> None:
    row.revision += 1
    row.updated_at = now()


def columns_of(table: type[SQLModel], *names: str) -> dict[str, ColumnElement[Any]]:
    return {name: getattr(table, name) for name in names}


def rows_of(
    session: Session,
    table: type[Row],
    columns: Mapping[str, ColumnElement[Any]],
    conditions: Iterable[ColumnElement[bool]],
    page: Page,
) -> Sequence[Row]:
    """The rows that meet all conditions, in the page's order.

    Raises:
        BadRequest: the marker doesn't exist, or there is no such attribute to sort by.
    """
    wanted = (*page.sort, ("created_at", False), ("id", False))
    for name, _ in wanted:
        if name not in columns:
            raise BadRequest(f"'{name}' is not a valid sort key.", kind="HTTPBadRequest")
    order = [(columns[name], descending != page.reverse) for name, descending in dict(wanted).items()]
    query = select(table).where(*conditions)
    if page.marker is not None:
        query = query.where(_after(session, columns["id"], order, page.marker))
    query = query.order_by(*(column.desc() if down else column.asc() for column, down in order))
    if page.limit is not None:
        query = query.limit(page.limit)
    found = session.exec(query).all()
    return found[::-1] if page.reverse else found


def _after(
    session: Session, id_column: ColumnElement[Any], order: Sequence[tuple[ColumnElement[Any], bool]], marker: str
) -> ColumnElement[bool]:
    at = session.execute(select(*(column for column, _ in order)).where(id_column == marker)).first()
    if at is None:
        raise BadRequest(f"The marker {marker} does not exist.", kind="HTTPBadRequest")
    steps = []
    for n, (column, down) in enumerate(order):
        same = [earlier == at[m] for m, (earlier, _) in enumerate(order[:n])]
        steps.append(and_(*same, column < at[n] if down else column > at[n]))
    return or_(*steps)


def matches(
    columns: Mapping[str, ColumnElement[Any]], filters: Mapping[str, Sequence[Any]]
) -> list[ColumnElement[bool]]:
    """Conditions for the filters that are plain columns and for ``tags`` and its kin."""
    conditions: list[ColumnElement[bool]] = [
        columns[name].in_(values) for name, values in filters.items() if name in columns
    ]
    for name, negated, every in (
        ("tags", False, True),
        ("tags-any", False, False),
        ("not-tags", True, True),
        ("not-tags-any", True, False),
    ):
        if name in filters:
            having = [_tagged(columns["id"], tag) for tag in filters[name]]
            condition = and_(*having) if every else or_(*having)
            conditions.append(~condition if negated else condition)
    return conditions


def _tagged(id_column: ColumnElement[Any], tag: str) -> ColumnElement[bool]:
    return select(NetworkTagRow.tag).where(NetworkTagRow.resource_id == id_column, NetworkTagRow.tag == tag).exists()


def tags_of(session: Session, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Tags by resource, sorted."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(ids, ())
    if ids:
        rows = session.exec(select(NetworkTagRow).where(within(NetworkTagRow.resource_id, ids)))
        for row in sorted(rows, key=lambda row: row.tag):
            found[row.resource_id] += (row.tag,)
    return found


def within(column: Any, values: Sequence[str]) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = column.in_(values)
    return condition


def set_tags(session: Session, resource_id: str, tags: Iterable[str]) -> None:
    """Replace a resource's tags."""
    drop_tags(session, [resource_id])
    session.add_all([NetworkTagRow(resource_id=resource_id, tag=tag) for tag in sorted(set(tags))])
    session.flush()


def drop_tags(session: Session, ids: Sequence[str]) -> None:
    session.execute(delete(NetworkTagRow).where(within(NetworkTagRow.resource_id, ids)))
