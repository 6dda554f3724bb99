"""Flavors, their extra specs, and which projects may use those that are not public."""

from sqlalchemy import ColumnElement, or_
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from infra.db.engine import is_duplicate
from infra.db.statements import Lookup
from infra.db.tables.compute import FlavorAccessRow, FlavorRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.flavor import Flavor

SORT_KEYS = {
    "flavorid": FlavorRow.id,
    "id": FlavorRow.id,
    "name": FlavorRow.name,
    "memory_mb": FlavorRow.ram_mb,
    "vcpus": FlavorRow.vcpus,
    "root_gb": FlavorRow.disk_gb,
    "ephemeral_gb": FlavorRow.ephemeral_gb,
    "swap": FlavorRow.swap_mb,
    "rxtx_factor": FlavorRow.rxtx_factor,
    "is_public": FlavorRow.is_public,
    "disabled": FlavorRow.disabled,
}
_BY_ID = Lookup(FlavorRow, "id")


def _flavor(row: FlavorRow) -> Flavor:
    return Flavor.model_validate(row.model_dump())


def _row(session: Session, flavor_id: str) -> FlavorRow:
    row = session.get(FlavorRow, flavor_id)
    if row is None:
        raise _missing(flavor_id)
    return row


def _missing(flavor_id: str) -> NotFound:
    return NotFound(f"Flavor {flavor_id} could not be found.")


def _usable_by(project_id: str | None) -> ColumnElement[bool]:
    granted = select(FlavorAccessRow.flavor_id).where(col(FlavorAccessRow.project_id) == project_id)
    return or_(col(FlavorRow.is_public).is_(True), col(FlavorRow.id).in_(granted))


def create(session: Session, flavor: Flavor) -> Flavor:
    """Raises Conflict if the id or the name is taken."""
    session.add(FlavorRow.model_validate(flavor.model_dump()))
    try:
        session.flush()
    except IntegrityError as e:
        if not is_duplicate(e):
            raise
        raise Conflict(f"Flavor with the name {flavor.name} or the ID {flavor.id} already exists.") from None
    return flavor


def get(session: Session, flavor_id: str, *, project_id: str | None = None, any_project: bool = True) -> Flavor:
    """One flavor; with ``any_project`` false, only if ``project_id`` may use it.

    Raises:
        NotFound: there is none that may be seen.
    """
    row = _BY_ID.first(session, flavor_id)
    if row is None:
        raise _missing(flavor_id)
    if not any_project and not row.is_public and session.get(FlavorAccessRow, (flavor_id, project_id)) is None:
        raise _missing(flavor_id)
    return Flavor.model_validate(row._asdict())


def list_flavors(
    session: Session,
    *,
    is_public: bool | None = None,
    project_id: str | None = None,
    any_project: bool = False,
    min_disk: int = 0,
    min_ram: int = 0,
    sort_key: str = "flavorid",
    descending: bool = False,
    limit: int | None = None,
    marker: str | None = None,
) -> list[Flavor]:
    """Flavors, sorted by ``sort_key`` (one of ``SORT_KEYS``) and then by id.

    Args:
        is_public: only public or only private ones; None for both.
        project_id: whose private flavors are shown, unless ``any_project``.
        min_disk: GiB. min_ram: MiB.
        marker: id of the last flavor of the page before.

    Raises:
        BadRequest: the marker is not a flavor.
    """
    column = col(SORT_KEYS[sort_key])
    query = select(FlavorRow).where(col(FlavorRow.disk_gb) >= min_disk, col(FlavorRow.ram_mb) >= min_ram)
    if not any_project:
        query = query.where(_usable_by(project_id))
    if is_public is not None:
        query = query.where(col(FlavorRow.is_public).is_(is_public))
    first, second = (column.desc(), col(FlavorRow.id).desc()) if descending else (column, col(FlavorRow.id))
    rows = list(session.exec(query.order_by(first, second)))
    if marker is not None:
        ids = [row.id for row in rows]
        if marker not in ids:
            raise BadRequest(f"Marker {marker} could not be found.")
        rows = rows[ids.index(marker) + 1 :]
    return [_flavor(row) for row in rows[:limit]]


def set_description(session: Session, flavor_id: str, description: str | None) -> Flavor:
    row = _row(session, flavor_id)
    row.description = description
    session.add(row)
    return _flavor(row)


def delete(session: Session, flavor_id: str) -> None:
    """Servers keep the copy that they were made with. Raises NotFound."""
    session.delete(_row(session, flavor_id))


def set_extra_specs(session: Session, flavor_id: str, specs: dict[str, str]) -> Flavor:
    """Add to the extra specs, replacing those of the same key."""
    row = _row(session, flavor_id)
    row.extra_specs = {**row.extra_specs, **specs}
    session.add(row)
    return _flavor(row)


def delete_extra_spec(session: Session, flavor_id: str, key: str) -> None:
    """Raises NotFound if the flavor has no such key."""
    row = _row(session, flavor_id)
    if key not in row.extra_specs:
        raise NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
    row.extra_specs = {name: value for name, value in row.extra_specs.items() if name != key}
    session.add(row)


def access(session: Session, flavor_id: str) -> list[str]:
    """Projects that may use a private flavor.

    Raises:
        NotFound: no such flavor, or it is public and has no list.
    """
    if _row(session, flavor_id).is_public:
        raise NotFound("Access list not available for public flavors.")
    query = select(FlavorAccessRow.project_id).where(col(FlavorAccessRow.flavor_id) == flavor_id)
    return list(session.exec(query.order_by(col(FlavorAccessRow.project_id))))


def add_access(session: Session, flavor_id: str, project_id: str) -> None:
    """Raises Conflict if the flavor is public or the project has access already."""
    if _row(session, flavor_id).is_public:
        raise Conflict("Can not add access to a public flavor.")
    if session.get(FlavorAccessRow, (flavor_id, project_id)) is not None:
        raise Conflict(f"Flavor access already exists for flavor {flavor_id} and project {project_id} combination.")
    session.add(FlavorAccessRow(flavor_id=flavor_id, project_id=project_id))
    session.flush()


def remove_access(session: Session, flavor_id: str, project_id: str) -> None:
    """Raises NotFound if the project has no access."""
    _row(session, flavor_id)
    row = session.get(FlavorAccessRow, (flavor_id, project_id))
    if row is None:
        raise NotFound(f"Flavor access not found for {flavor_id} / {project_id} combination.")
    session.delete(row)
