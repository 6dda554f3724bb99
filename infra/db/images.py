"""Images and who may see them. Rows of deleted images stay, so that an id never names other data.

An upload holds the image by its request id while the status is ``saving``; whatever else happened to the image
meanwhile, an upload that no longer holds it changes nothing.
"""

from collections.abc import Callable, Collection

from sqlalchemy import ColumnElement, func, or_
from sqlmodel import Session, col, select

from infra.db import idempotency, storage_quotas
from infra.db.engine import is_duplicate
from infra.db.statements import Lookup
from infra.db.tables.image import ImageMemberRow, ImageRow
from infra.db.types import now
from infra.domain.errors import Conflict, Forbidden, NotFound, TooLarge
from infra.domain.image import Image
from infra.image.store import StoredData

DELETED = "deleted"
VOLUME_HOLDER = "volume/"
"""What the holder begins with where a volume is copied into the image: that work is taken up by its own run."""
_OPEN_TO_ALL = ("public", "community")
_BY_ID = Lookup(ImageRow, "id")


def create(session: Session, image: Image, key: str | None = None) -> Image:
    """
    Args:
        key: a worker's idempotency key: a repeat finds the image that it made.

    Raises:
        Conflict: the id is or was in use, or the creation was undone before it arrived.
        NotFound: the image that the key made was deleted since.
    """
    earlier = idempotency.first_use(session, key, image.id) if key is not None else None
    if earlier is not None:
        return get(session, earlier, None, everything=True)
    session.add(_row(image))
    try:
        session.flush()
    except Exception as e:
        if is_duplicate(e):
            raise Conflict(f"Image ID {image.id} already exists!") from None
        raise
    return image


def get(session: Session, image_id: str, project_id: str | None, *, everything: bool = False) -> Image:
    """An image that ``project_id`` may see.

    Args:
        everything: for administrators and workers, who see all.

    Raises:
        NotFound: there is none, or it is another's; the two can't be told apart.
    """
    row = _BY_ID.first(session, image_id)
    if row is None or row.status == DELETED:
        raise _missing(image_id)
    if not everything and row.owner != project_id and row.visibility not in _OPEN_TO_ALL:
        shared = row.visibility == "shared" and project_id is not None
        if not shared or session.get(ImageMemberRow, (image_id, project_id)) is None:
            raise _missing(image_id)
    return Image.model_validate(row._asdict())


def visible(
    session: Session,
    project_id: str | None,
    *,
    visibility: str | None = None,
    member_status: str = "accepted",
    everything: bool = False,
) -> list[Image]:
    """Images that belong into a project's list, in no order.

    Args:
        visibility: None leaves out the community images of others, ``all`` takes them in.
        member_status: which answer of the project's own to a shared image lets it in; ``all`` for any.
        everything: also what belongs to others, for administrators.
    """
    query = select(ImageRow).where(col(ImageRow.status) != DELETED)
    if visibility not in (None, "all"):
        query = query.where(col(ImageRow.visibility) == visibility)
    if not everything:
        query = query.where(or_(*_conditions(project_id, visibility, member_status)))
    return [_image(row) for row in session.exec(query)]


def _conditions(project_id: str | None, visibility: str | None, member_status: str) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [col(ImageRow.visibility) == "public"]
    if visibility in ("community", "all"):
        found.append(col(ImageRow.visibility) == "community")
    if project_id is not None:
        found.append(col(ImageRow.owner) == project_id)
        members = select(ImageMemberRow.image_id).where(col(ImageMemberRow.member_id) == project_id)
        if member_status != "all":
            members = members.where(col(ImageMemberRow.status) == member_status)
        found.append((col(ImageRow.visibility) == "shared") & col(ImageRow.id).in_(members))
    return found


def update(session: Session, image_id: str, change: Callable[[Image], Image]) -> Image:
    """Read, change and write back in one transaction. Status and facts about the data are not ``change``'s to set."""
    row = _existing(session, image_id, lock=True)
    changed = change(_image(row)).model_copy(update={"updated_at": now()})
    for name in _CHANGEABLE:
        setattr(row, name, getattr(changed, name))
    row.tags, row.properties, row.updated_at = list(changed.tags), dict(changed.properties), changed.updated_at
    session.add(row)
    return _image(row)


_CHANGEABLE = (
    "name",
    "owner",
    "visibility",
    "disk_format",
    "container_format",
    "min_disk",
    "min_ram",
    "protected",
    "hidden",
)


def set_active(session: Session, image_id: str, active: bool) -> None:
    """Deactivate or reactivate; either way it may be so already.

    Raises:
        Forbidden: the image is neither active nor deactivated.
    """
    row = _existing(session, image_id, lock=True)
    if row.status not in ("active", "deactivated"):
        raise Forbidden(f"Not allowed to {'reactivate' if active else 'deactivate'} image in status '{row.status}'")
    row.status = "active" if active else "deactivated"
    row.updated_at = now()
    session.add(row)


def delete(session: Session, image_id: str) -> None:
    """Raises NotFound, or Forbidden if the image is protected."""
    row = _existing(session, image_id, lock=True)
    if row.protected:
        raise Forbidden(f"Image {image_id} is protected and cannot be deleted.")
    _bury(session, row)


