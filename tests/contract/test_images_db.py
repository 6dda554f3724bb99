"""Images in the database."""

import threading
import uuid

import pytest
from sqlmodel import Session

from infra.db import image_members, images
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import Conflict, Forbidden, NotFound, TooLarge
from infra.domain.image import Image
from infra.image.store import StoredData

QUOTA = {"bytes": 100}


def new(**changes: object) -> Image:
    values: dict[str, object] = {
        "id": str(uuid.uuid4()),
        "name": "i",
        "owner": "p1",
        "status": "queued",
        "disk_format": "raw",
        "container_format": "bare",
        "created_at": now(),
        "updated_at": now(),
        **changes,
    }
    return Image.model_validate(values)


def data(size: int = 10) -> StoredData:
    return StoredData(size=size, checksum="c" * 32, sha512="s" * 128, virtual_size=size)


def add(database: Database, **changes: object) -> str:
    return database.write_now(images.create, new(**changes)).id


def test_what_was_written_is_read(database: Database) -> None:
    image = new(tags=("a", "b"), properties={"hw_disk_bus": "virtio", "kernel_id": None}, size=2**40, protected=True)
    database.write_now(images.create, image)
    assert database.read_now(images.get, image.id, "p1") == image
    with pytest.raises(Conflict):
        database.write_now(images.create, image)


@pytest.mark.parametrize(
    ("visibility", "seen", "listed"),
    [
        ("private", False, False),
        ("shared", False, False),
        ("community", True, False),
        ("public", True, True),
    ],
)
def test_who_sees_what(database: Database, visibility: str, seen: bool, listed: bool) -> None:
    image_id = add(database, visibility=visibility)
    assert [image.id for image in database.read_now(images.visible, "p1")] == [image_id]
    assert [image.id for image in database.read_now(images.visible, None, everything=True)] == [image_id]
    assert database.read_now(images.get, image_id, None, everything=True).id == image_id
    assert bool(database.read_now(images.visible, "p2")) is listed
    if seen:
        assert database.read_now(images.get, image_id, "p2").id == image_id
    else:
        with pytest.raises(NotFound):
            database.read_now(images.get, image_id, "p2")


def test_a_shared_image_is_seen_by_its_members(database: Database) -> None:
    image_id = add(database)
    database.write_now(image_members.add, image_id, "p2")
    with pytest.raises(Conflict):
        database.write_now(image_members.add, image_id, "p2")
    assert database.read_now(images.get, image_id, "p2").id == image_id
    assert database.read_now(images.visible, "p2") == []
    assert len(database.read_now(images.visible, "p2", member_status="pending")) == 1
    database.write_now(image_members.answer, image_id, "p2", "accepted")
    assert len(database.read_now(images.visible, "p2")) == 1
    database.write_now(image_members.remove, image_id, "p2")
    with pytest.raises(NotFound):
        database.read_now(images.get, image_id, "p2")
    with pytest.raises(NotFound):
        database.write_now(image_members.remove, image_id, "p2")


def test_an_upload_from_queued_to_active(database: Database) -> None:
    image_id = add(database)
    assert database.write_now(images.begin_upload, image_id, "u1", abandoned=False).status == "saving"
    assert database.read_now(images.uploads) == {image_id: "u1"}
    with pytest.raises(Conflict):
        database.write_now(images.begin_upload, image_id, "u2", abandoned=False)
    found = database.write_now(images.end_upload, image_id, "u1", data(), QUOTA)
    assert (found.status, found.size, found.hash_algo, found.hash_value) == ("active", 10, "sha512", "s" * 128)
    with pytest.raises(Conflict):
        database.write_now(images.begin_upload, image_id, "u3", abandoned=True)
    assert database.read_now(images.used_bytes, "p1") == 10


def test_an_upload_that_lost_the_image_changes_nothing(database: Database) -> None:
    image_id = add(database)
    database.write_now(images.begin_upload, image_id, "u1", abandoned=False)
    database.write_now(images.begin_upload, image_id, "u2", abandoned=True)
    with pytest.raises(Conflict):
        database.write_now(images.end_upload, image_id, "u1", data(), QUOTA)
    database.write_now(images.cancel_upload, image_id, "u1")
    assert database.read_now(images.get, image_id, "p1").status == "saving"
    database.write_now(images.cancel_upload, image_id, "u2")
    assert database.read_now(images.get, image_id, "p1").status == "queued"


