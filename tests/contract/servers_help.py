"""Rows of servers for tests of what is kept of them."""

import uuid
from datetime import datetime
from typing import Any

from infra.domain.flavor import Flavor
from infra.domain.server import Server


def server(moment: datetime, **fields: Any) -> Server:
    """A small one, written at ``moment``; the state is the caller's to say."""
    values = {
        "id": str(uuid.uuid4()),
        "project_id": "p",
        "user_id": "u",
        "name": "web",
        "hostname": "web",
        "flavor": Flavor(id="1", name="tiny", vcpus=1, ram_mb=128, disk_gb=1),
        "image_id": None,
        "reservation_id": "r",
        "created_at": moment,
        "updated_at": moment,
    }
    return Server(**(values | fields))
