from collections.abc import Iterator
from pathlib import Path

import pytest

from api.image.routes import build
from infra.settings import ImageSettings, Settings
from tests.api.image.harness import Prefixed, World, make_services


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    settings = Settings(state_dir=tmp_path, image=ImageSettings(max_bytes=4_000_000, project_quota_bytes=6_000_000))
    services = make_services(tmp_path, settings)
    yield World(services, Prefixed("image", build(services)), "image")
    services.db.close()