def test_a_volumes_copy_is_nobodys_to_take_over(database: Database) -> None:
    image_id = add(database)
    database.write_now(images.begin_upload, image_id, "volume/v", abandoned=False)
    assert database.read_now(images.uploads) == {}
    with pytest.raises(Conflict):
        database.write_now(images.begin_upload, image_id, "u1", abandoned=True)


def test_uploads_at_once_keep_the_quota(database: Database) -> None:
    ids = [add(database) for _ in range(4)]
    refused: list[str] = []

    def upload(image_id: str) -> None:
        database.write_now(images.begin_upload, image_id, image_id, abandoned=False)
        try:
            database.write_now(images.end_upload, image_id, image_id, data(40), QUOTA)
        except TooLarge:
            refused.append(image_id)

    threads = [threading.Thread(target=upload, args=(image_id,)) for image_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 2
    assert database.read_now(images.used_bytes, "p1") == 80


def test_deletion(database: Database) -> None:
    image = new(protected=True)
    database.write_now(images.create, image)
    with pytest.raises(Forbidden):
        database.write_now(images.delete, image.id)
    database.write_now(images.update, image.id, lambda old: old.model_copy(update={"protected": False}))
    database.write_now(images.delete, image.id)
    assert database.read_now(images.visible, "p1") == []
    assert database.read_now(images.unknown, [image.id, "x"]) == [image.id, "x"]
    for call in (images.delete, lambda s, i: images.get(s, i, "p1")):
        with pytest.raises(NotFound):
            database.write_now(call, image.id)
    with pytest.raises(Conflict):
        database.write_now(images.create, image)


def test_deactivation(database: Database) -> None:
    image_id = add(database)
    with pytest.raises(Forbidden):
        database.write_now(images.set_active, image_id, False)
    other = add(database, status="active")
    database.write_now(images.set_active, other, False)
    assert database.read_now(images.get, other, "p1").status == "deactivated"


def test_an_update_keeps_what_is_not_its_own(database: Database) -> None:
    image_id = add(database, status="active", size=5)
    changes = {"name": "n", "tags": ("t",), "status": "queued", "size": 7, "properties": {"a": "b"}}
    found = database.write_now(images.update, image_id, lambda old: old.model_copy(update=changes))
    assert (found.name, found.tags, found.properties) == ("n", ("t",), {"a": "b"})
    assert (found.status, found.size) == ("active", 5)


def test_what_a_lost_run_was_making_goes_and_what_is_whole_stays(database: Database) -> None:
    """Only of that attempt at that server, and a creation that comes later is refused."""
    server, made = str(uuid.uuid4()), {}
    for name, attempt, status in (("queued", 1, "queued"), ("whole", 1, "active"), ("other", 12, "queued")):
        image = new(status=status)
        key = images.server_key(server, attempt, image.id)
        made[name] = image.id
        assert database.write_now(images.create, image, key) == image
        assert database.write_now(images.create, image, key).id == image.id
    for _ in range(2):
        database.write_now(images.withdraw_unfinished, server, 1)
    assert {image.id for image in database.read_now(images.visible, "p1")} == {made["whole"], made["other"]}
    with pytest.raises(Conflict):
        database.write_now(images.create, new(), images.server_key(server, 1, made["queued"]))


def test_a_delete_that_comes_while_an_upload_is_cancelled_is_the_last_word(database: Database) -> None:
    """The image would else be queued again, and no one would delete it a second time."""
    image_id = add(database)
    database.write_now(images.begin_upload, image_id, "u", abandoned=False)

    def delete() -> None:
        own = Database(database.url)
        own.write_now(images.discard, image_id)
        own.close()

    deleting = threading.Thread(target=delete)

    def cancel(session: Session) -> None:
        images.cancel_upload(session, image_id, "u")
        deleting.start()
        # As long as the image is held, the other one waits for this transaction.
        deleting.join(0.3)

    database.write_now(cancel)
    deleting.join(60)
    assert database.read_now(images.visible, "p1") == []
    with pytest.raises(NotFound):
        database.write_now(images.begin_upload, image_id, "v", abandoned=False)