def withdraw(session: Session, image_id: str, key: str) -> None:
    """Undo of ``create`` with this key, whatever became of the image; one that arrives later is refused."""
    idempotency.bury(session, key)
    row = session.get(ImageRow, image_id, with_for_update=True, populate_existing=True)
    if row is not None and row.status != DELETED:
        _bury(session, row)


def withdraw_unfinished(session: Session, server_id: str, attempt: int) -> None:
    """Undo what an attempt at a server was making, of which the run is lost; an image that has its data stays."""
    made = idempotency.made_with(session, server_key(server_id, attempt, ""))
    for key, image_id in made.items():
        row = session.get(ImageRow, image_id)
        if row is None or row.status in ("queued", "saving"):
            withdraw(session, image_id, key)


def server_key(server_id: str, attempt: int, image_id: str) -> str:
    """Idempotency key of an image that a server's disk becomes."""
    return f"{server_id}/{attempt}/image/{image_id}"


def discard(session: Session, image_id: str) -> None:
    """Delete an image that never got its data, protected or not; one that has data stays."""
    row = session.get(ImageRow, image_id, with_for_update=True, populate_existing=True)
    if row is not None and row.status in ("queued", "saving"):
        _bury(session, row)


def _bury(session: Session, row: ImageRow) -> None:
    row.status, row.upload, row.deleted_at = DELETED, None, now()
    row.updated_at = row.deleted_at
    session.add(row)
    for member in session.exec(select(ImageMemberRow).where(col(ImageMemberRow.image_id) == row.id)):
        session.delete(member)


def begin_upload(session: Session, image_id: str, upload: str, *, abandoned: bool) -> Image:
    """queued -> saving, held by ``upload``.

    Args:
        abandoned: an upload that holds the image has died: take its place.

    Raises:
        Conflict: the image has data, or another upload holds it.
    """
    row = _existing(session, image_id, lock=True)
    free = abandoned and not (row.upload or "").startswith(VOLUME_HOLDER)
    if row.status != "queued" and not (row.status == "saving" and free):
        raise Conflict(f"Image status transition from {row.status} to saving is not allowed")
    row.status, row.upload, row.updated_at = "saving", upload, now()
    session.add(row)
    return _image(row)


def end_upload(session: Session, image_id: str, upload: str, stored: StoredData, quota: dict[str, int]) -> Image:
    """saving -> active.

    Raises:
        NotFound: the image was deleted meanwhile.
        Conflict: another upload holds it.
        TooLarge: with it the project would keep more than its quota.
    """
    owner = _existing(session, image_id).owner
    limit = storage_quotas.lock(session, "image", owner or "", quota)["bytes"]
    row = _existing(session, image_id, lock=True)
    if row.upload != upload:
        raise Conflict(f"Another upload of the data of image {image_id} took the place of this one.")
    if limit >= 0 and used_bytes(session, owner) + stored.size > limit:
        raise TooLarge(f"The project's images may take {limit} bytes in all; this one does not fit any more.")
    row.status, row.upload, row.updated_at = "active", None, now()
    row.size, row.virtual_size, row.checksum = stored.size, stored.virtual_size, stored.checksum
    row.hash_algo, row.hash_value = "sha512", stored.sha512
    session.add(row)
    return _image(row)


def cancel_upload(session: Session, image_id: str, upload: str) -> None:
    """saving -> queued, if ``upload`` still holds the image."""
    row = session.get(ImageRow, image_id, with_for_update=True, populate_existing=True)
    if row is not None and row.upload == upload:
        row.status, row.upload, row.updated_at = "queued", None, now()
        session.add(row)


def uploads(session: Session) -> dict[str, str]:
    """The images that clients' uploads hold, and the uploads' request ids."""
    rows = session.exec(select(ImageRow).where(col(ImageRow.status) == "saving"))
    return {row.id: row.upload for row in rows if row.upload and not row.upload.startswith(VOLUME_HOLDER)}


def unknown(session: Session, image_ids: list[str]) -> list[str]:
    """Those of the ids that are no image's, or a deleted one's: data kept under them serves nobody."""
    query = select(ImageRow.id).where(col(ImageRow.id).in_(image_ids), col(ImageRow.status) != DELETED)
    known = set(session.exec(query))
    return [image_id for image_id in image_ids if image_id not in known]


def formats(session: Session, image_ids: Collection[str]) -> dict[str, str]:
    """Disk formats by id; of deleted images too: hosts keep their data for as long as servers use it."""
    query = select(ImageRow.id, ImageRow.disk_format).where(col(ImageRow.id).in_(image_ids))
    return {image_id: disk_format or "" for image_id, disk_format in session.exec(query)}


def used_bytes(session: Session, project_id: str | None) -> int:
    query = select(func.coalesce(func.sum(col(ImageRow.size)), 0)).where(
        col(ImageRow.owner) == project_id, col(ImageRow.status) != DELETED
    )
    return int(session.exec(query).one() or 0)


def _existing(session: Session, image_id: str, *, lock: bool = False) -> ImageRow:
    row = session.get(ImageRow, image_id, with_for_update=lock or None, populate_existing=lock)
    if row is None or row.status == DELETED:
        raise _missing(image_id)
    return row


def _missing(image_id: str) -> NotFound:
    return NotFound(f"No image found with ID {image_id}")


def _image(row: ImageRow) -> Image:
    return Image.model_validate(row, from_attributes=True)


def _row(image: Image) -> ImageRow:
    values = image.model_dump()
    return ImageRow(**{**values, "tags": list(image.tags)})
