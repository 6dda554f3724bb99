"""Volumes, attachments, snapshots and types in the database."""

import threading
import uuid
from typing import Any

import pytest
from sqlmodel import Session

from infra.db import images, snapshots, storage_quotas, volume_attachments, volume_types, volume_usage, volumes
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.errors import BadRequest, Conflict, KilonovaError, NotFound, TooLarge
from infra.domain.image import Image
from infra.domain.volume import DEFAULT_TYPE, Snapshot, Volume, VolumeAttachment, VolumeType

QUOTA = {"volumes": 3, "gigabytes": 10, "snapshots": 1}


def new(**changes: object) -> Volume:
    values = {"id": str(uuid.uuid4()), "project_id": "p1", "user_id": "u", "size_gb": 1, "status": "creating"}
    return Volume.model_validate({**values, "created_at": now(), **changes})


def make(database: Database, **changes: object) -> str:
    volume = database.write_now(volumes.create, new(**changes), QUOTA)
    database.write_now(volumes.set_available, volume.id)
    return volume.id


def attachment(volume_id: str, **changes: object) -> VolumeAttachment:
    values = {"id": str(uuid.uuid4()), "volume_id": volume_id, "server_id": "s1", "host": "h", "device": None}
    return VolumeAttachment.model_validate(
        {**values, "attempt": 1, "status": "attaching", "attached_at": now(), **changes}
    )


def snapshot(volume_id: str, **changes: object) -> Snapshot:
    values = {"id": str(uuid.uuid4()), "volume_id": volume_id, "project_id": "p1", "user_id": "u", "size_gb": 1}
    return Snapshot.model_validate({**values, "status": "creating", "created_at": now(), **changes})


def status(database: Database, volume_id: str) -> str:
    return database.read_now(volumes.get, volume_id).status


def test_what_was_written_is_read(database: Database) -> None:
    volume = new(name="n", metadata={"a": "b"}, image_metadata={"c": "d"}, bootable=True, read_only=True)
    database.write_now(volumes.create, volume, QUOTA)
    assert database.read_now(volumes.get, volume.id, "p1") == volume
    assert database.read_now(volumes.all_of, "p1") == [volume]
    assert database.read_now(volumes.all_of, "p2") == []
    with pytest.raises(NotFound):
        database.read_now(volumes.get, volume.id, "p2")
    assert database.write_now(volumes.create, volume, QUOTA) == volume


def test_creations_at_once_keep_the_quota(database: Database) -> None:
    refused: list[KilonovaError] = []

    def create() -> None:
        try:
            database.write_now(volumes.create, new(size_gb=4), QUOTA)
        except TooLarge as error:
            refused.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 4
    assert database.read_now(volume_usage.usage, "p1") == {"volumes": 2, "snapshots": 0, "gigabytes": 8}


def test_an_administrators_limit_wins_until_it_is_reset(database: Database) -> None:
    database.write_now(storage_quotas.set_limits, "volume", "p1", {"volumes": 0})
    with pytest.raises(TooLarge):
        database.write_now(volumes.create, new(), QUOTA)
    database.write_now(volumes.create, new(project_id="p2"), QUOTA)
    database.write_now(storage_quotas.set_limits, "volume", "p1", {"volumes": -1})
    for _ in range(4):
        database.write_now(volumes.create, new(), QUOTA)
    database.write_now(storage_quotas.reset, "volume", "p1")
    with pytest.raises(TooLarge):
        database.write_now(volumes.create, new(), QUOTA)


def test_the_row_says_what_is_to_be_done(database: Database) -> None:
    image = Image(
        id="i", name=None, owner="p1", status="queued", disk_format="raw", container_format="bare",
        created_at=now(), updated_at=now(),
    )  # fmt: skip
    database.write_now(images.create, image)
    volume = new(image_id="x", image_metadata={"disk_format": "raw"})
    database.write_now(volumes.create, volume, QUOTA)
    work = database.read_now(volumes.work, volume.id)
    assert work is not None
    assert (work.status, work.source, work.source_id, work.source_format) == ("creating", "image", "x", "raw")
    assert database.read_now(volumes.pending) == [volume.id]
    for _ in range(2):
        database.write_now(volumes.set_available, volume.id)
    assert database.read_now(volumes.work, volume.id) is None
    database.write_now(volumes.begin_extend, volume.id, "p1", 3, QUOTA)
    work = database.read_now(volumes.work, volume.id)
    assert work is not None
    assert (work.status, work.size_gb) == ("extending", 3)
    assert database.write_now(volumes.set_available, volume.id).size_gb == 3
    database.write_now(volumes.begin_upload, volume.id, "p1", "i")
    assert database.write_now(volumes.set_error, volume.id, "why").status == "available"
    with pytest.raises(NotFound):
        database.read_now(images.get, "i", "p1")
    database.write_now(volumes.begin_delete, volume.id)
    database.write_now(volumes.set_available, volume.id)
    assert status(database, volume.id) == "deleting"
    for _ in range(2):
        database.write_now(volumes.delete, volume.id)
    assert database.read_now(volumes.work, volume.id) is None
    assert database.read_now(volumes.pending) == []
    assert database.read_now(volume_usage.usage, "p1")["volumes"] == 0


