"""Volume types. One is always there; administrators add names for it with extra specs of their own."""

from sqlmodel import Session, col, select

from infra.db.engine import is_duplicate
from infra.db.tables.volume import VolumeRow, VolumeTypeRow
from infra.domain.errors import BadRequest, Conflict, NotFound
from infra.domain.volume import DEFAULT_TYPE, VolumeType


def all_of(session: Session) -> list[VolumeType]:
    rows = session.exec(select(VolumeTypeRow).order_by(col(VolumeTypeRow.name)))
    return [DEFAULT_TYPE, *(_type(row) for row in rows)]


def get(session: Session, id_or_name: str) -> VolumeType:
    for found in all_of(session):
        if id_or_name in (found.id, found.name):
            return found
    raise NotFound(f"Volume type {id_or_name} could not be found.")


def create(session: Session, new: VolumeType) -> VolumeType:
    """Raises Conflict if the name is taken."""
    taken = Conflict(f"Volume Type {new.name} already exists.")
    if new.name == DEFAULT_TYPE.name:
        raise taken
    session.add(VolumeTypeRow(**new.model_dump()))
    try:
        session.flush()
    except Exception as e:
        if is_duplicate(e):
            raise taken from None
        raise
    return new


def update(session: Session, changed: VolumeType) -> VolumeType:
    """Raises NotFound, or BadRequest for the type that is always there."""
    row = _row(session, changed.id)
    row.name, row.description, row.is_public = changed.name, changed.description, changed.is_public
    row.extra_specs = dict(changed.extra_specs)
    session.add(row)
    return changed


def delete(session: Session, type_id: str) -> None:
    """Raises NotFound, or BadRequest if volumes are of this type."""
    row = _row(session, type_id)
    used = select(VolumeRow).where(col(VolumeRow.volume_type) == row.name, col(VolumeRow.status) != "deleted")
    if session.exec(used).first() is not None:
        raise BadRequest("Target volume type is still in use.")
    session.delete(row)


def _row(session: Session, type_id: str) -> VolumeTypeRow:
    if type_id == DEFAULT_TYPE.id:
        raise BadRequest("The default volume type can't be changed.")
    row = session.get(VolumeTypeRow, type_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFound(f"Volume type {type_id} could not be found.")
    return row


def _type(row: VolumeTypeRow) -> VolumeType:
    return VolumeType.model_validate(row, from_attributes=True)
