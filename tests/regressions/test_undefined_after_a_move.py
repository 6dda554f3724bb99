"""A guest that was undefined by hand, on a disk that came from another host: its image need not be on this one.

Its start said that the disk was lost, and put the server in ERROR.
"""

import uuid
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.images import FindImage, ImageActivities
from activities.models import Attempt
from infra.compute import disks
from infra.compute.attempts import Attempts
from infra.compute.guests import GuestFiles
from infra.image.host_cache import HostCache

SERVER, IMAGE = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


@pytest.mark.parametrize(("base", "root", "needed"), [(None, True, False), (None, False, True), ("base", True, True)])
def test_an_image_is_needed_where_the_disk_is_an_overlay(
    tmp_path: Path, base: str | None, root: bool, needed: bool
) -> None:
    files = GuestFiles(tmp_path / "instances")
    disk = files.disk(SERVER, 2)
    if base is None:
        disks.create_blank(disk, 2**20)
    else:
        (tmp_path / base).write_bytes(bytes(2**20))
        disks.create_overlay(disk, tmp_path / base, "raw", 2**20)
    nothing: Any = None
    cache, attempts = HostCache(tmp_path / "images"), Attempts(tmp_path / "attempts")
    images = ImageActivities(nothing, nothing, cache, attempts, files)
    attempt = Attempt(server_id=SERVER, number=2, host="a")
    find = FindImage(attempt=attempt, image_id=IMAGE, disk_format="qcow2", root=root)
    if needed:
        with pytest.raises(ApplicationError, match="is not on its host"):
            images.find(find)
    else:
        assert images.find(find).path == ""