def test_failed_work_shows(database: Database) -> None:
    volume = database.write_now(volumes.create, new(), QUOTA)
    found = database.write_now(volumes.set_error, volume.id, "no room")
    assert (found.status, found.error) == ("error", "no room")
    found = database.write_now(volumes.set_error, volume.id, "another")
    assert found.error == "no room"
    database.write_now(volumes.begin_delete, volume.id)


def test_a_status_changes_once(database: Database) -> None:
    volume_id = make(database)
    won: list[int] = []

    def reserve() -> None:
        try:
            database.write_now(volumes.move, volume_id, "p1", ("available",), "attaching")
            won.append(1)
        except BadRequest:
            pass

    threads = [threading.Thread(target=reserve) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert won == [1]


def test_one_of_many_attachments_wins(database: Database) -> None:
    volume_id = make(database)
    won: list[str] = []

    def attach(number: int) -> None:
        try:
            wanted = attachment(volume_id, server_id=f"s{number}")
            won.append(database.write_now(volume_attachments.attach, wanted, "p1", key=f"s{number}/1/attach").id)
        except BadRequest:
            pass

    threads = [threading.Thread(target=attach, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [one.id for one in database.read_now(volumes.get, volume_id).attachments] == won
    assert len(won) == 1


def test_an_attachments_way(database: Database) -> None:
    volume_id = make(database)
    wanted = attachment(volume_id, status="reserved", host=None)
    database.write_now(volume_attachments.attach, wanted, "p1")
    assert status(database, volume_id) == "reserved"
    database.write_now(volume_attachments.connect, wanted.id, "p1", "h1", 1)
    assert status(database, volume_id) == "attaching"
    done = database.write_now(volume_attachments.complete, wanted.id, None, "/dev/vdb")
    assert (done.status, done.device, status(database, volume_id)) == ("attached", "/dev/vdb", "in-use")
    assert [one.id for one in database.read_now(volumes.attachments_of, "s1")] == [wanted.id]
    with pytest.raises(NotFound):
        database.read_now(volume_attachments.get, wanted.id, "p2")
    with pytest.raises(BadRequest):
        database.write_now(volumes.begin_delete, volume_id, force=True)
    database.write_now(volume_attachments.detach, wanted.id)
    assert status(database, volume_id) == "available"
    with pytest.raises(NotFound):
        database.write_now(volume_attachments.detach, wanted.id)


def test_a_closed_key_attaches_nothing(database: Database) -> None:
    volume_id = make(database)
    wanted = attachment(volume_id)
    database.write_now(volume_attachments.detach, wanted.id, key="k")
    with pytest.raises(Conflict):
        database.write_now(volume_attachments.attach, wanted, "p1", key="k")
    made = database.write_now(volume_attachments.attach, wanted, "p1", key="k2")
    assert database.write_now(volume_attachments.attach, wanted, "p1", key="k2") == made
    database.write_now(volume_attachments.detach, wanted.id, key="k")
    assert status(database, volume_id) == "attaching"
    database.write_now(volume_attachments.detach, wanted.id, key="k2")
    assert status(database, volume_id) == "available"


def test_an_id_belongs_to_one_volume_and_server(database: Database) -> None:
    first, second = make(database), make(database)
    wanted = attachment(first)
    database.write_now(volume_attachments.attach, wanted, "p1")
    with pytest.raises(Conflict):
        database.write_now(volume_attachments.attach, wanted.model_copy(update={"volume_id": second}), "p1")
    assert status(database, second) == "available"


def test_a_volume_and_its_snapshots_go_together_or_not_at_all(database: Database) -> None:
    volume_id, quota = make(database), {**QUOTA, "snapshots": 5}
    first = database.write_now(snapshots.create, snapshot(volume_id), quota).id
    with pytest.raises(BadRequest):
        database.write_now(snapshots.begin_delete_with_volume, volume_id)
    assert status(database, volume_id) == "available"
    database.write_now(snapshots.set_available, first)
    with pytest.raises(NotFound):
        database.write_now(snapshots.begin_delete_with_volume, volume_id, "p2")
    database.write_now(snapshots.begin_delete_with_volume, volume_id, "p1")
    assert database.read_now(snapshots.get, first).status == "deleting"
    with pytest.raises(BadRequest):
        database.write_now(snapshots.create, snapshot(volume_id), quota)
    work = database.read_now(volumes.work, volume_id)
    assert work is not None
    assert (work.status, work.snapshots) == ("deleting", (first,))
    database.write_now(volumes.delete, volume_id)
    assert database.read_now(snapshots.all_of) == []
    assert database.read_now(snapshots.work, first) is None


def test_snapshots(database: Database) -> None:
    volume_id = make(database)
    made = database.write_now(snapshots.create, snapshot(volume_id, metadata={"a": "b"}), QUOTA)
    assert database.read_now(snapshots.get, made.id, "p1") == made
    work = database.read_now(snapshots.work, made.id)
    assert work is not None
    assert (work.status, work.source, work.source_id) == ("creating", "volume", volume_id)
    with pytest.raises(TooLarge):
        database.write_now(snapshots.create, snapshot(volume_id), QUOTA)
    with pytest.raises(BadRequest):
        database.write_now(volumes.begin_delete, volume_id)
    with pytest.raises(BadRequest):
        database.write_now(snapshots.begin_delete, made.id)
    database.write_now(snapshots.set_available, made.id)
    database.write_now(volumes.create, new(snapshot_id=made.id), QUOTA)
    with pytest.raises(BadRequest):
        database.write_now(snapshots.begin_delete, made.id)
    assert database.read_now(snapshots.pending) == []
    database.write_now(snapshots.update, made.id, "p1", {"status": "error"})
    database.write_now(volumes.set_available, database.read_now(volumes.pending)[0])
    database.write_now(snapshots.begin_delete, made.id)
    database.write_now(snapshots.delete, made.id)
    assert database.read_now(snapshots.all_of) == []
    database.write_now(volumes.begin_delete, volume_id)


@pytest.mark.parametrize("copy", ["snapshot", "volume"])
def test_a_volume_that_is_being_copied_stays_as_it_is(database: Database, copy: str) -> None:
    volume_id = make(database)
    if copy == "snapshot":
        made = database.write_now(snapshots.create, snapshot(volume_id), QUOTA).id
    else:
        made = database.write_now(volumes.create, new(source_volume_id=volume_id), QUOTA).id
    with pytest.raises(BadRequest):
        database.write_now(volume_attachments.attach, attachment(volume_id), "p1")
    with pytest.raises(BadRequest):
        database.write_now(volumes.begin_extend, volume_id, "p1", 2, QUOTA)
    if copy == "volume":
        with pytest.raises(BadRequest):
            database.write_now(volumes.begin_delete, volume_id)
    database.write_now(snapshots.set_available if copy == "snapshot" else volumes.set_available, made)
    database.write_now(volume_attachments.attach, attachment(volume_id), "p1")


def test_types(database: Database) -> None:
    made = VolumeType(id="t", name="fast", extra_specs={"a": "b"})
    database.write_now(volume_types.create, made)
    assert database.read_now(volume_types.all_of) == [DEFAULT_TYPE, made]
    for name in ("fast", DEFAULT_TYPE.name):
        with pytest.raises(Conflict):
            database.write_now(volume_types.create, VolumeType(id="t2", name=name))
    with pytest.raises(BadRequest):
        database.write_now(volume_types.delete, DEFAULT_TYPE.id)
    make(database, volume_type="fast")
    with pytest.raises(BadRequest):
        database.write_now(volume_types.delete, "t")


def test_a_late_detach_leaves_a_volume_that_is_another_servers_by_then(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw its attachment, waited for the volume, and meanwhile another one detached it and it was attached anew."""
    database = postgresql_database
    volume_id = make(database)
    old, late = attachment(volume_id), attachment(volume_id, server_id="s2")
    database.write_now(volume_attachments.attach, old, "p1")
    locked = volumes.existing

    def overtaken(session: Session, *args: Any, **how: Any) -> Any:
        monkeypatch.setattr(volumes, "existing", locked)
        other = Database(database.url)
        other.write_now(volume_attachments.detach, old.id)
        other.write_now(volume_attachments.attach, late, "p1")
        other.close()
        return locked(session, *args, **how)

    monkeypatch.setattr(volumes, "existing", overtaken)
    assert database.write_now(volume_attachments.let_go, old.id) is False
    assert status(database, volume_id) == "attaching"
    assert database.read_now(volume_attachments.get, late.id).server_id == "s2"
