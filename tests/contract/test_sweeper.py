"""What was written down and never started is started, on both databases."""

import uuid
from typing import Any

from infra.db import snapshots, volumes
from infra.db.engine import Database
from infra.db.types import now
from infra.domain.volume import Snapshot, Volume
from workers.sweeper import sweep

QUOTA = {"volumes": 10, "gigabytes": 100, "snapshots": 10}


class Starts:
    """Takes the starts that a Temporal client would make."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def start_workflow(self, run: Any, params: Any, *, id: str, **options: Any) -> None:
        assert options["id_conflict_policy"].name == "USE_EXISTING"
        assert id == f"{params.kind}/{params.id}"
        self.ids.append(id)


def _volume(db: Database) -> str:
    volume = Volume(id=str(uuid.uuid4()), project_id="p", user_id="u", size_gb=1, status="creating", created_at=now())
    return db.write_now(volumes.create, volume, QUOTA).id


async def test_only_rows_that_ask_for_work_get_a_run(database: Database) -> None:
    done, made, deleting = (_volume(database) for _ in range(3))
    for one in (done, deleting):
        database.write_now(volumes.set_available, one)
    database.write_now(volumes.begin_delete, deleting)
    snapshot = Snapshot(
        id=str(uuid.uuid4()),
        volume_id=done,
        project_id="p",
        user_id="u",
        size_gb=1,
        status="creating",
        created_at=now(),
    )
    database.write_now(snapshots.create, snapshot, QUOTA)
    starts = Starts()
    await sweep(starts, database)  # type: ignore[arg-type]
    assert sorted(starts.ids) == sorted([f"volume/{made}", f"volume/{deleting}", f"snapshot/{snapshot.id}"])
