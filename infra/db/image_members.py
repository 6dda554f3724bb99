"""With which projects an image is shared, and what they answered (Image API v2, "Sharing")."""

from sqlmodel import Session, col, select

from infra.db.engine import is_duplicate
from infra.db.tables.image import ImageMemberRow
from infra.db.types import now
from infra.domain.errors import Conflict, NotFound
from infra.domain.image import ImageMember


def add(session: Session, image_id: str, member_id: str) -> ImageMember:
    """Raises Conflict if it is a member already."""
    moment = now()
    row = ImageMemberRow(image_id=image_id, member_id=member_id, created_at=moment, updated_at=moment)
    session.add(row)
    try:
        session.flush()
    except Exception as e:
        if is_duplicate(e):
            raise Conflict(f"Image {image_id} is already shared with {member_id}.") from None
        raise
    return _member(row)


def get(session: Session, image_id: str, member_id: str) -> ImageMember:
    return _member(_existing(session, image_id, member_id))


def all_of(session: Session, image_id: str) -> list[ImageMember]:
    query = select(ImageMemberRow).where(col(ImageMemberRow.image_id) == image_id)
    return [_member(row) for row in session.exec(query.order_by(col(ImageMemberRow.member_id)))]


def answer(session: Session, image_id: str, member_id: str, status: str) -> ImageMember:
    """Set what the member says: pending, accepted or rejected."""
    row = _existing(session, image_id, member_id, lock=True)
    row.status, row.updated_at = status, now()
    session.add(row)
    return _member(row)


def remove(session: Session, image_id: str, member_id: str) -> None:
    session.delete(_existing(session, image_id, member_id, lock=True))


def _existing(session: Session, image_id: str, member_id: str, *, lock: bool = False) -> ImageMemberRow:
    row = session.get(ImageMemberRow, (image_id, member_id), with_for_update=lock or None, populate_existing=lock)
    if row is None:
        raise NotFound(f"{member_id} not found in the member list of the image {image_id}.")
    return row


def _member(row: ImageMemberRow) -> ImageMember:
    return ImageMember.model_validate(row, from_attributes=True)
